"""Named regions: the colours of their legend, a quiet background, and each name once, in its region."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from whatwhere.artifacts.errors import InputError
from whatwhere.publish.figures import (
    IGNORED,
    MID_GREY,
    PALETTE,
    Heading,
    Labels,
    Named,
    Photo,
    Row,
    draw_sheet,
    label_colours,
    name_colours,
    named_overlay,
)
from whatwhere.publish.figures.naming import name_swatch

NAMES = ("background", "sky", "road", "car", "tree")
GREY = np.full((80, 120, 3), MID_GREY, np.uint8)


def quarters(height=80, width=120):
    """Labels 0, 1 over 2, 3."""
    y, x = np.mgrid[:height, :width]
    return 2 * (y >= height // 2) + (x >= width // 2)


def written(image, labels, names):
    """Pixels that letters changed."""
    bare = name_colours(image, labels, len(names))
    return (named_overlay(image, labels, names) != bare).any(2)


def legend_of(path, cells):
    draw_sheet([Row("a", GREY, cells)], path, title="t", headings=[Heading("c")] * len(cells))
    with Image.open(path) as page:
        return np.asarray(page)[-60:]


def swatch(label):
    return name_swatch(label)[0, 0]


class TestColours:
    def test_a_label_is_the_palettes_colour_over_grey_and_the_background_is_paler_than_the_photo(self):
        shown = name_colours(GREY, quarters(), 4).astype(float)
        grey, centres = 64 + 0.75 * MID_GREY, [shown[y, x] for y in (20, 60) for x in (30, 90)]
        assert np.ptp(centres[0]) == 0
        assert 255 > centres[0][0] > grey > MID_GREY
        for label in (1, 2, 3):
            np.testing.assert_allclose(centres[label], 0.32 * grey + 0.68 * PALETTE[label], atol=0.6)

    def test_the_photo_shows_through_name_and_background(self):
        noise = np.random.default_rng(0).integers(0, 256, (80, 120, 1)).astype(np.uint8).repeat(3, 2)
        for label in (0, 1):
            shown = name_colours(noise, np.full((80, 120), label), 2)
            assert np.corrcoef(shown[..., 0].ravel(), noise[..., 0].ravel())[0, 1] > 0.99

    def test_regions_have_dark_lines_between_them_and_others_keep_their_colours(self):
        shown = name_colours(GREY, quarters(), 4)
        dark = (shown < 60).all(2)
        assert dark[:, 59:61].all()
        assert dark[39:41].all()
        assert not dark[:30, :50].any()

    def test_what_is_not_scored_is_striped_and_parts_no_region_from_the_background(self):
        labels = np.zeros((80, 120), int)
        labels[:, 60:] = -1
        shown = name_colours(GREY, labels, 1)
        assert set(np.unique(shown[:, 60:])) == set(IGNORED)
        assert (shown[:, :60] == shown[0, 0]).all()

    def test_beside_a_region_the_stripes_stay_whole(self):
        labels = np.ones((80, 120), int)
        labels[:, 60:] = -1
        shown = name_colours(GREY, labels, 2)
        assert set(np.unique(shown[:, 60:])) == set(IGNORED)
        assert (shown[:, 59] < 60).all()

    def test_the_colours_of_a_truth_with_the_same_names_are_those_of_label_maps(self):
        """Hues are the palette's by index, as in `label_colours`."""
        mixed = np.array([swatch(label) for label in range(1, 40)], float)
        plain = label_colours(np.arange(1, 40)[None], 40)[0].astype(float)
        np.testing.assert_allclose((mixed - 0.32 * (64 + 0.75 * MID_GREY)) / 0.68, plain, atol=1)


class TestNamed:
    def test_the_legend_has_the_colours_of_the_cells_and_only_what_occurs(self, tmp_path):
        labels = np.where(quarters() == 3, 4, quarters())
        labels[:8, :8] = -1
        cell = Named(labels, NAMES)
        drawn, legend = cell.draw(GREY, 80, 120), legend_of(tmp_path / "a.png", (cell, cell)).reshape(-1, 3)
        for label, (y, x) in {0: (30, 30), 1: (20, 90), 2: (60, 30), 4: (60, 90)}.items():
            np.testing.assert_array_equal(drawn[y, x], swatch(label))
            assert (legend == swatch(label)).all(1).any()
        assert not (legend == swatch(3)).all(1).any()
        assert (legend == IGNORED[0]).all(1).any()

    def test_predictions_on_tokens_and_a_truth_on_pixels_look_alike(self):
        tokens, pixels = Named(quarters(8, 12), NAMES), Named(quarters(800, 1200), NAMES)
        difference = np.abs(tokens.draw(GREY, 80, 120).astype(int) - pixels.draw(GREY, 80, 120)).max(2)
        far = np.abs(np.argwhere(difference > 0) - (40, 60)).max(1)
        assert far.max(initial=0) < 6  # rounded where four meet, and nowhere else

    def test_thin_borders_of_a_fine_truth_stay(self):
        labels = np.zeros((400, 600), int)
        labels[:, 300:306] = -1
        drawn = Named(labels, NAMES).draw(GREY, 80, 120)
        assert np.flatnonzero((drawn != drawn[0, 0]).any((0, 2))).tolist() == [60]

    def test_a_note_is_in_the_lower_left(self):
        bare, noted = (Named(quarters(), NAMES, note).draw(GREY, 176, 264) for note in ("", "mIoU 0.31"))
        changed = np.argwhere((bare != noted).any(2))
        assert changed.min(0)[0] > 130
        assert changed.max(0)[1] < 160

    def test_columns_of_other_kinds_with_the_same_names_share_their_entries(self, tmp_path):
        both = Named(quarters(), NAMES), Labels(np.where(quarters() == 0, 1, quarters()), NAMES)
        shared = legend_of(tmp_path / "a.png", both)
        alone = legend_of(tmp_path / "b.png", (both[0], Photo(GREY)))
        np.testing.assert_array_equal((shared < 60).all(2), (alone < 60).all(2))  # the same words

    @pytest.mark.parametrize("size", [(176, 264), (10, 300), (300, 10)])
    def test_it_has_the_size_that_is_asked_for(self, size):
        assert Named(quarters(), NAMES, "n").draw(GREY, *size).shape == (*size, 3)

    def test_the_same_cells_give_the_same_bytes(self, tmp_path):
        for name in "ab":
            legend_of(tmp_path / name, (Named(quarters(7, 9), NAMES, "n"),))
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()

    @pytest.mark.parametrize("names", [(), ("background", "a", "b")])
    def test_labels_without_a_name_are_refused(self, names):
        expected = rf"expected names for labels up to 3, got {len(names)}; "
        with pytest.raises(InputError, match=expected) as refused:
            Named(quarters(), names)
        assert "\n" not in str(refused.value)


