"""What the X of a data set is worth: K-means, matched to the true classes (sections 4.2.2 and 4.2.3)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from whatwhere.config.methods import SegmentSettings
from whatwhere.evaluate.matching import bootstrap_interval, hungarian, mean_iou
from whatwhere.stages.judging import write_matching
from whatwhere.stages.segments import write_segments
from whatwhere.store import Store

#: Draws of the images for an interval.
RESAMPLES = 1000


def worth(vectors: Path, images: Sequence[Store], *, seed: int) -> dict[str, float]:
    """Hungarian mIoU of `what` (the classes) and `where` (their left and right regions), 0 to 1, each with the ends of
    its 95 % interval over images (`what_low` …). Rows of X at unit length, as many clusters as labels.

    `vectors` is the manifest of X, `images` the stores of its images with their labels.
    """
    settings = SegmentSettings()
    segments, counts = (vectors.with_name(f"{vectors.stem}-{name}") for name in ("segments.json", "counts.parquet"))
    write_segments(
        [Store(vectors)],
        segments,
        classes=len(images[0].attributes["classes"]),
        scores=False,
        unit_rows=settings.unit_rows,
        restarts=settings.restarts,
        fitted_locations=settings.fitted_locations,
        seed=seed,
        settings={},
    )
    write_matching(images, Store(segments), counts, least_px=settings.least_px, ambiguous=settings.ambiguous)
    found = pd.read_parquet(counts)
    scores: dict[str, float] = {}
    for target in ("what", "where"):
        each = _counts(found[found.target == target])
        total = each.sum(0)
        rng = np.random.default_rng(seed)
        low, high = bootstrap_interval(each, hungarian, resamples=RESAMPLES, rng=rng)
        scores |= {target: mean_iou(total, hungarian(total)), f"{target}_low": low, f"{target}_high": high}
    return scores


def _counts(found: pd.DataFrame) -> np.ndarray:
    """`[image, cluster, label]`."""
    names, places = np.unique(found.image, return_inverse=True)
    counts = np.zeros((len(names), found.clusters.max(), found.classes.max()), np.int64)
    np.add.at(counts, (places, found.cluster.to_numpy(int), found.label.to_numpy(int)), found.pixels.to_numpy(int))
    return counts
