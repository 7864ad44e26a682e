"""Borders that follow the image, on pictures whose edges are known; and what outlines and coverings score by hand."""

import numpy as np
import pytest

from whatwhere.datasets.images import tokens_to_pixels
from whatwhere.evaluate import borders
from whatwhere.evaluate.borders import masks_to_pixels, to_pixels, without_specks
from whatwhere.evaluate.outlines import covering, harmonic, outline_scores, outlines

RED, BLUE = (200, 60, 40), (40, 90, 180)


def two_colours(size, inside, noise=0.0):
    """Red, and blue `inside`."""
    image = np.where(inside[..., None], BLUE, RED) + noise * np.random.default_rng(0).normal(size=(*size, 3))
    return np.clip(image, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("off_px", [-5, -3, 3, 5])
@pytest.mark.parametrize("noise", [0, 5])
def test_a_border_off_by_half_a_patch_gets_to_the_images(off_px, noise):
    size, grid = (120, 160), (12, 16)  # patches of 10 px, between which the tokens' border lies at 70
    inside = np.broadcast_to(np.arange(160) >= 70 + off_px, size)
    regions = np.broadcast_to(np.arange(16) >= 7, grid).astype(int)
    image = two_colours(size, inside, noise)
    np.testing.assert_array_equal(to_pixels(regions, image), inside)
    assert (tokens_to_pixels(regions, *size) != inside).sum() == 120 * abs(off_px)
    (mask,) = masks_to_pixels(regions[None] > 0, image)
    np.testing.assert_array_equal(mask, inside)


def test_a_disc_between_tokens_gets_its_outline():
    y, x = np.indices((150, 200))
    inside = np.hypot(y - 71, x - 104) < 38
    share = inside.reshape(15, 10, 20, 10).mean((1, 3))
    found = to_pixels((share > 0.5).astype(int), two_colours(inside.shape, inside))
    np.testing.assert_array_equal(found, inside)


def test_what_is_larger_than_the_fit_is_as_exact_up_to_what_is_shown(monkeypatch):
    inside = np.broadcast_to(np.arange(400) >= 193, (300, 400))
    regions = np.broadcast_to(np.arange(20) >= 10, (15, 20)).astype(int)
    image = two_colours(inside.shape, inside)
    assert borders.FITTED_PX < inside.size < borders.SHOWN_PX
    np.testing.assert_array_equal(to_pixels(regions, image), inside)
    monkeypatch.setattr(borders, "SHOWN_PX", inside.size // 4)  # and beyond it by a pixel of that
    wrong = to_pixels(regions, image) != inside
    assert not wrong[:, :191].any()
    assert not wrong[:, 195:].any()


def test_without_the_image_they_are_the_tokens():
    rng = np.random.default_rng(0)
    regions, image = rng.integers(0, 4, (5, 7)), rng.integers(0, 256, (50, 70, 3), np.uint8)
    np.testing.assert_array_equal(to_pixels(regions, image, "tokens"), tokens_to_pixels(regions, 50, 70))
    for mask, found in zip(
        regions == np.arange(4)[:, None, None],
        masks_to_pixels(regions == np.arange(4)[:, None, None], image, "tokens"),
        strict=True,
    ):
        np.testing.assert_array_equal(found, tokens_to_pixels(mask.astype(np.int16), 50, 70) > 0)


def test_an_image_without_edges_moves_no_border_by_more_than_a_pixel():
    regions = np.zeros((10, 12), int)
    regions[:, 5:] = 3
    found = to_pixels(regions, np.full((100, 120, 3), 90, np.uint8))
    assert set(np.unique(found)) == {0, 3}
    assert np.abs((found == 0).sum(1) - 50).max() <= 1


def test_one_region_and_every_region_stay():
    image = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    np.testing.assert_array_equal(to_pixels(np.full((6, 6), 2), image), np.full((60, 60), 2))
    many = np.arange(36).reshape(6, 6)
    assert set(np.unique(to_pixels(many, image))) == set(range(36))


def test_a_mask_that_colours_would_take_elsewhere_stays(monkeypatch):
    inside = np.broadcast_to(np.arange(160) >= 75, (120, 160))
    image = two_colours(inside.shape, inside)
    mask = np.broadcast_to(np.arange(16) >= 7, (12, 16))
    monkeypatch.setattr(borders, "LEAST_AGREEMENT", 1.0)  # any change is too much
    (found,) = masks_to_pixels(mask[None], image)
    np.testing.assert_array_equal(found, tokens_to_pixels(mask.astype(np.int16), 120, 160) > 0)
    none = list(masks_to_pixels(np.zeros((0, 12, 16), bool), image))
    assert none == []


def test_specks_go_to_the_region_around_them():
    regions = np.zeros((20, 30), np.int16)
    regions[:, 15:] = 1
    speckled = regions.copy()
    speckled[3:5, 3:5] = 2  # in region 0
    speckled[10, 20] = 0  # in region 1
    speckled[7:9, 14:16] = 3  # on the border between them, of which each half has as many edges: the lower
    speckled[16, 26:28] = (4, 5)  # two beside each other
    expected = regions.copy()
    expected[7:9, 14:16] = 0
    np.testing.assert_array_equal(without_specks(speckled, 5), expected)
    np.testing.assert_array_equal(without_specks(speckled, 1), speckled)
    np.testing.assert_array_equal(without_specks(speckled, 10**6), speckled)


def test_covering_by_hand():
    truth = np.array([[0, 0, 0, 1, 1, -1]])
    # segment 0 (3 px) fits region 0 (2 px) with 2/3; segment 1 (2 px) region 1 (3 px) with 2/3; ignored pixels are out
    assert covering(np.array([[0, 0, 1, 1, 1, 1]]), truth) == pytest.approx(2 / 3)
    assert covering(np.array([[5, 5, 5, 2, 2, 2]]), truth) == 1
    assert covering(np.zeros((1, 6), int), truth) == pytest.approx((3 * 3 / 5 + 2 * 2 / 5) / 5)
    assert np.isnan(covering(np.zeros((1, 6), int), np.full((1, 6), -1)))


def test_outlines_within_reach_are_the_same():
    truth = np.zeros((400, 300), int)  # a diagonal of 500 px: 3.75 px of tolerance
    truth[:, 150:] = 1
    for shift, expected in ((0, 1.0), (3, 1.0), (4, 0.0)):
        found = np.zeros_like(truth)
        found[:, 150 + shift :] = 1
        assert outline_scores(found, [truth]) == (expected, expected)
    assert outline_scores(np.zeros_like(truth), [truth]) == (0.0, 0.0)
    assert outline_scores(truth, [np.zeros_like(truth)]) == (0.0, 0.0)
    # a second outline of its own: half of the precision; of two people one drew none of it
    double = truth + (np.arange(300) >= 250)
    assert outline_scores(double, [truth, np.zeros_like(truth)]) == (0.5, 1.0)
    assert harmonic(0.5, 1.0) == pytest.approx(2 / 3)
    assert harmonic(0.0, 0.0) == 0


def test_ignored_pixels_have_no_outline_of_their_own():
    truth = np.zeros((40, 40), int)
    truth[:, 20:] = 1
    ignored = truth.copy()
    ignored[:, 17:23] = -1
    assert outline_scores(truth, [ignored]) == (1.0, 1.0)
    assert outlines(truth).sum() == 40