class TestNamedOverlay:
    def test_each_name_is_written_once_inside_its_region_and_none_on_the_background(self):
        labels, image = quarters(400, 600), np.full((400, 600, 3), 90, np.uint8)
        letters = written(image, labels, NAMES)
        assert not letters[:200, :300].any()
        for rows, columns in (np.s_[:200, 300:], np.s_[200:, :300], np.s_[200:, 300:]):
            places = np.argwhere(letters[rows, columns])
            np.testing.assert_allclose((places.min(0) + places.max(0)) / 2, (100, 150), atol=8)
        assert not letters[:, 298:302].any()

    def test_the_largest_part_of_a_label_has_the_name_where_it_is_widest(self):
        labels, image = np.zeros((400, 600), int), np.full((400, 600, 3), 90, np.uint8)
        labels[10:60, 10:200] = 1
        labels[200:390, 300:590] = 1
        labels[280:300, 100:300] = 1  # an arm of the larger one
        places = np.argwhere(written(image, labels, NAMES))
        assert (places.min(0) > (200, 300)).all()

    def test_a_thin_arm_does_not_draw_the_name_away_from_where_a_region_is_wide(self):
        labels, image = np.zeros((400, 600), int), np.full((400, 600, 3), 90, np.uint8)
        labels[100:260, 20:180] = 1
        labels[170:190, 180:590] = 1
        places = np.argwhere(written(image, labels, NAMES))
        np.testing.assert_allclose((places.min(0) + places.max(0)) / 2, (180, 100), atol=8)

    def test_letters_are_white_in_dark_and_grow_with_the_image(self):
        heights = []
        for scale in (2, 4):
            image = np.full((200 * scale, 300 * scale, 3), 90, np.uint8)
            labels = np.ones(image.shape[:2], int)
            shown, letters = named_overlay(image, labels, NAMES), written(image, labels, NAMES)
            assert (shown[letters] == 255).all(1).any()
            assert (shown[letters] == 30).all(1).any()
            heights.append(np.ptp(np.argwhere(letters)[:, 0]))
        assert 1.6 < heights[1] / heights[0] < 2.4

    def test_names_of_neighbours_do_not_lie_on_each_other(self):
        labels, image = np.zeros((300, 300), int), np.full((300, 300, 3), 90, np.uint8)
        labels[:, 100:160], labels[:, 160:200] = 1, 2  # narrower than their names
        names = ("", "a long name", "another long one")
        one, two = (written(image, np.where(labels == label, labels, 0), names) for label in (1, 2))
        both = written(image, labels, names)
        assert both.sum() > 0.85 * (one.sum() + two.sum())

    def test_a_name_at_the_edge_or_wider_than_the_image_stays_in_it(self):
        image, labels = np.full((100, 140, 3), 90, np.uint8), np.zeros((100, 140), int)
        labels[90:, 130:] = 1
        for name in ("tree", "a name that is wider than the whole image is"):
            places = np.argwhere(written(image, labels, ("", name)))
            assert (places.min(0) > 0).all()
            assert (places.max(0) < (99, 139)).all()

    def test_a_label_of_one_pixel_in_a_large_image_has_its_name_too(self):
        image, labels = np.full((900, 900, 3), 90, np.uint8), np.zeros((900, 900), int)
        labels[501, 301] = 2
        places = np.argwhere(written(image, labels, NAMES))
        np.testing.assert_allclose((places.min(0) + places.max(0)) / 2, (501, 301), atol=10)

    def test_without_names_in_it_the_image_is_all_background_and_labels_may_be_unscored(self):
        image = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
        assert not written(image, np.zeros((40, 60), int), NAMES).any()
        assert not written(image, np.full((40, 60), -1), NAMES).any()

    def test_the_same_labels_give_the_same_pixels_and_the_image_stays(self):
        image = np.random.default_rng(0).integers(0, 256, (80, 120, 3)).astype(np.uint8)
        before = image.copy()
        np.testing.assert_array_equal(*(named_overlay(image, quarters(), NAMES) for _ in range(2)))
        np.testing.assert_array_equal(image, before)

    @pytest.mark.parametrize(
        ("labels", "names", "expected"),
        [
            (quarters(8, 12), NAMES, "expected 80 × 120 px as the image, got 8 × 12; "),
            (quarters(), NAMES[:3], "expected names for labels up to 3, got 3; "),
        ],
    )
    def test_what_does_not_fit_is_one_line(self, labels, names, expected):
        # TypeError: jaxtyping was faster, where it is switched on
        with pytest.raises((InputError, TypeError), match=f"{expected}|^Type-check error"):
            named_overlay(GREY, labels, names)
