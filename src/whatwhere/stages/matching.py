"""Clusters of a whole data set and its labels -> the counts behind "what" and "where" (Tables 3, 4 and 5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

from whatwhere.artifacts.atomic import replacing
from whatwhere.artifacts.progress import progress
from whatwhere.artifacts.store import Store
from whatwhere.datasets.images import tokens_to_pixels
from whatwhere.evaluate.counted import counted_table
from whatwhere.evaluate.matching import COUNTS, counted, matching_counts
from whatwhere.evaluate.spatial import left_right
from whatwhere.stages.set_images import has_labels, places

#: Partition of the segments, in each draw of clusters, that each target is matched with.
PARTITIONS = {"what": 0, "where": 1}


def write_matching(images: Sequence[Store], segments: Store, output: Path, *, least_px: int, ambiguous: float) -> None:
    """Counts of every image (Parquet, `COUNTS`); empty without labels.

    With an array `pixels` `[image, y, x]` (see `stages.refining`) these are counted, for `what` only; else every
    token's cluster on all its pixels, in each draw of clusters.
    """
    grid, clusters = segments.attributes["grid"], segments.coordinate("partition")
    refined = "pixels" in segments.description["arrays"]
    pieces = []
    draws = range(max(1, len(clusters) // len(PARTITIONS)))
    for number, store, index, name in _labelled(images, segments):
        classes = len(store.attributes["classes"])
        labels = store.read("labels", (index, 0))
        truths = {"what": (labels, classes)}
        if len(clusters) > 1:
            truths["where"] = (left_right(labels, classes, least_px=least_px, ambiguous=float(ambiguous)), 2 * classes)
        partitions = segments.read("pixels" if refined else "regions", number)
        for draw, (target, (truth, most)) in product(draws, truths.items()):
            partition = PARTITIONS[target] + len(PARTITIONS) * draw
            found = partitions if refined else tokens_to_pixels(partitions[partition].reshape(grid), *truth.shape)
            counts = matching_counts(found, truth, clusters=clusters[partition], classes=most)
            pieces.append(counted(counts, name, target, draw))
    table = counted_table(pieces, COUNTS)
    with replacing(output) as partial:
        table.to_parquet(partial, index=False)


def _labelled(images: Sequence[Store], segments: Store) -> Iterator[tuple[int, Store, int, str]]:
    """Place in the segments, store, place there and id of every image that has labels with names."""
    known = zip(segments.ids, places(images, segments), strict=True)
    for number, (name, (store, index)) in enumerate(progress(known, "matching", len(segments.ids))):
        if has_labels(store, index):
            yield number, store, index, name
