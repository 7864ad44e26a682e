"""Unsupervised semantic segmentation of a data set (Tables 3 and 4): clusters are matched to classes once for all.

Counts of every image are added, then matched, then scored:

    counts = sum(matching_counts(regions, labels, clusters=27, classes=27) for regions, labels in images)
    mean_iou(counts, hungarian(counts)), accuracy(counts, hungarian(counts))
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from whatwhere.datasets.record import IGNORE
from whatwhere.errors import InputError

#: Class of a cluster that was matched to none.
UNMATCHED = -1


def matching_counts(
    regions: Int[np.ndarray, "*pixel"], labels: Int[np.ndarray, "*pixel"], *, clusters: int, classes: int
) -> Int[np.ndarray, "cluster label"]:
    """Pixels of every cluster in every class, ignored pixels left out; counts of images add up.

    Raises `InputError` for a cluster outside 0 … `clusters` − 1 or a label outside 0 … `classes` − 1.
    """
    scored = labels != IGNORE
    regions, labels = regions[scored].astype(np.int64), labels[scored].astype(np.int64)
    for name, values, most in (("regions", regions, clusters), ("labels", labels, classes)):
        if values.size and not 0 <= values.min() <= values.max() < most:
            raise InputError(f"{name}: expected 0 to {most - 1}, got {values.min()} to {values.max()}")
    return np.bincount(regions * classes + labels, minlength=clusters * classes).reshape(clusters, classes)


def hungarian(counts: Int[np.ndarray, "cluster label"]) -> Int[np.ndarray, "cluster"]:
    """Class of each cluster in the one-to-one matching with most pixels in common; `UNMATCHED` where too many."""
    given = np.full(len(counts), UNMATCHED)
    rows, columns = linear_sum_assignment(counts, maximize=True)
    given[rows] = columns
    return given


def greedy(counts: Int[np.ndarray, "cluster label"]) -> Int[np.ndarray, "cluster"]:
    """Each cluster's most frequent class, the lower one where two are; `UNMATCHED` for a cluster without a pixel."""
    return np.where(counts.any(1), counts.argmax(1), UNMATCHED)


def class_iou(
    counts: Int[np.ndarray, "cluster label"], given: Int[np.ndarray, "cluster"]
) -> Float[np.ndarray, "label"]:
    """IoU of each class with the clusters that were `given` it; NaN for a class in neither."""
    table = _table(counts, given)
    shared = table.diagonal()
    union = table.sum(1) + counts.sum(0) - shared
    return np.divide(shared, union, out=np.full(len(union), np.nan), where=union > 0)


def mean_iou(counts: Int[np.ndarray, "cluster label"], given: Int[np.ndarray, "cluster"]) -> float:
    """Mean of `class_iou`, between 0 and 1; NaN where nothing was scored.

    ASSUME: a class with neither a true nor a given pixel does not count; one without a cluster counts as 0.
    """
    each = class_iou(counts, given)
    return float(np.mean(each[np.isfinite(each)])) if np.isfinite(each).any() else float("nan")


def accuracy(counts: Int[np.ndarray, "cluster label"], given: Int[np.ndarray, "cluster"]) -> float:
    """Share of scored pixels whose cluster was given their class; NaN where nothing was scored."""
    return float(_table(counts, given).trace() / counts.sum()) if counts.any() else float("nan")


def bootstrap_interval(
    counts: Int[np.ndarray, "image cluster label"],
    match: Callable[[np.ndarray], np.ndarray],
    *,
    resamples: int,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """95 % interval of `mean_iou`: percentiles over resamples of the images, each matched anew by `match`."""
    images = len(counts)
    times = rng.multinomial(images, np.full(images, 1 / images), size=resamples)
    # products of floats are many times faster than of integers, and exact for whole numbers below 2**53
    exact = times.astype(np.float64) @ counts.reshape(images, -1).astype(np.float64)
    sums = exact.astype(np.int64).reshape(-1, *counts.shape[1:])
    low, high = np.nanpercentile([mean_iou(one, match(one)) for one in sums], [2.5, 97.5])
    return float(low), float(high)


def _table(counts: np.ndarray, given: np.ndarray) -> Int[np.ndarray, "given label"]:
    """Counts of clusters of one class added up; unmatched clusters give no pixel to any."""
    table = np.zeros((counts.shape[1],) * 2, counts.dtype)
    matched = given != UNMATCHED
    np.add.at(table, given[matched], counts[matched])
    return table
