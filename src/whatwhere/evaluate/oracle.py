"""Oracle decoding (paper, section 4.1): each region takes the true label it overlaps most; then mIoU."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from whatwhere.datasets.record import IGNORE
from whatwhere.evaluate.resampling import times

#: Columns of the counts: one row for each image, annotator and label that occurs.
COUNTS = ["image", "annotator", "label", "intersection", "predicted", "actual"]


def oracle_counts(
    regions: Int[np.ndarray, "y x"], labels: Int[np.ndarray, "y x"]
) -> dict[str, Int[np.ndarray, "label"]]:
    """Pixel counts of every label after oracle decoding, ignored pixels left out: columns of `COUNTS` from `label` on.

    A label that is neither there nor given to a region has no row. Ties go to the lower label.
    """
    valid = labels != IGNORE
    overlap = _overlap(regions[valid], labels[valid])
    given, count = overlap.argmax(1), overlap.shape[1]
    intersection, predicted = (
        np.bincount(given, of_region, minlength=count).astype(int)
        for of_region in (overlap.max(1, initial=0), overlap.sum(1))
    )
    actual = overlap.sum(0)
    (label,) = np.nonzero((predicted > 0) | (actual > 0))
    found = {"intersection": intersection, "predicted": predicted, "actual": actual}
    return {"label": label, **{name: counts[label] for name, counts in found.items()}}


def iou_of(counts: pd.DataFrame) -> pd.Series:
    """IoU of each row of `COUNTS`, between 0 and 1."""
    return counts.intersection / (counts.predicted + counts.actual - counts.intersection)


def mean_iou(counts: pd.DataFrame, *, shared_classes: bool) -> float:
    """mIoU of `COUNTS`, between 0 and 1; NaN where nothing was scored.

    With `shared_classes`, labels mean the same in every image: counts are summed over the set, then one
    IoU a class, then the mean. Without (segments that a person drew), the mean over segments is taken
    inside each annotation, then over annotators, then over images (ASSUME: as BSDS500 scores, where
    segments have no names).
    """
    if shared_classes:
        totals = counts.groupby("label")[COUNTS[3:]].sum()
        return float(iou_of(totals).mean())
    each = iou_of(counts).groupby([counts.image, counts.annotator]).mean()
    return float(each.groupby("image").mean().mean())


def bootstrap_interval(
    counts: pd.DataFrame, *, shared_classes: bool, resamples: int, rng: np.random.Generator
) -> tuple[float, float]:
    """95 % interval of `mean_iou`: percentiles over resamples of the images with replacement."""
    scores = resampled(counts, shared_classes=shared_classes, resamples=resamples, rng=rng)
    low, high = np.nanpercentile(scores, [2.5, 97.5])
    return float(low), float(high)


def resampled(
    counts: pd.DataFrame, *, shared_classes: bool, resamples: int, rng: np.random.Generator
) -> Float[np.ndarray, "resample"]:
    """`mean_iou` of sets drawn from the images, by their names, with replacement."""
    images = np.sort(counts.image.unique())
    often = times(len(images), resamples, rng)
    if not shared_classes:
        each = iou_of(counts).groupby([counts.image, counts.annotator]).mean().groupby("image").mean()
        return often @ each.reindex(images).to_numpy() / len(images)
    table = counts.groupby(["image", "label"])[COUNTS[3:]].sum().unstack(fill_value=0).reindex(images)
    sums = [often @ table[name].to_numpy() for name in COUNTS[3:]]
    union = sums[1] + sums[2] - sums[0]
    iou = np.divide(sums[0], union, out=np.full(union.shape, np.nan), where=union > 0)
    return np.nanmean(iou, axis=1)


def _overlap(regions: np.ndarray, labels: np.ndarray) -> Int[np.ndarray, "region label"]:
    shape = (int(regions.max(initial=0)) + 1, int(labels.max(initial=0)) + 1)
    joint = np.ravel_multi_index((regions.astype(int), labels.astype(int)), shape)
    return np.bincount(joint, minlength=shape[0] * shape[1]).reshape(shape)
