"""What the X of a data set is worth: K-means, matched to the true classes (sections 4.2.2 and 4.2.3)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from whatwhere.artifacts.store import Store
from whatwhere.config.joint import SegmentSettings
from whatwhere.evaluate.matching import hungarian, mean_iou, resampled, stacked_counts
from whatwhere.evaluate.resampling import difference, drawn, generator, interval, value_of
from whatwhere.stages.matching import write_matching
from whatwhere.stages.segments import write_segments

#: Draws of the images for an interval.
RESAMPLES = 1000
#: Side of the views for which the paper says how small a region may be (section 4.2.3).
PAPER_SIDE_PX = 320


def worth(vectors: Sequence[Path], images: Sequence[Store], *, seed: int) -> dict[str, Any]:
    """Hungarian mIoU of `what` (the classes) and `where` (their left and right regions), 0 to 1, each with the ends of
    its 95 % interval over images (`what_low` …), the matching of all images kept, and the scores that this is of
    (`what_draws`, of the images drawn again). Rows of X at unit length, as many clusters as labels.

    `vectors` are the manifests of X, `images` the stores of its images with their labels.
    """
    settings = SegmentSettings()
    segments, counts = (
        vectors[0].with_name(f"{vectors[0].stem}-{name}") for name in ("segments.json", "counts.parquet")
    )
    write_segments(
        [Store(path) for path in vectors],
        segments,
        classes=len(images[0].attributes["classes"]),
        scores=False,
        unit_rows=settings.unit_rows,
        restarts=settings.restarts,
        fitted_locations=settings.fitted_locations,
        seed=seed,
        settings={},
    )
    side = images[0].description["arrays"]["labels"]["shape"][-1]
    least_px = _least_px(settings.least_px, side)
    write_matching(images, Store(segments), counts, least_px=least_px, ambiguous=settings.ambiguous)
    found = pd.read_parquet(counts)
    scores: dict[str, Any] = {}
    ids = [name for store in images for name in store.ids]
    for target in ("what", "where"):
        each = stacked_counts(found[found.target == target])
        total = each.sum(0)
        given = hungarian(total)
        draws = drawn(mean_iou(total, given), resampled(each, given, resamples=RESAMPLES, rng=generator(seed, ids)))
        low, high = interval(draws)
        scores |= {target: value_of(draws), f"{target}_low": low, f"{target}_high": high, f"{target}_draws": draws}
    return scores


def paired(scores: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Scores of `worth`, each of a `solver` for a `pathway` and so many `images`, without their draws; beside each
    that is not the global solver's what it is more than that, image by image (`what_more`, `what_more_low` …).
    """
    whole = {(one["pathway"], one["images"]): one for one in scores if one["solver"] == "global"}
    found = []
    for one in scores:
        kept = {key: value for key, value in one.items() if not key.endswith("_draws")}
        other = whole[one["pathway"], one["images"]]
        for target in ("what", "where") if other is not one else ():
            more = difference(one[f"{target}_draws"], other[f"{target}_draws"], same_clusters=False)
            low, high = interval(more)
            kept |= {f"{target}_more": value_of(more), f"{target}_more_low": low, f"{target}_more_high": high}
        found.append(kept)
    return found


def _least_px(at_paper_side: int, side: int) -> int:
    """The pixels of the smallest region that counts as left or right, the same part of a view as in the paper's."""
    return max(1, round(at_paper_side * (side / PAPER_SIDE_PX) ** 2))
