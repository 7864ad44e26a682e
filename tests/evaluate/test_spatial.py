"""Left and right labels, against regions drawn by hand."""

import numpy as np
import pytest

from whatwhere.artifacts.errors import InputError
from whatwhere.datasets.record import IGNORE
from whatwhere.evaluate.spatial import left_right


def canvas(height=40, width=100, fill=IGNORE):
    return np.full((height, width), fill, np.int16)


def blots(classes=5, side=96, seed=0):
    """A partition of the image into blots of every class, and some ignored pixels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    centres = rng.random((40, 2)) * side
    nearest = ((y[..., None] - centres[:, 0]) ** 2 + (x[..., None] - centres[:, 1]) ** 2).argmin(-1)
    return (rng.integers(-1, classes, 40)[nearest]).astype(np.int16)


def test_two_regions_of_one_class():
    labels = canvas()
    labels[5:15, 5:15] = labels[20:30, 80:95] = 2
    expected = canvas()
    expected[5:15, 5:15], expected[20:30, 80:95] = 2, 3 + 2
    np.testing.assert_array_equal(left_right(labels, 3), expected)


def test_touching_regions_of_two_classes_are_apart():
    labels = canvas()
    labels[:, :20], labels[:, 20:40], labels[:, 60:] = 0, 1, 0
    expected = canvas()
    expected[:, :20], expected[:, 20:40], expected[:, 60:] = 0, 1, 2 + 0
    np.testing.assert_array_equal(left_right(labels, 2), expected)


def test_a_region_astride_the_centre_is_dropped():
    labels = canvas()
    labels[:10, 20:80] = 1  # its mean is the centre
    labels[20:, 30:50] = 0  # 10 to the left of it: still within a tenth of 100
    assert (left_right(labels, 2) == IGNORE).all()
    assert (left_right(labels, 2, ambiguous=0.09)[20:, 30:50] == 0).all()


@pytest.mark.parametrize(("start", "label"), [(29, 0), (30, IGNORE), (50, IGNORE), (51, 1)])
def test_the_band_has_its_edges_in_it(start, label):
    labels = canvas()
    labels[:, start : start + 20] = 0
    assert (left_right(labels, 1)[:, start : start + 20] == label).all()


def test_no_band_drops_only_the_centre():
    labels = canvas(width=101)
    labels[:, 50] = 0  # the middle column of an odd width
    assert (left_right(labels, 1, least_px=1, ambiguous=0.0) == IGNORE).all()
    labels[0, 49] = 0
    assert (left_right(labels, 1, least_px=1, ambiguous=0.0)[:, 50] == 0).all()


def test_the_mean_counts_not_the_extent():
    """A large body on the left with a thin arm to the right border is on the left."""
    labels = canvas()
    labels[:, :30] = labels[20, :] = 0
    np.testing.assert_array_equal(left_right(labels, 1), labels)


@pytest.mark.parametrize(("pixels", "label"), [(49, IGNORE), (50, 0)])
def test_least_pixels(pixels, label):
    labels = canvas()
    labels[:10, :5].flat[:pixels] = 0
    assert (labels == 0).sum() == pixels
    assert (left_right(labels, 1)[labels == 0] == label).all()
    assert (left_right(labels, 1, least_px=pixels)[labels == 0] == 0).all()


def test_corners_connect():
    labels = canvas()
    labels[:5, :5] = labels[5:10, 5:10] = 0  # 25 and 25 pixels that share a corner
    assert (left_right(labels, 1)[labels == 0] == 0).all()
    labels[:5, :5] = canvas(5, 5)
    labels[:5, :4] = 0
    assert (left_right(labels, 1) == IGNORE).all()


def test_ignored_pixels_neither_connect_nor_return():
    labels = blots()
    assert (left_right(labels, 5)[labels == IGNORE] == IGNORE).all()
    parted = canvas(fill=0)
    parted[:, 45:55] = IGNORE
    found = left_right(parted, 1)
    assert (found[:, :45] == 0).all()
    assert (found[:, 55:] == 1).all()
    assert (left_right(canvas(), 3) == IGNORE).all()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("side", [96, 97])
def test_mirroring_swaps_left_and_right(seed, side):
    labels = blots(seed=seed, side=side)
    found = left_right(labels, 5)
    mirrored = left_right(np.ascontiguousarray(labels[:, ::-1]), 5)[:, ::-1]
    np.testing.assert_array_equal(mirrored, np.where(found == IGNORE, IGNORE, (found + 5) % 10))
    assert set(np.unique(found // 5)) == {-1, 0, 1}
    kept = found != IGNORE
    np.testing.assert_array_equal(found[kept] % 5, labels[kept])


def test_turning_upside_down_changes_nothing():
    labels = blots()
    np.testing.assert_array_equal(left_right(labels[::-1].copy(), 5)[::-1], left_right(labels, 5))


@pytest.mark.parametrize(("label", "line"), [(3, "expected 0 to 2, got 3 to 3"), (-2, "expected 0 to 2, got -2 to -2")])
def test_label_out_of_range_is_one_line(label, line):
    with pytest.raises(InputError, match=line):
        left_right(canvas(fill=label), 3)
