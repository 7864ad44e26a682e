"""Oracle decoding and its intervals, against answers worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from whatwhere.evaluate.counted import counted_table
from whatwhere.evaluate.oracle import COUNTS, bootstrap_interval, mean_iou, oracle_counts


def counts(regions, labels, image="a", annotator=0):
    about = {"image": image, "annotator": annotator}
    return counted_table([oracle_counts(np.array(regions), np.array(labels)) | about], COUNTS)


def test_by_hand():
    # region 0 covers three of label 0 and one of label 1; region 1 covers two of label 1
    frame = counts([[0, 0, 0, 0, 1, 1]], [[0, 0, 0, 1, 1, 1]])
    assert mean_iou(frame, shared_classes=True) == pytest.approx((3 / 4 + 2 / 3) / 2)


def test_regions_that_refine_the_labels_are_perfect():
    labels = np.random.default_rng(0).integers(0, 4, (8, 8))
    regions = labels * 3 + np.random.default_rng(1).integers(0, 3, (8, 8))
    assert mean_iou(counts(regions, labels), shared_classes=True) == 1


def test_numbering_of_regions_does_not_matter():
    rng = np.random.default_rng(0)
    labels, regions = rng.integers(0, 4, (9, 9)), rng.integers(0, 5, (9, 9))
    a = mean_iou(counts(regions, labels), shared_classes=True)
    assert a == mean_iou(counts(rng.permutation(5)[regions], labels), shared_classes=True)


def test_ignored_pixels_do_not_count():
    frame = counts([[0, 0, 0, 1]], [[0, 0, -1, -1]])
    assert mean_iou(frame, shared_classes=True) == 1
    assert frame.actual.sum() == 2
    assert not oracle_counts(np.zeros((2, 2), int), np.full((2, 2), -1))["label"].size


def test_dataset_score_sums_counts_over_images():
    both = pd.concat([counts([[0, 0]], [[0, 0]]), counts([[0, 0, 0, 0]], [[0, 0, 0, 1]], image="b")])
    # label 0: 2 + 3 of 2 + 4; label 1: 0 of 1
    assert mean_iou(both, shared_classes=True) == pytest.approx((5 / 6 + 0) / 2)


def test_annotators_are_averaged_inside_their_image():
    both = pd.concat(
        [
            counts([[0, 0]], [[0, 0]]),
            counts([[0, 0]], [[0, 1]], annotator=1),
            counts([[0, 1]], [[0, 1]], image="b"),
        ]
    )
    assert mean_iou(both, shared_classes=False) == pytest.approx(((1 + 0.25) / 2 + 1) / 2)


@pytest.mark.parametrize("shared", [True, False])
def test_interval_contains_the_mean_and_shrinks(shared):
    def sample(images):
        rng = np.random.default_rng(0)
        frames = []
        for i in range(images):
            labels = rng.integers(0, 3, (8, 8))
            regions = np.where(rng.random((8, 8)) < rng.random(), labels, rng.integers(0, 3, (8, 8)))
            frames.append(counts(regions, labels, image=f"i{i}"))
        frame = pd.concat(frames)
        rng = np.random.default_rng(1)
        return mean_iou(frame, shared_classes=shared), *bootstrap_interval(
            frame, shared_classes=shared, resamples=500, rng=rng
        )

    small, large = sample(8), sample(80)
    for mean, low, high in (small, large):
        assert low < mean < high
    assert large[2] - large[1] < 0.6 * (small[2] - small[1])


def test_interval_equals_plain_resampling():
    rng = np.random.default_rng(0)
    frames = {f"i{i}": counts(rng.integers(0, 3, (6, 6)), rng.integers(0, 3, (6, 6)), image=f"i{i}") for i in range(6)}
    frame = pd.concat(frames.values())
    times = np.random.default_rng(5).multinomial(6, np.full(6, 1 / 6), size=40)
    scores = [
        mean_iou(pd.concat([frames[f"i{i}"] for i in range(6) for _ in range(row[i])]), shared_classes=True)
        for row in times
    ]
    expected = np.percentile(scores, [2.5, 97.5])
    found = bootstrap_interval(frame, shared_classes=True, resamples=40, rng=np.random.default_rng(5))
    np.testing.assert_allclose(found, expected)
