"""What a segmentation is worth beside one that a person drew: covering of its segments, and of its outlines the F.

As BSDS500 scores (Arbeláez et al., 2011); segments have no names.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Integer

from whatwhere.datasets.record import IGNORE

#: Of the image's diagonal: how far an outline may lie beside a drawn one and count as it (BSDS500's).
TOLERANCE = 0.0075


def covering(regions: Integer[np.ndarray, "y x"], truth: Integer[np.ndarray, "y x"]) -> float:
    """Mean over the pixels of `truth` of the IoU of their segment with the region that fits it best, 0 to 1.

    Ignored pixels are left out; NaN where there are no others.
    """
    valid = truth != IGNORE
    count = int(regions.max()) + 1
    pairs = truth[valid].astype(np.int64) * count + regions[valid]
    segments = int(truth.max(initial=0)) + 1
    common = np.bincount(pairs, minlength=segments * count).reshape(segments, count)
    sizes = common.sum(1)
    either = sizes[:, None] + common.sum(0) - common
    best = (common / np.maximum(either, 1)).max(1)
    return float(best @ sizes / sizes.sum()) if valid.any() else float("nan")


def outline_scores(
    regions: Integer[np.ndarray, "y x"], truths: Sequence[Integer[np.ndarray, "y x"]]
) -> tuple[float, float]:
    """Precision and recall of the regions' outlines, 0 to 1, within `TOLERANCE` of the diagonal.

    Precision is against what any annotator drew, recall the mean over annotators. Ignored pixels are those of the
    nearest that is not. ASSUME: an outline's pixel counts where any pixel of the other outline is near enough, where
    BSDS500 matches them one to one: thin outlines of regions are never drawn twice. Without outlines on a side, 0.
    """
    found, drawn = outlines(regions), [outlines(_filled(truth)) for truth in truths]
    reach = TOLERANCE * float(np.hypot(*regions.shape))
    near_drawn, near_found = _near(np.any(drawn, axis=0), reach), _near(found, reach)
    recalls = [near_found[one].mean() for one in drawn if one.any()]
    precision = float(near_drawn[found].mean()) if found.any() else 0.0
    return precision, float(np.mean(recalls)) if recalls else 0.0


def harmonic(precision: float, recall: float) -> float:
    """F of both; 0 where both are."""
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def outlines(regions: Integer[np.ndarray, "y x"]) -> Bool[np.ndarray, "y x"]:
    """Pixels whose neighbour to the left or above is of another region."""
    found = np.zeros(regions.shape, bool)
    found[1:] |= regions[1:] != regions[:-1]
    found[:, 1:] |= regions[:, 1:] != regions[:, :-1]
    return found


def _near(outline: Bool[np.ndarray, "y x"], reach: float) -> Bool[np.ndarray, "y x"]:
    from scipy.ndimage import distance_transform_edt

    return distance_transform_edt(~outline) <= reach if outline.any() else outline


def _filled(labels: Integer[np.ndarray, "y x"]) -> Integer[np.ndarray, "y x"]:
    from scipy.ndimage import distance_transform_edt

    ignored = labels == IGNORE
    if not ignored.any() or ignored.all():
        return labels
    nearest = distance_transform_edt(ignored, return_distances=False, return_indices=True)
    return labels[tuple(nearest)]
