"""Masks over a photograph: each its own colour, all of them seen, and the photograph where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from whatwhere.artifacts.errors import InputError
from whatwhere.publish.figures import PALETTE, Heading, Instances, Photo, Row, draw_sheet, instance_overlay


def photo(height=240, width=360):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


def box(top, bottom, left, right, shape=(240, 360)):
    mask = np.zeros(shape, bool)
    mask[top:bottom, left:right] = True
    return mask


def filled(image, colour):
    return np.rint((64 + 0.75 * (image @ [0.299, 0.587, 0.114]))[..., None] * 0.45 + colour * 0.55)


LARGE, SMALL = box(20, 200, 20, 200), box(80, 120, 80, 120)


class TestOverlay:
    def test_inside_its_outline_a_mask_is_its_colour_over_grey_and_outside_the_photo_is_as_it_is(self):
        image, masks = photo(), np.stack([box(20, 100, 20, 100), box(20, 100, 200, 300)])
        shown = instance_overlay(image, masks)
        for place, inside in enumerate((np.s_[30:90, 30:90], np.s_[30:90, 210:290])):
            np.testing.assert_allclose(shown[inside], filled(image[inside], PALETTE[place]), atol=1)
        np.testing.assert_array_equal(shown[110:], image[110:])
        np.testing.assert_array_equal(shown[:, 110:190], image[:, 110:190])

    def test_the_outline_is_the_masks_colour_inside_and_white_outside(self):
        row = instance_overlay(photo(), box(50, 150, 50, 150)[None])[100].astype(int)
        assert (row[[49, 150]] == 255).all()
        np.testing.assert_array_equal(row[[50, 149]], np.rint(PALETTE[[0, 0]] * 0.8))

    def test_at_the_images_edge_a_mask_has_no_outline(self):
        image = photo()
        shown = instance_overlay(image, box(0, 240, 0, 180)[None])
        np.testing.assert_allclose(shown[:, :170], filled(image[:, :170], PALETTE[0]), atol=1)

    @pytest.mark.parametrize("order", [(0, 1), (1, 0)])
    def test_smaller_masks_lie_on_larger_ones_and_keep_their_number(self, order):
        image, masks = photo(), np.stack([LARGE, SMALL])[list(order)]
        shown = instance_overlay(image, masks)
        np.testing.assert_allclose(
            shown[90:110, 90:110], filled(image[90:110, 90:110], PALETTE[order.index(1)]), atol=1
        )
        np.testing.assert_allclose(shown[30:70, 30:70], filled(image[30:70, 30:70], PALETTE[order.index(0)]), atol=1)

    def test_of_equal_masks_the_first_is_seen(self):
        image = photo()
        np.testing.assert_array_equal(
            instance_overlay(image, np.stack([LARGE, LARGE])), instance_overlay(image, LARGE[None])
        )

    def test_masks_on_a_grid_are_where_masks_on_pixels_are(self):
        fine = box(60, 180, 90, 270)
        coarse = np.stack([fine[15::30, 15::30]])  # 8 × 12 tokens
        image = np.full((240, 360, 3), 90, np.uint8)
        on_tokens, on_pixels = (instance_overlay(image, masks) for masks in (coarse, fine[None]))
        different = np.argwhere((on_tokens != on_pixels).any(2))
        corners = np.array([(y, x) for y in (60, 180) for x in (90, 270)])
        assert np.abs(different[:, None] - corners).max(2).min(1).max() < 20  # rounded there, and nowhere else

    def test_a_mask_much_finer_than_the_image_does_not_vanish(self):
        image = np.full((24, 36, 3), 90, np.uint8)
        assert (instance_overlay(image, box(120, 121, 180, 181)[None]) != image).any()

    def test_without_masks_or_with_empty_ones_it_is_the_photo(self):
        image = photo()
        for masks in (np.zeros((0, 8, 12), bool), np.zeros((0, 0, 0), bool), np.zeros((3, 8, 12), bool)):
            np.testing.assert_array_equal(instance_overlay(image, masks), image)

    def test_many_masks_have_colours_and_the_photo_is_not_written_to(self):
        image = photo()
        before = image.copy()
        masks = np.random.default_rng(1).random((90, 8, 12)) > 0.8
        np.testing.assert_array_equal(*(instance_overlay(image, masks) for _ in range(2)))
        np.testing.assert_array_equal(image, before)

    @pytest.mark.parametrize("masks", [np.zeros((2, 8, 12), int), np.zeros((8, 12), bool)])
    def test_other_arrays_are_refused_in_one_line(self, masks):
        # TypeError: jaxtyping was faster, where it is switched on
        expected = r"expected boolean masks \[mask, row, column\], got .*; stack[^\n]*$|^Type-check error"
        for make in (Instances, lambda masks: instance_overlay(photo(), masks)):
            with pytest.raises((InputError, TypeError), match=expected):
                make(masks)


class TestCell:
    def test_without_masks_it_is_the_photo_with_its_note(self):
        image, none = photo(), np.zeros((0, 8, 12), bool)
        plain = Photo(image).draw(image, 176, 264)
        np.testing.assert_array_equal(Instances(none).draw(image, 176, 264), plain)
        changed = np.argwhere((Instances(none, "no masks").draw(image, 176, 264) != plain).any(2))
        assert changed.min(0)[0] > 130
        assert changed.max(0)[1] < 170

    @pytest.mark.parametrize("size", [(176, 264), (10, 300), (300, 10)])
    @pytest.mark.parametrize("count", [0, 2])
    def test_it_has_the_size_that_is_asked_for(self, size, count):
        masks = np.ones((count, 5, 7), bool)
        assert Instances(masks, "n").draw(photo(), *size).shape == (*size, 3)

    def test_it_shows_the_overlay_of_the_rows_photo_at_its_size(self):
        image, masks = photo(), np.stack([box(60, 180, 90, 270)])
        inside = Instances(masks).draw(image, 120, 180)[40:80, 60:120]
        expected = instance_overlay(image, masks)[80:160, 120:240].reshape(40, 2, 60, 2, 3).mean((1, 3))
        np.testing.assert_allclose(inside, expected, atol=1)

    def test_sheets_of_them_have_no_legend_and_the_same_bytes(self, tmp_path):
        masks = np.stack([box(60, 180, 90, 270)])
        heights = []
        for name, cell in {"a": Instances(masks, "n"), "b": Instances(masks, "n"), "c": Photo(photo())}.items():
            draw_sheet([Row("a", photo(), (cell,))], tmp_path / name, title="t", headings=[Heading("h")])
            heights.append(int.from_bytes((tmp_path / name).read_bytes()[20:24], "big"))
        assert len(set(heights)) == 1
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
