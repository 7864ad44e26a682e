"""Spatial semantic segmentation (section 4.2.3, Figure 7, Table 5): labels that also say left or right.

Clusters are matched to and scored on these labels as on any others (`matching`), with twice as many classes.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int, Int16
from skimage.measure import label as numbered_regions

from whatwhere.artifacts.errors import InputError
from whatwhere.datasets.record import IGNORE


def left_right(
    labels: Int16[np.ndarray, "y x"], classes: int, *, least_px: int = 50, ambiguous: float = 0.1
) -> Int16[np.ndarray, "y x"]:
    """Label c of each connected region becomes c on the left and `classes` + c on the right.

    A region's score is the difference of its mean distances to the two borders, that is, its mean column. `IGNORE`
    stays, and is given to regions under `least_px` pixels and to those whose mean column lies no farther from the
    image's centre than `ambiguous` times its width.

    ASSUME: regions connect over edges and corners, and the band is a tenth of the width to either side: the paper
    states neither. Raises `InputError` for a label outside 0 … `classes` − 1.
    """
    scored = labels[labels != IGNORE]
    if scored.size and not 0 <= scored.min() <= scored.max() < classes:
        raise InputError(f"labels: expected 0 to {classes - 1}, got {scored.min()} to {scored.max()}")
    regions = numbered_regions(labels, background=IGNORE, connectivity=2)
    given = np.full(regions.max(initial=0) + 1, IGNORE)
    given[regions] = labels
    size = np.bincount(regions.ravel(), minlength=len(given))
    offset = _offsets(regions, len(given))
    clear = (size >= least_px) & (np.abs(offset) > 2 * ambiguous * labels.shape[1] * size)
    given = np.where(clear & (given != IGNORE), given + classes * (offset > 0), IGNORE)
    return given[regions].astype(np.int16)


def _offsets(regions: Int[np.ndarray, "y x"], count: int) -> Int[np.ndarray, "region"]:
    """Twice the summed distance of each region's pixels to the right of the centre: whole, so mirroring is exact."""
    height, width = regions.shape
    twice = np.tile(2 * np.arange(width) - (width - 1), height)
    return np.bincount(regions.ravel(), twice, minlength=count).astype(np.int64)
