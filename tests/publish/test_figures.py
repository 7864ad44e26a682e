"""Known arrays give known colours, and a figure is a page of known size, byte for byte."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import typing

import numpy as np
import pytest
from PIL import Image

from whatwhere.artifacts.errors import InputError
from whatwhere.publish.figures import (
    DPI,
    IGNORED,
    MID_GREY,
    PALETTE,
    Blank,
    Curve,
    Eigenvectors,
    Halves,
    Heading,
    Heat,
    Labels,
    Photo,
    Regions,
    Row,
    draw_curves,
    draw_sheet,
    eigenvector_rgb,
    for_screen,
    label_colours,
    plot_curves,
    region_overlay,
)
from whatwhere.publish.figures.colours import half_colours
from whatwhere.publish.figures.page import caption_of, images_of

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


def photo(rng, height=224, width=336):
    return rng.integers(0, 256, (height // 8, width // 8, 3)).astype(np.uint8).repeat(8, 0).repeat(8, 1)


def halves(rows=14, columns=21):
    """Regions: the left half and the right."""
    return np.repeat([0, 1], [columns // 2, columns - columns // 2])[None].repeat(rows, 0)


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

    def test_common_limits_give_a_value_one_colour_in_every_image(self):
        limits = np.array([[0.0, 4.0], [-1.0, 1.0], [2.0, 2.0]])
        small, large = (np.stack([np.full((2, 2), v) for v in (value, 0.0, 5.0)], -1) for value in (1.0, 3.0))
        for vectors, red in ((small, 64), (large, 191)):
            assert (eigenvector_rgb(vectors, 0, 8, 8, limits) == (red, 128, MID_GREY)).all()
        beyond = eigenvector_rgb(np.array([[[-9.0], [9.0]]]), 0, 1, 8, limits[:1])[0, :, 0]
        assert (beyond[0], beyond[-1]) == (0, 255)

    def test_limits_belong_to_their_vectors(self):
        vectors = waves()
        limits = np.stack([vectors.min((0, 1)), vectors.max((0, 1)) + 1], 1)
        later = eigenvector_rgb(vectors, 4, 56, 84, limits)
        np.testing.assert_array_equal(later, eigenvector_rgb(vectors[:, :, 4:], 0, 56, 84, limits[4:]))

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

    def test_halves_are_shades_of_their_class_lighter_on_the_left(self):
        labels = np.array([[0, 3], [2, 5]])
        left, right = np.moveaxis(half_colours(labels, 3).astype(float), 1, 0)
        own = PALETTE[[0, 2]].astype(float)
        np.testing.assert_allclose(left, (own + 255) / 2, atol=0.51)
        np.testing.assert_allclose(right, own * 0.65, atol=0.51)

    def test_halves_that_are_not_scored_are_striped_and_others_refused(self):
        assert set(np.unique(half_colours(np.full((16, 16), -1), 3))) == set(IGNORED)
        with pytest.raises(InputError, match=r"expected numbers under 6, got 6; "):
            half_colours(np.array([[0, 6]]), 3)

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


class TestCells:
    def test_each_kind_has_the_size_that_is_asked_for(self, rng):
        shown = photo(rng)
        labels = np.zeros((50, 70), int)
        cells = (Photo(shown), Eigenvectors(waves()), Regions(halves(), "K = 2"), Labels(labels, ("a",)), Blank("why"))
        cells += (Halves(labels, ("a",)), Heat(waves()[:, :, 1], (-1.0, 1.0)))
        for cell in cells:
            for size in ((176, 264), (10, 300), (300, 10)):
                picture = cell.draw(shown, *size)
                assert (picture.shape, picture.dtype) == ((*size, 3), np.uint8)

    def test_regions_lie_on_the_rows_photograph_whatever_shape_their_grid_has(self, rng):
        shown = photo(rng)
        expected = region_overlay(shown, np.repeat([0, 1], 168)[None].repeat(224, 0))
        for grid in ((14, 22), (14, 14), (2, 2)):
            picture = Regions(halves(*grid)).draw(shown, 224, 336)
            for far_from_the_outline in np.s_[20:200, 20:150], np.s_[20:200, 190:320]:
                difference = picture[far_from_the_outline].astype(int) - expected[far_from_the_outline]
                assert np.abs(difference).mean() < 3  # the photo was doubled and halved

    def test_a_note_is_a_white_label_in_the_lower_left(self, rng):
        shown = photo(rng)
        bare, noted = (Regions(halves(), note).draw(shown, 176, 264) for note in ("", "K = 2"))
        changed = np.argwhere((bare != noted).any(2))
        assert changed.min(0)[0] > 130
        assert changed.max(0)[1] < 132
        assert (noted[150:165, 7:10] == 255).all()

    def test_labels_take_the_nearest_pixel_and_segments_an_outline(self):
        labels = np.repeat([0, 1], 10)[None].repeat(20, 0)
        named, segments = (
            Labels(labels, classes).draw(np.zeros((1, 1, 3), np.uint8), 40, 40) for classes in (("a", "b"), ())
        )
        assert {tuple(c) for c in named.reshape(-1, 3)} == {tuple(c) for c in PALETTE[:2]}
        np.testing.assert_array_equal(named[:, [0, 39]], segments[:, [0, 39]])
        assert (segments[:, [19, 20]] > named[:, [19, 20]]).any(2).all()

    def test_heat_goes_from_dark_blue_to_yellow_between_its_limits(self):
        ramp = np.linspace(-3, 3, 9).reshape(1, 9)
        drawn = Heat(ramp, (-1.0, 1.0)).draw(np.zeros((1, 1, 3), np.uint8), 1, 9)[0].astype(int)
        assert (drawn[:3] == drawn[0]).all()
        assert (drawn[-3:] == drawn[-1]).all()
        assert drawn[0, 2] > drawn[0, :2].max() - 5
        assert drawn[-1, :2].min() > 200 > drawn[-1, 2]

    def test_blank_is_white_or_says_why_within_its_cell(self):
        nothing = np.zeros((1, 1, 3), np.uint8)
        assert (Blank().draw(nothing, 60, 90) == 255).all()
        for size in ((176, 264), (75, 112)):
            said = Blank("left out: folding is not exact on this backbone").draw(nothing, *size)
            assert (said < 150).any()
            assert (np.concatenate([said[[0, -1]].ravel(), said[:, [0, -1]].ravel()]) == 246).all()

    @pytest.mark.parametrize(
        ("make", "expected"),
        [
            (lambda: Eigenvectors(np.zeros((4, 6))), r"expected finite vectors \[row, column, vector\], got \[4, 6\]"),
            (lambda: Eigenvectors(np.full((2, 3, 1), np.nan)), r"expected finite vectors"),
            (
                lambda: Eigenvectors(np.zeros((2, 3, 4)), limits=np.zeros((3, 2))),
                r"expected limits \[4, 2\], got \[3, 2\]",
            ),
            (lambda: Eigenvectors(np.zeros((2, 3, 1)), limits=np.full((1, 2), np.nan)), r"limits \[1, 2\], .* NaN"),
            (lambda: Halves(np.array([[0, 4]]), ("a", "b")), "expected halves of 2 classes, got label 4"),
            (lambda: Regions(np.full((2, 3), -1)), "expected numbers from 0, got -1"),
            (lambda: Labels(np.array([[0, 9]]), ("a", "b")), "expected 2 classes, got label 9"),
            (lambda: Row("a", np.zeros((2, 3, 3)), ()), r"image a: expected uint8 \[y, x, 3\], got float64"),
            (lambda: Row("a", np.zeros((2, 3), np.uint8), ()), r"image a: expected uint8 \[y, x, 3\], got uint8"),
        ],
    )
    def test_arrays_that_cannot_be_drawn_are_refused(self, make, expected):
        # TypeError: jaxtyping was faster, where it is switched on
        with pytest.raises((InputError, TypeError), match=f"{expected}|^Type-check error"):
            make()


def sheet_row(rng, name="one", height=224, width=336, columns=6, truth=None):
    shown = photo(rng, height, width)
    cells = [Photo(shown), *(Eigenvectors(waves(), first) for first in (0, 3, 6)), Regions(halves(), "K = 2")]
    cells.append(Blank() if truth is None else Labels(truth, ("sky", "road", "car", "tree")))
    return Row(name, shown, tuple((cells * 3)[:columns]))


def pixels(path):
    with Image.open(path) as page:
        page.load()
        assert (page.format, page.mode) == ("PNG", "RGB")
        assert page.info["dpi"] == pytest.approx((DPI, DPI), abs=0.1)
        assert set(page.info) <= {"dpi", "Description", "Images"}  # the caption, ids, and neither time nor version
        return np.asarray(page)


class TestSheet:
    def draw(self, path, rows, groups=None, **options):
        headings = [Heading(f"Column {i}", (groups or {}).get(i, "")) for i in range(len(rows[0].cells))]
        draw_sheet(rows, path, title="A title", headings=headings, **options)
        return pixels(path)

    def test_a_page_is_seven_inches_wide(self, tmp_path, rng):
        height, width, _ = self.draw(tmp_path / "a.png", [sheet_row(rng)] * 3).shape
        assert 6.5 < width / DPI < 7.1
        assert 3 * 176 < height < 3 * 176 + 150  # cells of 264 × 176 px and little else

    @pytest.mark.parametrize("columns", [1, 2, 6, 7, 10, 13])
    def test_few_columns_keep_their_size_and_many_share_the_page(self, tmp_path, rng, columns):
        width = self.draw(tmp_path / "a.png", [sheet_row(rng, columns=columns)]).shape[1]
        expected = min(12 + 26 + columns * 272 - 8 + 12, 7 * DPI)
        assert expected - columns < width <= expected

    def test_columns_of_a_group_stand_together_under_a_line(self, tmp_path, rng):
        row = sheet_row(rng, columns=3)
        plain = self.draw(tmp_path / "a.png", [row])
        grouped = self.draw(tmp_path / "b.png", [row], {1: "dino", 2: "dino"})
        assert (grouped.shape[0] - plain.shape[0], grouped.shape[1] - plain.shape[1]) == (34 + 8, 8)
        lines = np.argwhere((grouped[:100] == 169).all(2))
        left, right = 12 + 26 + 264 + 16, 12 + 26 + 264 + 16 + 2 * 264 + 8 - 1
        assert (lines[:, 1].min(), lines[:, 1].max()) == (left, right)

    def test_every_shape_has_its_place(self, tmp_path, rng):
        shapes = [(224, 336), (336, 224), (224, 224), (16, 320), (320, 16)]
        rows = [sheet_row(rng, f"{h}x{w}", h, w) for h, w in shapes]
        assert self.draw(tmp_path / "a.png", rows).shape[0] < 4 * (264 + 8) + 200
        portrait, landscape = (self.draw(tmp_path / "b.png", [row]).shape[1] for row in (rows[1], rows[0]))
        assert portrait < landscape

    def test_the_cells_show_what_they_hold(self, tmp_path, rng):
        row = sheet_row(rng, height=176, width=264)  # the size of a cell
        page = self.draw(tmp_path / "a.png", [row])
        left, bottom = 12 + 26, len(page) - 12  # margins, room for the id
        for place, cell in enumerate(row.cells):
            shown = page[bottom - 176 : bottom, left + 272 * place : left + 272 * place + 264]
            np.testing.assert_array_equal(shown, cell.draw(row.photo, 176, 264))
        np.testing.assert_array_equal(page[bottom - 176 : bottom, left : left + 264], row.photo)

    def test_what_was_seen_stretched_gets_the_photographs_shape(self, tmp_path, rng):
        shown = photo(rng, 176, 264)
        square = Row("a", shown, (Photo(shown), Eigenvectors(waves(14, 14))))
        page = self.draw(tmp_path / "a.png", [square])
        right = page[-12 - 176 : -12, 12 + 26 + 272 : 12 + 26 + 272 + 264]
        np.testing.assert_array_equal(right, eigenvector_rgb(waves(14, 14), 0, 176, 264))

    def test_a_portrait_stands_in_the_middle_of_its_column(self, tmp_path):
        black = [np.zeros((*size, 3), np.uint8) for size in ((176, 264), (264, 176))]
        page = self.draw(tmp_path / "a.png", [Row(str(i), shown, (Photo(shown),)) for i, shown in enumerate(black)])
        place = np.argwhere((page[-12 - 100] == 0).all(1))
        assert (place.min() - 38, 38 + 264 - 1 - place.max()) == (44, 44)

    def test_the_legend_names_what_occurs(self, tmp_path, rng):
        truth = np.zeros((224, 336), int)
        truth[:50] = 3
        legend = self.draw(tmp_path / "a.png", [sheet_row(rng, truth=truth)])[-50:].reshape(-1, 3)
        present = [bool((legend == colour).all(1).any()) for colour in PALETTE[:4]]
        assert present == [True, False, False, True]

    def test_the_legend_has_the_classes_own_order_over_all_rows(self, tmp_path, rng):
        rows = [sheet_row(rng, truth=np.full((224, 336), label)) for label in (3, 1)]
        legend = self.draw(tmp_path / "a.png", rows)[-50:]
        places = [np.argwhere((legend == PALETTE[label]).all(2))[:, 1].min() for label in (1, 3)]
        assert places == sorted(places)

    def test_columns_with_other_classes_add_their_own_to_the_legend(self, tmp_path, rng):
        shown = photo(rng)
        maps = Labels(np.zeros((9, 9), int), ("sky",)), Labels(np.full((9, 9), -1), ("left", "right"))
        one, both = (self.draw(tmp_path / "a.png", [Row("a", shown, cells)]) for cells in ((maps[0],) * 2, maps))
        names = (one[-40:] < 100).all(2).sum(), (both[-40:] < 100).all(2).sum()
        assert names[1] > names[0]

    def test_the_legend_of_halves_has_both_shades_of_each_class_that_occurs(self, tmp_path, rng):
        split = Halves(np.array([[1, 1], [-1, 4]]), ("sky", "road", "car"))  # road on both sides
        legend = self.draw(tmp_path / "a.png", [Row("a", photo(rng), (split, split))])[-80:]
        road = half_colours(np.array([[1, 4]]), 3)[0]
        places = [np.argwhere((legend == colour).all(2))[:, 1] for colour in (road[0], PALETTE[1], road[1])]
        assert places[0].max() < places[1].min() <= places[1].max() < places[2].min()
        assert not (legend == PALETTE[0]).all(2).any()
        assert (legend == IGNORED[0]).all(2).any()

    def test_beside_whole_labels_the_legend_has_the_shades_of_halves(self, tmp_path, rng):
        maps = Labels(np.array([[1]]), ("sky", "road")), Halves(np.array([[0, 3]]), ("sky", "road"))
        legends = [self.draw(tmp_path / "a.png", [Row("a", photo(rng), pair)])[-38:] for pair in (maps, maps[::-1])]
        np.testing.assert_array_equal(*legends)
        for shade in half_colours(np.array([[0, 2, 1, 3]]), 2)[0]:
            assert (legends[0] == shade).all(2).any()

    def test_long_headings_legends_and_captions_break_into_lines(self, tmp_path, rng):
        labels = np.arange(30).repeat(2520).reshape(225, 336)
        plain, named = (
            [Row("a", photo(rng), (Labels(labels, classes),) * 6)]
            for classes in ((), tuple(f"a class of the number {i}" for i in range(30)))
        )
        height, width, _ = self.draw(tmp_path / "a.png", plain).shape
        higher, same, _ = self.draw(tmp_path / "b.png", named, caption="many words " * 60).shape
        assert same == width
        assert higher > height + 300
        long = [Heading("very many words " * 5), Heading("w" * 100)] * 3
        draw_sheet(plain, tmp_path / "c.png", title="t", headings=long)
        assert pixels(tmp_path / "c.png").shape[1] == width
        one, first = (self.draw(tmp_path / "d.png", plain, caption=words) for words in ("w", "w" * 300))
        assert one.shape == first.shape  # no empty line before a word that is too long

    def test_names_of_any_kind_are_only_drawn(self, tmp_path, rng):
        for name in ("$x_1$", "a" * 300, "", "naïve–日本"):
            self.draw(tmp_path / "a.png", [sheet_row(rng, name)], {1: name}, caption=name)
            assert caption_of(tmp_path / "a.png") == name
            assert images_of(tmp_path / "a.png") == [name]

    def test_the_same_rows_give_the_same_bytes(self, tmp_path):
        files = [tmp_path / "a.png", tmp_path / "sub" / "b.png"]
        for file in files:
            self.draw(file, [sheet_row(np.random.default_rng(1), truth=np.full((224, 336), -1))], {0: "g"})
        assert files[0].read_bytes() == files[1].read_bytes()
        assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "sub"]

    def test_what_cannot_be_drawn_is_one_line_and_leaves_the_old_file(self, tmp_path, rng):
        file, row = tmp_path / "a.png", sheet_row(rng)
        file.write_bytes(b"old")
        for rows, headings in (([], [Heading("a")]), ([row], [])):
            with pytest.raises(InputError, match=r"expected images and columns, got \d rows, \d columns; "):
                draw_sheet(rows, file, title="t", headings=headings)
        with pytest.raises(InputError, match="expected 1 cells a row, got 6 of image one; "):
            draw_sheet([row], file, title="t", headings=[Heading("a")])
        assert file.read_bytes() == b"old"

    def test_importing_needs_neither_torch_nor_matplotlib(self):
        code = "import sys, whatwhere.publish.figures, whatwhere.publish.report; "
        code += "sys.exit(bool({'torch', 'matplotlib'} & {*sys.modules}))"
        assert subprocess.run([sys.executable, "-c", code], env=os.environ).returncode == 0


K = np.arange(2.0, 11)


def curve(height=0.4, width=0.05):
    y = height * (1 - 1 / K)
    return Curve(K, y, y - width, y + width)


def level(y=0.3, x=2.5):
    return Curve(None if x is None else np.array([x]), np.array([y]), np.array([y - 0.1]), np.array([y + 0.02]))


class TestCurves:
    PANELS: typing.ClassVar = {
        "dino": {"ours": curve(), "ncut": curve(0.3), "masks": level()},
        "mae": {"ncut": curve(0.2), "ours": curve(0.5), "tokens": level(0.1, None)},
    }

    def plot(self, panels):
        figure = plot_curves(panels, x_label="K", y_label="mIoU")
        return {axes.get_title(): axes for axes in figure.axes}

    def line(self, axes, given):
        return next(line for line in axes.lines if list(line.get_ydata()) == list(given.y) and line.get_linewidth() > 0)

    def test_lines_and_bands_are_the_data(self):
        plots = self.plot(self.PANELS)
        assert list(plots) == ["dino", "mae"]
        for name, axes in plots.items():
            for given in (c for c in self.PANELS[name].values() if not c.level):
                np.testing.assert_array_equal(self.line(axes, given).get_xdata(), K)
                corners = [path.vertices for band in axes.collections for path in band.get_paths()]
                ends = {(x, y) for x, *both in zip(K, given.low, given.high, strict=True) for y in both}
                assert any(ends <= {tuple(corner) for corner in band} for band in corners)

    def test_a_score_without_k_is_a_dashed_line_across_with_its_band_and_mark(self):
        axes = self.plot(self.PANELS)["dino"]
        across = next(line for line in axes.lines if line.is_dashed())
        np.testing.assert_allclose(across.get_ydata(), 0.3)
        np.testing.assert_array_equal(across.get_xdata(), [0, 1])  # of the width of the plot
        (band,) = axes.patches
        np.testing.assert_allclose(band.get_bbox().intervaly, [0.2, 0.32])
        marks = [line for line in axes.lines if list(line.get_xdata()) == [2.5]]
        assert [list(mark.get_ydata()) for mark in marks] == [[0.3]]
        assert all(list(line.get_xdata()) in ([0, 1], list(K)) for line in self.plot(self.PANELS)["mae"].lines)

    def test_a_method_looks_the_same_everywhere_and_like_no_other(self):
        plots = self.plot(self.PANELS)
        looks = {}
        for name, axes in plots.items():
            for method in ("ours", "ncut"):
                line = self.line(axes, self.PANELS[name][method])
                looks.setdefault(method, set()).add((line.get_color(), line.get_marker()))
        (ours,), (ncut,) = looks.values()
        assert not set(ours) & set(ncut)
        many = {f"method {i}": curve(0.1 * i) for i in range(20)}
        lines = self.plot({"a": many})["a"].lines
        assert len({(line.get_color(), line.get_marker()) for line in lines}) == 20

    def test_the_legend_names_every_method_once_and_reads_by_rows(self):
        figure = plot_curves(self.PANELS, x_label="K", y_label="mIoU")
        (legend,) = figure.legends
        assert [text.get_text() for text in legend.get_texts()] == ["ours", "ncut", "masks", "tokens"]
        five = {name: level(0.1, None) for name in "abcde"}
        (legend,) = plot_curves({"p": five}, x_label="K", y_label="mIoU").legends
        # three columns, filled one after the other
        assert [text.get_text() for text in legend.get_texts()] == ["a", "d", "b", "e", "c"]

    @pytest.mark.parametrize("count", [1, 2, 4, 5, 7, 9])
    def test_plots_share_one_scale_and_the_lowest_of_each_column_are_labelled(self, count):
        plots = list(self.plot({str(i): {"ours": curve(0.1 * (i + 1))} for i in range(count)}).values())
        assert len(plots) == count
        assert len({(axes.get_xlim(), axes.get_ylim()) for axes in plots}) == 1
        across = -(-count // -(-count // 4))
        assert [axes.get_xlabel() for axes in plots] == [""] * (count - across) + ["K"] * across
        assert [axes.get_ylabel() for axes in plots] == ["mIoU" if i % across == 0 else "" for i in range(count)]

    def test_the_file_is_a_page_wide_and_the_same_every_time_whatever_the_users_own_settings(self, tmp_path):
        import matplotlib

        options = {"title": "A title", "x_label": "K", "y_label": "mIoU", "caption": "Words."}
        draw_curves(self.PANELS, tmp_path / "a.png", **options)
        with matplotlib.rc_context({"axes.facecolor": "red", "font.size": 20, "lines.dash_capstyle": "round"}):
            draw_curves(self.PANELS, tmp_path / "b.png", **options)
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
        assert pixels(tmp_path / "a.png").shape[1] == 7 * DPI
        assert (pixels(tmp_path / "a.png")[[0, -1]] == 255).all()

    @pytest.mark.parametrize(
        ("make", "expected"),
        [
            (lambda: Curve(K, K, K, K[:3]), "expected as many x as y, low and high"),
            (lambda: Curve(None, K, K, K), "or one y, got"),
            (lambda: Curve(K[:0], K[:0], K[:0], K[:0]), "expected as many x"),
            (lambda: Curve(K, K * np.nan, K, K), "expected finite numbers"),
        ],
    )
    def test_curves_that_cannot_be_drawn_are_refused(self, make, expected):
        with pytest.raises((InputError, TypeError), match=f"^curve: .*{expected}|^Type-check error"):
            make()

    def test_no_curves_at_all_are_refused(self, tmp_path):
        with pytest.raises(InputError, match="expected at least one curve, got none; "):
            draw_curves({"dino": {}}, tmp_path / "a.png", title="", x_label="", y_label="")
        assert not list(tmp_path.iterdir())


class TestScreen:
    def error(self, path):
        with Image.open(io.BytesIO(for_screen(path))) as shown:
            assert shown.format == "WEBP"
            difference = np.asarray(shown.convert("RGB")).astype(float) - pixels(path)
        return np.sqrt((difference**2).mean())

    def test_pictures_are_a_fraction_as_large_and_look_the_same(self, tmp_path, rng):
        smooth = Image.fromarray(rng.integers(0, 256, (12, 18, 3)).astype(np.uint8)).resize((336, 224))
        noisy = np.clip(np.asarray(smooth) + rng.normal(0, 4, (224, 336, 3)), 0, 255).astype(np.uint8)
        cells = (Photo(noisy), Regions(halves(), "K = 2"), *(Eigenvectors(waves(), first) for first in (0, 3, 6)))
        headings = [Heading(f"Column {i}") for i in range(5)]
        draw_sheet([Row("a", noisy, cells)] * 4, tmp_path / "a.png", title="t", headings=headings)
        assert len(for_screen(tmp_path / "a.png")) < (tmp_path / "a.png").stat().st_size / 4
        assert self.error(tmp_path / "a.png") < 5
        assert for_screen(tmp_path / "a.png") == for_screen(tmp_path / "a.png")

    def test_of_curves_nothing_is_lost(self, tmp_path):
        draw_curves(TestCurves.PANELS, tmp_path / "a.png", title="t", x_label="K", y_label="mIoU")
        assert self.error(tmp_path / "a.png") == 0
