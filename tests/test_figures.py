"""Known arrays give known colours, and a figure is a page of known size, byte for byte."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from whatwhere.errors import InputError
from whatwhere.figures import (
    DPI,
    IGNORED,
    MID_GREY,
    PALETTE,
    Panel,
    eigenvector_rgb,
    figure3,
    label_colours,
    region_overlay,
)

#: Linear RGB as people without green and without red cones see it (Machado et al. 2009, severity 1).
DEUTAN = [[0.36732, 0.86065, -0.22797], [0.28009, 0.67250, 0.04741], [-0.01182, 0.04294, 0.96888]]
PROTAN = [[0.15229, 1.05258, -0.20487], [0.11450, 0.78628, 0.09922], [-0.00388, -0.04812, 1.05200]]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def waves(rows=14, columns=21, count=10):
    """Smooth vectors as a graph on a grid has them, the first one constant."""
    y, x = np.mgrid[:rows, :columns]
    y, x = (y + 0.5) / rows, (x + 0.5) / columns
    modes = [np.cos(np.pi * (i % 4) * x) * np.cos(np.pi * (i // 4) * y) for i in range(count)]
    return np.stack(modes, -1).astype(np.float32)


def panel(rng, name="one", height=224, width=336, truth=None, count=10):
    image = rng.integers(0, 256, (height // 8, width // 8, 3)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    regions = np.zeros((height, width), np.int16)
    regions[:, width // 2 :] = 1
    return Panel(name, image, waves(height // 16, width // 16, count), regions, truth)


class TestEigenvectors:
    def test_a_ramp_becomes_a_ramp_between_its_percentiles(self):
        ramp = np.arange(101.0).reshape(1, 101, 1)
        shown = eigenvector_rgb(ramp, 0, 1, 101)[0, :, 0]
        expected = np.clip((np.arange(101) - 1) / 98, 0, 1) * 255
        np.testing.assert_allclose(shown, expected, atol=0.51)

    def test_tokens_are_centred_on_their_pixels(self):
        two = np.array([0.0, 1.0]).reshape(1, 2, 1)
        # centres of the tokens lie at pixels 1.5 and 5.5 of 8: flat outside, linear between
        shown = eigenvector_rgb(two, 0, 2, 8)[0, :, 0]
        np.testing.assert_array_equal(shown[[0, 1, 6, 7]], [0, 0, 255, 255])
        np.testing.assert_allclose(shown[2:6], np.array([1, 3, 5, 7]) / 8 * 255, atol=0.51)

    def test_channels_are_three_vectors_in_order(self):
        vectors = waves()
        shown = eigenvector_rgb(vectors, 3, 56, 84)
        for channel in range(3):
            alone = eigenvector_rgb(vectors[:, :, 3 + channel : 4 + channel], 0, 56, 84)
            np.testing.assert_array_equal(shown[:, :, channel], alone[:, :, 0])

    def test_scale_and_offset_of_a_vector_do_not_matter(self):
        vectors = waves()
        shown = eigenvector_rgb(vectors * 1e-6 + 1e-6, 3, 56, 84).astype(int)
        np.testing.assert_allclose(shown, eigenvector_rgb(vectors, 3, 56, 84), atol=1)

    @pytest.mark.parametrize("level", [0.0, 1.0, -1e-9, 1e9])
    def test_a_constant_vector_with_noise_is_flat(self, rng, level):
        constant = np.full((14, 21, 1), level) + level * rng.normal(0, 1e-4, (14, 21, 1))
        assert (eigenvector_rgb(constant, 0, 56, 84) == MID_GREY).all()

    @pytest.mark.parametrize(("count", "first", "coloured"), [(5, 3, 2), (4, 3, 1), (3, 3, 0), (1, 6, 0)])
    def test_missing_vectors_are_mid_grey(self, count, first, coloured):
        shown = eigenvector_rgb(waves(count=count), first, 56, 84)
        flat = [(shown[:, :, channel] == MID_GREY).all() for channel in range(3)]
        assert flat == [False] * coloured + [True] * (3 - coloured)

    def test_an_attention_sink_does_not_hide_the_rest(self):
        vector = waves()[:, :, 1:2].copy()
        before = eigenvector_rgb(vector, 0, 56, 84)[:, 40:, 0]
        vector[3, 3] = 1000
        after = eigenvector_rgb(vector, 0, 56, 84)[:, 40:, 0]
        np.testing.assert_allclose(after.astype(int), before, atol=12)

    def test_a_grid_finer_than_the_picture_will_do(self):
        assert eigenvector_rgb(waves(40, 60), 0, 7, 9).shape == (7, 9, 3)


class TestRegions:
    def test_inside_a_region_grey_and_its_colour_are_mixed(self):
        image = np.full((20, 30, 3), 100, np.uint8)
        regions = np.repeat([0, 1], 15)[None].repeat(20, 0)
        shown = region_overlay(image, regions, alpha=0.5)
        for region, x in ((0, 0), (1, 29)):
            expected = (64 + 0.75 * 100) / 2 + PALETTE[region] / 2
            np.testing.assert_allclose(shown[10, x], expected, atol=0.51)

    def test_the_outline_is_dark_between_two_light_lines(self):
        shown = region_overlay(np.zeros((9, 12, 3), np.uint8), np.repeat([0, 1], 6)[None].repeat(9, 0))
        assert (shown[:, [5, 6]] == 38).all()
        assert (shown[:, [4, 7]] == 255).all()
        assert (shown[:, :4] == shown[0, 0]).all()

    def test_one_region_has_no_outline_and_alpha_0_no_colour(self, rng):
        image = rng.integers(0, 256, (9, 12, 1)).repeat(3, 2).astype(np.uint8)
        shown = region_overlay(image, np.zeros((9, 12), int), alpha=0.0)
        np.testing.assert_allclose(shown, 64 + 0.75 * image.astype(float), atol=0.6)

    def test_the_photo_shows_through(self, rng):
        image = rng.integers(0, 256, (9, 12, 3)).astype(np.uint8)
        shown = region_overlay(image, np.zeros((9, 12), int)).astype(float)
        luma = image @ [0.299, 0.587, 0.114]
        assert np.corrcoef(shown[..., 1].ravel(), luma.ravel())[0, 1] > 0.99

    def test_negative_numbers_are_refused(self):
        with pytest.raises(InputError, match=r"expected numbers from 0, got -1; "):
            region_overlay(np.zeros((2, 2, 3), np.uint8), np.full((2, 2), -1))


class TestLabels:
    def test_a_label_has_one_colour_whatever_else_there_is(self):
        labels = np.arange(12).reshape(3, 4)
        np.testing.assert_array_equal(label_colours(labels, 12), label_colours(labels, 30))
        np.testing.assert_array_equal(label_colours(labels[::-1], 12), label_colours(labels, 12)[::-1])
        np.testing.assert_array_equal(label_colours(labels, 12).reshape(-1, 3), PALETTE[:12])

    def test_ignored_pixels_are_striped(self):
        shown = label_colours(np.full((16, 16), -1), 3)
        assert set(np.unique(shown)) == set(IGNORED)
        assert abs((shown == IGNORED[0]).mean() - 0.5) < 0.01

    def test_labels_beyond_the_count_are_refused(self):
        with pytest.raises(InputError, match=r"expected numbers under 3, got 3; "):
            label_colours(np.array([[0, 3]]), 3)

    def test_many_segments_have_colours(self):
        assert label_colours(np.arange(400).reshape(20, 20), 400).shape == (20, 20, 3)


class TestPalette:
    """Distances in OKLab, where two colours side by side are told apart from about 0.02."""

    def closest(self, count, vision=None):
        share = PALETTE[:count] / 255
        linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
        if vision is not None:
            linear = np.clip(linear @ np.transpose(vision), 0, 1)
        cones = [[0.41222, 0.53633, 0.05145], [0.21190, 0.68070, 0.10740], [0.08830, 0.28172, 0.62998]]
        mixed = [[0.21045, 0.79362, -0.00407], [1.97800, -2.42859, 0.45059], [0.02590, 0.78277, -0.80868]]
        lab = np.cbrt(linear @ np.transpose(cones)) @ np.transpose(mixed)
        between = np.linalg.norm(lab[:, None] - lab, axis=2)
        return between[np.triu_indices(count, 1)].min()

    def test_colours_are_distinct(self):
        assert self.closest(10) > 0.15
        assert self.closest(30) > 0.1
        assert self.closest(40) > 0.08

    @pytest.mark.parametrize("vision", [DEUTAN, PROTAN])
    def test_they_are_for_colour_blind_readers_too(self, vision):
        assert self.closest(10, vision) > 0.07
        assert self.closest(30, vision) > 0.045

    def test_none_is_taken_for_the_grey_of_ignored_pixels(self):
        for grey in IGNORED:
            assert np.linalg.norm(PALETTE - np.full(3, float(grey)), axis=1).min() > 30  # and stripes besides


class TestPanel:
    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({"image": np.zeros((32, 48, 3))}, r"expected an image uint8 \[y, x, 3\], got float64"),
            ({"image": np.zeros((32, 48), np.uint8)}, r"expected an image uint8 \[y, x, 3\], got uint8"),
            ({"vectors": np.zeros((4, 6))}, r"expected finite vectors \[row, column, vector\]"),
            ({"vectors": np.full((2, 3, 1), np.nan)}, r"expected finite vectors"),
            (
                {"regions": np.zeros((2, 3), int)},
                r"expected regions of the image's \[32, 48\] px, got \[2, 3\]",
            ),
            ({"truth": np.zeros((48, 32), int)}, r"expected truth of the image's \[32, 48\] px"),
            ({"regions": np.full((32, 48), -1)}, r"expected regions numbered from 0, got -1"),
        ],
    )
    def test_arrays_that_do_not_fit_are_refused_by_name(self, change, expected):
        good = {
            "image": np.zeros((32, 48, 3), np.uint8),
            "vectors": np.zeros((2, 3, 1)),
            "regions": np.zeros((32, 48), int),
        }
        Panel("a", **good)
        # TypeError: jaxtyping was faster, where it is switched on
        with pytest.raises((InputError, TypeError), match=f"^panel a: {expected}|^Type-check error"):
            Panel("a", **(good | change))


class TestFigure3:
    def size(self, path):
        with Image.open(path) as page:
            page.load()
            assert (page.format, page.mode) == ("PNG", "RGB")
            assert page.info["dpi"] == pytest.approx((DPI, DPI), abs=0.1)
            assert set(page.info) == {"dpi"}
            return page.size

    def draw(self, path, panels, **options):
        figure3(panels, path, title="A title", **options)
        return self.size(path)

    def test_a_page_is_seven_inches_wide(self, tmp_path, rng):
        truth = np.zeros((224, 336), int)
        width, height = self.draw(tmp_path / "a.png", [panel(rng, truth=truth)] * 3)
        assert 6.5 < width / DPI < 7.1
        assert 3 * 176 < height < 3 * 176 + 150  # cells of 264 × 176 px and little else

    def test_the_truth_column_is_left_out_where_there_is_none(self, tmp_path, rng):
        truth = np.zeros((224, 336), int)
        without, with_one = [panel(rng)] * 2, [panel(rng), panel(rng, truth=truth)]
        narrow = self.draw(tmp_path / "a.png", without)
        wide = self.draw(tmp_path / "b.png", with_one)
        assert wide[0] - narrow[0] == 272
        assert wide[1] == narrow[1]

    @pytest.mark.parametrize(("count", "pictures"), [(1, 1), (3, 1), (4, 2), (9, 3), (15, 3)])
    def test_columns_that_no_vector_fills_are_left_out(self, tmp_path, rng, count, pictures):
        width, _ = self.draw(tmp_path / "a.png", [panel(rng, count=count)])
        full, _ = self.draw(tmp_path / "b.png", [panel(rng)])
        assert full - width == (3 - pictures) * 272

    def test_every_shape_has_its_place(self, tmp_path, rng):
        shapes = [(224, 336), (336, 224), (224, 224), (16, 320), (320, 16)]
        panels = [panel(rng, f"{h}x{w}", h, w) for h, w in shapes]
        _, height = self.draw(tmp_path / "a.png", panels)
        assert height < 4 * (264 + 8) + 200
        assert self.draw(tmp_path / "b.png", panels[1:2])[0] < self.draw(tmp_path / "c.png", panels[:1])[0]

    def test_the_cells_show_the_panel(self, tmp_path, rng):
        one = panel(rng, height=176, width=264)  # the size of a cell
        self.draw(tmp_path / "a.png", [one])
        with Image.open(tmp_path / "a.png") as page:
            pixels = np.asarray(page)
        left, bottom = 12 + 26, len(pixels) - 12  # margins, room for the id
        np.testing.assert_array_equal(pixels[bottom - 176 : bottom, left : left + 264], one.image)
        shown = pixels[bottom - 176 : bottom, left + 272 : left + 536]
        np.testing.assert_array_equal(shown, eigenvector_rgb(one.vectors, 0, 176, 264))

    def test_the_legend_names_what_occurs(self, tmp_path, rng):
        truth = np.zeros((224, 336), int)
        truth[:50] = 3
        classes = ("sky", "road", "car", "tree")
        self.draw(tmp_path / "a.png", [panel(rng, truth=truth)], classes=classes)
        with Image.open(tmp_path / "a.png") as page:
            legend = np.asarray(page)[-50:].reshape(-1, 3)
        present = [bool((legend == colour).all(1).any()) for colour in PALETTE[:4]]
        assert present == [True, False, False, True]

    def test_a_long_legend_and_caption_break_into_lines(self, tmp_path, rng):
        truth = np.arange(30).repeat(2520).reshape(225, 336)[:224]
        one = panel(rng, truth=truth)
        names = tuple(f"a class of the number {i}" for i in range(30))
        width, height = self.draw(tmp_path / "a.png", [one])
        same, higher = self.draw(tmp_path / "b.png", [one], classes=names, caption="many words " * 60)
        assert same == width
        assert higher > height + 300

    def test_names_of_any_kind_are_only_drawn(self, tmp_path, rng):
        for name in ("$x_1$", "a" * 300, "", "naïve–日本"):
            self.draw(tmp_path / "a.png", [panel(rng, name)], caption=name)

    def test_the_same_panels_give_the_same_bytes(self, tmp_path):
        files = [tmp_path / "a.png", tmp_path / "sub" / "b.png"]
        for file in files:
            self.draw(file, [panel(np.random.default_rng(1), truth=np.full((224, 336), -1))])
        assert files[0].read_bytes() == files[1].read_bytes()
        assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "sub"]

    def test_what_cannot_be_drawn_is_one_line_and_leaves_the_old_file(self, tmp_path, rng):
        file = tmp_path / "a.png"
        file.write_bytes(b"old")
        with pytest.raises(InputError, match="expected at least one panel, got none; "):
            figure3([], file, title="t")
        truth = np.zeros((224, 336), int)
        truth[0, 0] = 9  # one pixel, which the cell may not even show
        with pytest.raises(InputError, match="panel p: expected 2 classes, got label 9; "):
            figure3([panel(rng, "p", truth=truth)], file, title="t", classes=("a", "b"))
        assert file.read_bytes() == b"old"

    def test_torch_stays_out(self):
        code = "import sys, whatwhere.figures, whatwhere.report; sys.exit('torch' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], env=os.environ).returncode == 0
