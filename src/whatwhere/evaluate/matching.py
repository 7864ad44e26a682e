"""Unsupervised semantic segmentation of a data set (Tables 3 and 4): clusters are matched to classes once for all.

Counts of every image are added, then matched, then scored:

    counts = sum(matching_counts(regions, labels, clusters=27, classes=27) for regions, labels in images)
    mean_iou(counts, hungarian(counts)), accuracy(counts, hungarian(counts))

Files keep the counts of each image (`counted`, `stacked_counts`), which is what intervals are made of.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from whatwhere.artifacts.errors import InputError
from whatwhere.datasets.record import IGNORE
from whatwhere.evaluate.counted import Counted
from whatwhere.evaluate.resampling import times

#: Class of a cluster that was matched to none.
UNMATCHED = -1
#: Pixels of every cluster in every label, image by image; `target` is `what` (the classes) or `where` (their left and
#: right regions), `classes` how many labels that are; `draw` numbers the draws of clusters.
COUNTS = ["image", "target", "draw", "classes", "clusters", "cluster", "label", "pixels"]


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
    return _ious(_shares(counts, given))


def mean_iou(counts: Int[np.ndarray, "cluster label"], given: Int[np.ndarray, "cluster"], *, first: int = 0) -> float:
    """Mean of `class_iou` over the classes from `first` on, between 0 and 1; NaN where none of them counts.

    The pixels of the classes before `first` are scored all the same: one that was given a later class is in its union.

    ASSUME: a class with neither a true nor a given pixel does not count; one without a cluster counts as 0.
    """
    return float(_means(_ious(_shares(counts, given))[first:]))


def accuracy(counts: Int[np.ndarray, "cluster label"], given: Int[np.ndarray, "cluster"]) -> float:
    """Share of scored pixels whose cluster was given their class; NaN where nothing was scored."""
    return float(_shares(counts, given)[0].sum() / counts.sum()) if counts.any() else float("nan")


def bootstrap_interval(
    counts: Int[np.ndarray, "image cluster label"],
    given: Int[np.ndarray, "cluster"],
    *,
    resamples: int,
    rng: np.random.Generator,
    first: int = 0,
) -> tuple[float, float]:
    """95 % interval of `mean_iou(counts.sum(0), given, first=first)`: percentiles over resamples of the images.

    The clusters and their classes stay: `given` is the matching of the whole set, as `hungarian(counts.sum(0))`.
    Matched anew, a resample would be fitted by its matching and score higher than the set does. As in `mean_iou` a
    class counts in a resample where it has a true or a given pixel; a resample where none does is left out, and both
    ends are NaN where that is every one.
    """
    means = resampled(counts, given, resamples=resamples, rng=rng, first=first)
    if np.isnan(means).all():
        return float("nan"), float("nan")
    low, high = np.nanpercentile(means, [2.5, 97.5])
    return float(low), float(high)


def resampled(
    counts: Int[np.ndarray, "image cluster label"],
    given: Int[np.ndarray, "cluster"],
    *,
    resamples: int,
    rng: np.random.Generator,
    first: int = 0,
) -> Float[np.ndarray, "resample"]:
    """`mean_iou` of sets drawn from the images with replacement; see `bootstrap_interval`."""
    return _means(_resampled(counts, given, resamples, rng)[:, first:])


def resampled_accuracy(
    counts: Int[np.ndarray, "image cluster label"],
    given: Int[np.ndarray, "cluster"],
    *,
    resamples: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "resample"]:
    """`accuracy` of the same."""
    right, scored = _shares(counts, given)[0].sum(-1), counts.sum((1, 2))
    often = times(len(counts), resamples, rng)
    return np.divide(often @ right, often @ scored, out=np.full(resamples, np.nan), where=often @ scored > 0)


def class_intervals(
    counts: Int[np.ndarray, "image cluster label"],
    given: Int[np.ndarray, "cluster"],
    *,
    resamples: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "2 label"]:
    """The same for `class_iou`: lower and upper ends; NaN for a class that no resample has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of such a class
        return np.nanpercentile(_resampled(counts, given, resamples, rng), [2.5, 97.5], axis=0)


def _resampled(
    counts: Int[np.ndarray, "image cluster label"],
    given: Int[np.ndarray, "cluster"],
    resamples: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "resample label"]:
    """`class_iou` of sets drawn from the images with replacement."""
    return _ious(times(len(counts), resamples, rng) @ _shares(counts, given))


def counted(counts: Int[np.ndarray, "cluster label"], image: str, target: str, draw: int = 0) -> Counted:
    """Counts of one image as rows of a table, columns `COUNTS`; those of 0 are left out."""
    cluster, label = np.nonzero(counts)
    clusters, classes = counts.shape
    found = {"cluster": cluster, "label": label, "pixels": counts[cluster, label]}
    return {"image": image, "target": target, "draw": draw, "classes": classes, "clusters": clusters, **found}


def stacked_counts(found: pd.DataFrame) -> Int[np.ndarray, "image cluster label"]:
    """Counts from the rows of `counted`, of one target and draw and at least one image, by their names."""
    images, places = np.unique(found.image, return_inverse=True)
    counts = np.zeros((len(images), int(found.clusters.iloc[0]), int(found.classes.iloc[0])), np.int64)
    np.add.at(counts, (places, found.cluster.to_numpy(int), found.label.to_numpy(int)), found.pixels.to_numpy(int))
    return counts


def _shares(
    counts: Int[np.ndarray, "*image cluster label"], given: Int[np.ndarray, "cluster"]
) -> Int[np.ndarray, "3 *image label"]:
    """Of each class the pixels that are both, those that were given to it, and its true ones; they add up."""
    own = given[:, None] == np.arange(counts.shape[-1])  # a row without any for an unmatched cluster
    return np.stack([np.where(own, counts, 0).sum(-2), counts.sum(-1) @ own, counts.sum(-2)])


def _ious(shares: Int[np.ndarray, "3 *image label"]) -> Float[np.ndarray, "*image label"]:
    both, to, true = shares
    union = to + true - both
    return np.divide(both, union, out=np.full(union.shape, np.nan), where=union > 0)


def _means(ious: Float[np.ndarray, "*image label"]) -> Float[np.ndarray, "*image"]:
    """Over the labels that are not NaN; NaN where all are."""
    counted = np.isfinite(ious)
    classes = np.asarray(counted.sum(-1))
    sums = np.where(counted, ious, 0).sum(-1)
    return np.divide(sums, classes, out=np.full(classes.shape, np.nan), where=classes > 0)
