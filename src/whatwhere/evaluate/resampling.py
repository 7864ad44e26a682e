"""Scores of images drawn again (the bootstrap): the interval of a score, and of the difference of two.

`draws` `[draw, score]` are what one score came to: a row for each draw of clusters where a score has several,
else one; first of the images as they are, then of each resample of them. Scores of the same images are of the same
resamples, for their generator is seeded by the images and by nothing else: so two rows of a table are paired by their
places, whatever the order of rows or images.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from whatwhere.artifacts.seeding import seed_for

#: Of what is drawn so many per cent lie inside an interval.
INSIDE = 95.0


def generator(seed: int, images: Iterable[Any]) -> np.random.Generator:
    """What images are drawn with: the same for the same images in any order."""
    return np.random.default_rng(seed_for(seed, "bootstrap", *sorted(set(map(str, images)))))


def times(images: int, resamples: int, rng: np.random.Generator) -> Int[np.ndarray, "resample image"]:
    """How often each image is in each resample: as many are drawn, with replacement, as there are (of none, none)."""
    share = np.full(images, 1 / max(images, 1))
    return rng.multinomial(images, share, size=resamples) if images else np.zeros((resamples, 0), np.int64)


def drawn(value: float, resampled: Float[np.ndarray, "resample"]) -> Float[np.ndarray, "1 score"]:
    """The draws of a score without clusters of its own."""
    return np.concatenate([[value], resampled])[None]


def value_of(draws: Float[np.ndarray, "draw score"]) -> float:
    """The score: the mean over draws of clusters, of the images as they are."""
    return float(draws[:, 0].mean())


def interval(draws: Float[np.ndarray, "draw score"]) -> tuple[float, float]:
    """Percentiles over draws and resamples together; NaN where no resample has a score."""
    scores = draws[:, 1:][np.isfinite(draws[:, 1:])]
    if not scores.size:
        return float("nan"), float("nan")
    outside = (100 - INSIDE) / 2
    low, high = np.percentile(scores, [outside, 100 - outside])
    return float(low), float(high)


def difference(
    one: Float[np.ndarray, "draw score"], other: Float[np.ndarray, "other score"], *, same_clusters: bool
) -> Float[np.ndarray, "pair score"]:
    """Draws of `one` less `other`, resample by resample.

    Clusters of two rows have nothing to do with each other: every draw of one meets every draw of the other. With
    `same_clusters` (the same ones, with and without a CRF) each meets itself, as far as both have it.
    """
    if same_clusters:
        both = min(len(one), len(other))
        return one[:both] - other[:both]
    return (one[:, None] - other[None]).reshape(-1, one.shape[1])
