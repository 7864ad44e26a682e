"""Files of every kind become the same arrays; views and tokens keep image and labels aligned."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from fractions import Fraction

import numpy as np
import pillow_heif
import pytest
from PIL import ExifTags, Image

from whatwhere.artifacts.errors import InputError
from whatwhere.datasets.images import (
    View,
    image_size,
    read_image,
    token_grid,
    tokens_to_pixels,
    view_image,
    view_labels,
    view_mask,
    view_size,
)
from whatwhere.datasets.labels import read_labels

pillow_heif.register_heif_opener()  # for these tests to write HEIC
TRANSPOSE = Image.Transpose
#: What undoes each EXIF orientation's turning: how the stored pixels come from the upright ones.
STORED_AS = {
    1: None,
    2: TRANSPOSE.FLIP_LEFT_RIGHT,
    3: TRANSPOSE.ROTATE_180,
    4: TRANSPOSE.FLIP_TOP_BOTTOM,
    5: TRANSPOSE.TRANSPOSE,
    6: TRANSPOSE.ROTATE_90,
    7: TRANSPOSE.TRANSVERSE,
    8: TRANSPOSE.ROTATE_270,
}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def smooth(height=48, width=64):
    """A gradient without symmetry, which survives JPEG."""
    y, x = np.mgrid[:height, :width]
    colour = np.stack([x * 255 / width, y * 255 / height, (x + y) * 120 / (width + height)], axis=2)
    return colour.astype(np.uint8)


def write_png(path, values, bits, kind):
    """A PNG of a bit depth or colour type that PIL cannot write; values [y, x] or [y, x, channel]."""
    if bits == 16:
        lines = [b"\0" + line.astype(">u2").tobytes() for line in values]
    else:
        spread = ((values[..., None] >> np.arange(bits)[::-1]) & 1).reshape(len(values), -1)
        lines = [b"\0" + np.packbits(line.astype(bool)).tobytes() for line in spread]

    def chunk(tag, data):
        return struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))

    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, kind, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"".join(lines))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def refused(path, *words, read=read_image):
    with pytest.raises(InputError) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message
    for word in ("expected", "got", ";", path.name, *words):
        assert word in message, message


class TestReadImage:
    @pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp", "ppm"])
    def test_lossless_colour_is_read_exactly(self, tmp_path, rng, suffix):
        colour = rng.integers(0, 256, (7, 5, 3), dtype=np.uint8)
        Image.fromarray(colour).save(tmp_path / f"a.{suffix}", lossless=True)
        read = read_image(tmp_path / f"a.{suffix}")
        assert read.dtype == np.uint8
        np.testing.assert_array_equal(read, colour)

    @pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "avif"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_orientation_is_applied(self, tmp_path, suffix, orientation):
        upright = smooth()
        stored = Image.fromarray(upright)
        if STORED_AS[orientation] is not None:
            stored = stored.transpose(STORED_AS[orientation])
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        stored.save(tmp_path / f"a.{suffix}", exif=exif, quality=95)
        read = read_image(tmp_path / f"a.{suffix}")
        assert read.shape == upright.shape
        assert np.abs(read.astype(int) - upright).mean() < 4
        assert image_size(tmp_path / f"a.{suffix}") == (48, 64)

    @pytest.mark.parametrize("suffix", ["heic", "heif", "avif", "jpg"])  # HEIC by another name is HEIC
    def test_what_phones_write(self, tmp_path, suffix):
        Image.fromarray(smooth()).save(tmp_path / f"a.{suffix}", "AVIF" if suffix == "avif" else "HEIF", quality=95)
        assert np.abs(read_image(tmp_path / f"a.{suffix}").astype(int) - smooth()).mean() < 4
        assert image_size(tmp_path / f"a.{suffix}") == (48, 64)

    def test_heic_needs_nobody_to_prepare_it(self, tmp_path):
        Image.fromarray(smooth()).save(tmp_path / "a.heic")
        code = "import sys; from whatwhere.datasets.images import image_size; print(image_size(sys.argv[1]))"
        said = subprocess.check_output([sys.executable, "-c", code, tmp_path / "a.heic"], text=True)
        assert said == "(48, 64)\n"

    def test_grey_and_binary(self, tmp_path):
        grey = np.arange(60, dtype=np.uint8).reshape(6, 10) * 4
        Image.fromarray(grey).save(tmp_path / "l.png")
        Image.fromarray(grey > 99).save(tmp_path / "1.png")
        np.testing.assert_array_equal(read_image(tmp_path / "l.png"), np.stack([grey] * 3, axis=2))
        np.testing.assert_array_equal(read_image(tmp_path / "1.png")[..., 1], (grey > 99) * 255)

    @pytest.mark.parametrize("mode", ["RGBA", "LA"])
    def test_alpha_shows_white(self, tmp_path, mode):
        image = Image.new(mode, (3, 1), "black")
        alpha = Image.fromarray(np.array([[0, 102, 255]], dtype=np.uint8))
        image.putalpha(alpha)
        image.save(tmp_path / "a.png")
        np.testing.assert_array_equal(read_image(tmp_path / "a.png")[0, :, 0], [255, 153, 0])

    @pytest.mark.parametrize("suffix", ["png", "gif"])
    def test_palette(self, tmp_path, suffix):
        image = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8), "P")
        image.putpalette([250, 0, 0, 0, 200, 0, 10, 20, 30])
        image.save(tmp_path / f"a.{suffix}")
        expected = [[250, 0, 0], [0, 200, 0], [10, 20, 30]]
        np.testing.assert_array_equal(read_image(tmp_path / f"a.{suffix}")[0], expected)
        image.save(tmp_path / f"t.{suffix}", transparency=1)
        expected[1] = [255, 255, 255]
        np.testing.assert_array_equal(read_image(tmp_path / f"t.{suffix}")[0], expected)

    @pytest.mark.parametrize("mode", ["CMYK", "YCbCr"])
    def test_print_and_video_colours(self, tmp_path, mode):
        Image.fromarray(smooth()).convert(mode).save(tmp_path / "a.jpg", quality=95)
        assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - smooth()).mean() < 3

    def test_deep_grey_is_divided_by_257(self, tmp_path):
        deep = np.array([[0, 128, 129, 257, 40000, 65535]], dtype=np.uint16)
        expected = [0, 0, 1, 1, 156, 255]
        Image.fromarray(deep).save(tmp_path / "a.png")
        Image.fromarray(deep.astype(np.int32)).save(tmp_path / "a.tif")
        (tmp_path / "a.pgm").write_bytes(b"P5 6 1 65535 " + deep.astype(">u2").tobytes())
        for suffix in ("png", "tif", "pgm"):
            np.testing.assert_array_equal(read_image(tmp_path / f"a.{suffix}")[0, :, 2], expected)

    def test_deep_colour_keeps_its_high_byte(self, tmp_path):
        deep = np.array([[[0, 255, 256], [65535, 40000, 1000]]])
        write_png(tmp_path / "a.png", deep, bits=16, kind=2)
        np.testing.assert_array_equal(read_image(tmp_path / "a.png"), deep >> 8)

    @pytest.mark.parametrize("white", [1, 255])
    def test_float_grey(self, tmp_path, white):
        values = np.array([[0, 0.2, 1]], dtype=np.float32) * white
        Image.fromarray(values).save(tmp_path / "a.tif")
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[0, :, 0], [0, 51, 255])

    @pytest.mark.parametrize("value", [-1.0, 1e4, np.nan])
    def test_grey_without_a_known_white_is_refused(self, tmp_path, value):
        Image.fromarray(np.array([[0, value]], dtype=np.float32)).save(tmp_path / "a.tif")
        refused(tmp_path / "a.tif", "mode F", "8 bits")

    @pytest.mark.parametrize("suffix", ["gif", "tif", "webp", "png"])
    def test_first_frame(self, tmp_path, suffix):
        frames = [Image.new("RGB", (4, 3), colour) for colour in ("red", "blue")]
        frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], lossless=True)
        with Image.open(tmp_path / f"a.{suffix}") as file:
            assert file.n_frames == 2
        np.testing.assert_array_equal(read_image(tmp_path / f"a.{suffix}")[2, 3], [255, 0, 0])


class TestBadFiles:
    @pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "gif", "webp", "bmp", "heic", "avif"])
    @pytest.mark.parametrize("kept", [0.02, 0.5, 0.9])
    def test_truncated(self, tmp_path, rng, suffix, kept):
        noise = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        path = tmp_path / f"short.{suffix}"
        Image.fromarray(noise).save(path)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * kept)])
        refused(path)

    def test_no_bytes(self, tmp_path):
        (tmp_path / "none.png").touch()
        refused(tmp_path / "none.png", "0 bytes")

    def test_text(self, tmp_path):
        (tmp_path / "text.jpg").write_text("not an image\nat all")
        refused(tmp_path / "text.jpg", "JPEG")
        refused(tmp_path / "text.jpg", read=image_size)

    def test_a_format_that_starts_programs_is_not_opened(self, tmp_path):
        (tmp_path / "script.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
        refused(tmp_path / "script.jpg", "not in")

    def test_what_is_no_file(self, tmp_path):
        refused(tmp_path / "absent.png", "got nothing")
        (tmp_path / "folder.png").mkdir()
        refused(tmp_path / "folder.png", "a folder, which is no file; name the files in it")

    def test_bomb(self, tmp_path, monkeypatch):
        Image.new("L", (50, 50)).save(tmp_path / "bomb.png")
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
        refused(tmp_path / "bomb.png", "2,000 pixels", "shrink")

    def test_a_decoder_s_two_lines_become_one(self, tmp_path, monkeypatch):
        def fail(*_, **__):
            raise ValueError("bad\n  chunk")

        Image.new("L", (5, 5)).save(tmp_path / "a.png")
        monkeypatch.setattr(Image, "open", fail)
        refused(tmp_path / "a.png", "ValueError: bad chunk")

    def test_a_name_of_two_lines_is_shown_in_one(self, tmp_path):
        (tmp_path / "a\nb.png").write_bytes(b"x")
        with pytest.raises(InputError, match=r"a\\nb\.png") as caught:
            read_image(tmp_path / "a\nb.png")
        assert "\n" not in str(caught.value)


class TestReadLabels:
    @pytest.fixture
    def labels(self):
        return np.array([[0, 1, 2, 15], [3, 4, 255, 7]], dtype=np.uint8)

    def test_a_palette_is_ignored(self, tmp_path, labels, rng):
        indexed = Image.fromarray(labels, "P")
        indexed.putpalette(list(rng.integers(0, 256, 768)))
        indexed.save(tmp_path / "a.png", transparency=1)
        read = read_labels(tmp_path / "a.png")
        assert read.dtype == np.int16
        np.testing.assert_array_equal(read, labels)

    def test_grey(self, tmp_path, labels):
        Image.fromarray(labels).save(tmp_path / "a.png")
        np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), labels)

    @pytest.mark.parametrize("kind", [0, 3])
    @pytest.mark.parametrize("bits", [1, 2, 4])
    def test_few_bits(self, tmp_path, bits, kind):
        labels = np.arange(16).reshape(2, 8) % 2**bits
        if kind == 0:
            write_png(tmp_path / "a.png", labels, bits=bits, kind=0)
        else:
            indexed = Image.fromarray(labels.astype(np.uint8), "P")
            indexed.putpalette([9, 8, 7] * 2**bits)
            indexed.save(tmp_path / "a.png", bits=bits)
        np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), labels)

    def test_sixteen_bits(self, tmp_path):
        Image.fromarray(np.array([[0, 300, 32767]], dtype=np.uint16)).save(tmp_path / "a.png")
        np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), [[0, 300, 32767]])
        Image.fromarray(np.array([[32768]], dtype=np.uint16)).save(tmp_path / "b.png")
        refused(tmp_path / "b.png", "32768", "32767", read=read_labels)

    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
    def test_colour_is_refused(self, tmp_path, mode):
        picture = Image.new(mode, (2, 2))
        picture.putpixel((0, 0), (200, 10, 10, 255)[: len(picture.getbands())])
        picture.save(tmp_path / "a.png")
        refused(tmp_path / "a.png", "one channel", mode, read=read_labels)

    def test_grey_in_three_channels_is_grey(self, tmp_path, labels):
        Image.fromarray(np.repeat(labels[:, :, None], 3, 2)).save(tmp_path / "a.png")
        np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), labels)

    @pytest.mark.parametrize("ending", ["bmp", "tif"])
    def test_other_containers_that_keep_what_is_stored(self, tmp_path, labels, ending):
        Image.fromarray(labels).save(tmp_path / f"a.{ending}")
        np.testing.assert_array_equal(read_labels(tmp_path / f"a.{ending}"), labels)

    def test_a_tiff_compressed_as_jpeg_mixes_labels(self, tmp_path):
        Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(tmp_path / "a.tif", compression="jpeg")
        refused(tmp_path / "a.tif", "JPEG", "save it as PNG", read=read_labels)

    def test_lossy_is_refused(self, tmp_path, labels):
        Image.fromarray(labels).save(tmp_path / "a.png", format="JPEG")
        refused(tmp_path / "a.png", "PNG", read=read_labels)


class TestView:
    @pytest.mark.parametrize(
        ("view", "before", "after"),
        [
            (View("none", 0), (33, 50), (33, 50)),
            (View("none", 0, 16), (33, 57), (32, 64)),
            (View("none", 0, 16), (3, 40), (16, 48)),
            (View("short_side", 448), (375, 500), (448, 597)),
            (View("short_side", 448, 14), (375, 500), (448, 602)),
            (View("short_side", 448, 16), (500, 375), (592, 448)),
            (View("short_side", 100, 16), (100, 100), (96, 96)),
            (View("square", 224, 14), (375, 500), (224, 224)),
            (View("centre_crop", 320, 16), (375, 500), (320, 320)),
        ],
    )
    def test_sizes(self, view, before, after):
        assert view_size(view, *before) == after
        assert view_image(np.zeros((*before, 3), np.uint8), view).shape == (*after, 3)
        assert view_labels(np.zeros(before, np.int16), view).shape == after

    @pytest.mark.parametrize("multiple", [1, 7, 16])
    def test_rounding_is_to_the_nearest_multiple(self, rng, multiple):
        for height, width, size in rng.integers(multiple, 999, (50, 3)).tolist():
            seen = view_size(View("short_side", size, multiple), height, width)
            for side, result in zip((height, width), seen, strict=True):
                exact = Fraction(side * size, min(height, width))
                assert result % multiple == 0
                assert abs(result - exact) <= Fraction(multiple, 2)

    @pytest.mark.parametrize("protocol", ["none", "short_side", "square", "centre_crop"])
    def test_nothing_happens_at_the_right_size(self, protocol, rng):
        image = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        labels = image[..., 0].astype(np.int16)
        view = View(protocol, 32, 16)
        assert view_image(image, view) is image
        assert view_labels(labels, view) is labels

    def test_the_crop_is_the_middle(self, rng):
        image = rng.integers(0, 256, (20, 31, 3), dtype=np.uint8)
        left = view_image(image[:, :30], View("centre_crop", 20))
        np.testing.assert_array_equal(left, image[:, 5:25])
        labels = image[:, :30, 0].astype(np.int16)
        np.testing.assert_array_equal(view_labels(labels.T, View("centre_crop", 20)), labels.T[5:25])

    def test_cropping_commutes_with_scaling(self):
        image = smooth(100, 180)
        whole = view_image(image, View("short_side", 50))
        crop = view_image(image, View("centre_crop", 50))
        np.testing.assert_array_equal(crop, whole[:, 20:70])

    def test_shrinking_averages(self):
        stripes = np.zeros((64, 64, 3), np.uint8)
        stripes[:, ::2] = 255
        shrunk = view_image(stripes, View("square", 8))
        assert 120 <= shrunk.min() <= shrunk.max() <= 135  # without antialiasing: 0 or 255

    @pytest.mark.parametrize(
        "view", [View("short_side", 45), View("square", 40), View("centre_crop", 32), View("none", 0, 16)]
    )
    def test_labels_stay_on_the_image(self, view):
        labels = np.zeros((60, 90), np.int16)
        labels[:, 45:] = 1
        labels[20:] += 2
        image = np.repeat(labels[..., None] * 80, 3, axis=2).astype(np.uint8)
        seen, painted = view_labels(labels, view), view_image(image, view)[..., 0] / 80
        assert set(np.unique(seen)) == {0, 1, 2, 3}
        assert np.mean(np.abs(seen - painted) < 0.5) > 0.9
        assert np.mean(np.abs(seen - np.rint(painted))) < 0.06

    @pytest.mark.parametrize("size", [(7, 11), (20, 30), (61, 89), (100, 7)])
    def test_nearest_takes_the_pixel_under_each_centre(self, rng, size, monkeypatch):
        monkeypatch.setattr("whatwhere.datasets.images.view_size", lambda *_: size)
        labels = rng.integers(0, 99, (20, 30))
        rows, columns = (
            [int(Fraction((2 * i + 1) * before, 2 * after)) for i in range(after)]
            for before, after in zip(labels.shape, size, strict=True)
        )
        np.testing.assert_array_equal(view_labels(labels, View("none", 0)), labels[rows][:, columns])

    def test_labels_and_masks_are_never_mixed(self):
        labels = np.where(np.indices((30, 30)).sum(axis=0) % 2, 7, -1)
        view = View("square", 45)
        seen = view_labels(labels, view)
        assert seen.dtype == np.int16
        assert set(np.unique(seen)) == {-1, 7}
        mask = view_mask(labels == 7, view)
        assert mask.dtype == bool
        np.testing.assert_array_equal(mask, seen == 7)

    @pytest.mark.parametrize(
        ("values", "word"),
        [
            (("square", 225, 14), "224"),
            (("centre_crop", 100, 16), "16"),
            (("short_side", 0, 1), "at least 1"),
            (("none", 0, 0), "at least 1"),
        ],
    )
    def test_impossible_views(self, values, word):
        with pytest.raises(InputError, match=word):
            View(*values)

    def test_an_unknown_protocol(self):
        # TypeError: where the suite runs with types checked, that check comes first.
        with pytest.raises((InputError, TypeError), match="short_side"):
            View("fit", 64)

    def test_a_strip_is_refused_before_it_fills_the_memory(self):
        with pytest.raises(InputError, match="centre_crop"):
            view_size(View("short_side", 448), 2, 20_000)
        assert view_size(View("centre_crop", 448), 2, 20_000) == (448, 448)


class TestTokenGrid:
    @pytest.mark.parametrize(
        ("tokens", "image", "grid"),
        [
            (784, (448, 448), (28, 28)),
            (28 * 37, (448, 592), (28, 37)),
            (37 * 28, (592, 448), (37, 28)),
            (60, (60, 100), (6, 10)),
            (60, (98, 62), (10, 6)),
            (12, (300, 400), (3, 4)),
            (1, (5, 6), (1, 1)),
            (30, (60, 60), (5, 6)),
        ],
    )
    def test_shape(self, tokens, image, grid):
        assert token_grid(tokens, *image) == grid

    @pytest.mark.parametrize(("tokens", "image"), [(785, (448, 448)), (197, (224, 224)), (20, (60, 60))])
    def test_tokens_that_are_no_grid(self, tokens, image):
        with pytest.raises(InputError, match=rf"{tokens} tokens.*{image[0]} × {image[1]} px.*%"):
            token_grid(tokens, *image)

    def test_no_tokens(self):
        with pytest.raises(InputError, match="at least one"):
            token_grid(0, 4, 4)


def by_scipy(regions, height, width):
    """The same by dense interpolation of every indicator: what the separable one must equal."""
    from scipy.ndimage import map_coordinates

    at = [
        (np.arange(pixels) + 0.5) * cells / pixels - 0.5
        for pixels, cells in zip((height, width), regions.shape, strict=True)
    ]
    grid = np.meshgrid(*at, indexing="ij")
    numbers = np.unique(regions)
    shares = [map_coordinates((regions == n).astype(float), grid, order=1, mode="nearest") for n in numbers]
    return numbers[np.argmax(np.round(shares, 9), axis=0)]


class TestTokensToPixels:
    @pytest.mark.parametrize("size", [(12, 20), (25, 31), (7, 5), (3, 4), (1, 1)])
    def test_equals_the_dense_reference(self, rng, size):
        for regions in rng.integers(-1, 5, (5, 5, 7)):
            np.testing.assert_array_equal(tokens_to_pixels(regions, *size), by_scipy(regions, *size))

    def test_one_region_everywhere(self):
        pixels = tokens_to_pixels(np.full((3, 4), 9), 24, 32)
        assert pixels.dtype == np.int16
        np.testing.assert_array_equal(pixels, np.full((24, 32), 9))

    def test_halves_scale_exactly(self):
        halves = np.repeat([[0, 0, 1, 1]], 4, axis=0)
        for scaled, regions in ((tokens_to_pixels(r, 64, 64), r) for r in (halves, halves.T)):
            np.testing.assert_array_equal(scaled, np.kron(regions, np.ones((16, 16), int)))

    @pytest.mark.parametrize("scale", [1, 3, 7])
    def test_centres_of_cells_keep_their_region(self, rng, scale):
        regions = rng.integers(0, 6, (6, 8))
        pixels = tokens_to_pixels(regions, 6 * scale, 8 * scale)
        np.testing.assert_array_equal(pixels[scale // 2 :: scale, scale // 2 :: scale], regions)

    def test_ties_go_to_the_lower_number(self):
        # Three pixels on two tokens: the middle one lies on the border.
        np.testing.assert_array_equal(tokens_to_pixels(np.array([[5, 2]]), 1, 3), [[5, 2, 2]])
        np.testing.assert_array_equal(tokens_to_pixels(np.array([[2, 5]]), 1, 3), [[2, 2, 5]])

    @pytest.mark.parametrize("turn", [np.fliplr, np.flipud, np.transpose])
    def test_turning_before_or_after_is_the_same(self, rng, turn):
        regions = rng.integers(0, 4, (5, 5))
        whole = tokens_to_pixels(regions, 33, 33)
        np.testing.assert_array_equal(tokens_to_pixels(turn(regions), 33, 33), turn(whole))

    def test_numbers_of_more_than_16_bits(self):
        with pytest.raises(InputError, match="40000"):
            tokens_to_pixels(np.array([[40000]]), 2, 2)


@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_a_tiff_of_five_bands_is_no_picture(tmp_path, planes):
    tifffile = pytest.importorskip("tifffile")
    bands = np.zeros((8, 8, 5) if planes == "contig" else (5, 8, 8), np.uint8)
    path = tmp_path / "bands.tif"
    tifffile.imwrite(path, bands, photometric="rgb", planarconfig=planes, extrasamples=[0, 0])
    with pytest.raises(InputError, match="got a TIFF of 5 channels of 8-bit whole numbers"):
        read_image(path)
