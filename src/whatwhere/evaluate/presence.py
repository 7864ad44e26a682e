"""Zero-shot class presence: does an image lie nearer to "a photo of a car" where there is a car?

For each class the area under the ROC curve (AUC) of the cosines between images and the class's text: the
chance that an image with the class gets a higher cosine than one without. 0.5 is a guess.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, Int8
from sklearn.metrics import roc_auc_score

from whatwhere.datasets.record import IGNORE
from whatwhere.evaluate.resampling import times

PRESENT, ABSENT = 1, 0


def presence_table(
    labels: Int[np.ndarray, "image y x"], classes: int, *, least_share: float
) -> Int8[np.ndarray, "image label"]:
    """Which classes an image shows: `PRESENT` where one fills at least `least_share` of it, `ABSENT` without a pixel.

    `IGNORE` in between: a sign of five pixels is neither a fair question nor an absent sign.
    """
    share = np.stack([(labels == label).mean((1, 2)) for label in range(classes)], axis=1)
    return np.select([share >= least_share, share == 0], [PRESENT, ABSENT], IGNORE).astype(np.int8)


def class_auc(
    cosines: Float[np.ndarray, "image label"], table: Int[np.ndarray, "image label"]
) -> Float[np.ndarray, "label"]:
    """AUC of each class over the images in which it is present or absent; NaN where either kind is missing."""
    return np.array([_auc(near, shown) for near, shown in zip(cosines.T, table.T, strict=True)])


def _auc(cosines: Float[np.ndarray, "image"], shown: Int[np.ndarray, "image"]) -> float:
    asked = shown != IGNORE
    if len(np.unique(shown[asked])) < 2:
        return np.nan
    return float(roc_auc_score(shown[asked] == PRESENT, cosines[asked]))


def mean_auc(cosines: Float[np.ndarray, "image label"], table: Int[np.ndarray, "image label"]) -> float:
    """Mean of `class_auc` over the classes that have one; NaN where none has."""
    each = class_auc(cosines, table)
    return float(np.mean(each[np.isfinite(each)])) if np.isfinite(each).any() else float("nan")


def bootstrap_interval(
    cosines: Float[np.ndarray, "image label"],
    table: Int[np.ndarray, "image label"],
    *,
    resamples: int,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """95 % interval of `mean_auc`: percentiles over resamples of the images with replacement."""
    often = times(len(table), resamples, rng)
    each = [_resampled_auc(near, shown, often) for near, shown in zip(cosines.T, table.T, strict=True)]
    low, high = np.nanpercentile(np.nanmean(each, axis=0), [2.5, 97.5])
    return float(low), float(high)


def _resampled_auc(
    cosines: Float[np.ndarray, "image"], shown: Int[np.ndarray, "image"], times: Int[np.ndarray, "resample image"]
) -> Float[np.ndarray, "resample"]:
    """AUC with image i taken `times[:, i]` times: the share of won pairs, which are compared only once."""
    shows, lacks = shown == PRESENT, shown == ABSENT
    margin = cosines[shows, None] - cosines[lacks]
    won = (times[:, shows] @ ((np.sign(margin) + 1) / 2) * times[:, lacks]).sum(1)
    pairs = times[:, shows].sum(1) * times[:, lacks].sum(1)
    return np.divide(won, pairs, out=np.full(len(times), np.nan), where=pairs > 0)
