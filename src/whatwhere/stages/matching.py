"""Clusters of a whole data set and its labels -> the counts behind "what" and "where" (Tables 3, 4 and 5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path

from whatwhere.artifacts.atomic import replacing
from whatwhere.artifacts.progress import progress
from whatwhere.artifacts.spread import spread
from whatwhere.artifacts.store import Store
from whatwhere.datasets.images import tokens_to_pixels
from whatwhere.evaluate.counted import Counted, counted_table
from whatwhere.evaluate.matching import COUNTS, counted, matching_counts
from whatwhere.evaluate.spatial import left_right
from whatwhere.stages.set_images import has_labels, places

#: Images that are counted at a time.
BLOCK_IMAGES = 16
#: Partition of the segments, in each draw of clusters, that each target is matched with.
PARTITIONS = {"what": 0, "where": 1}


def write_matching(images: Sequence[Store], segments: Store, output: Path, *, least_px: int, ambiguous: float) -> None:
    """Counts of every image (Parquet, `COUNTS`); empty without labels.

    With an array `pixels` `[image, y, x]` (see `stages.refining`) these are counted, for `what` only; else every
    token's cluster on all its pixels, in each draw of clusters.
    """
    blocks = _blocks(images, segments, least_px, float(ambiguous))
    blocks = progress(blocks, "matching", -(-len(segments.ids) // BLOCK_IMAGES))
    table = counted_table([one for block in spread(_counts, blocks) for one in block], COUNTS)
    with replacing(output) as partial:
        table.to_parquet(partial, index=False)


@dataclass(frozen=True)
class _Block:
    """A few labelled images: of each its place in the segments, its store, its place there, and its id."""

    segments: Store
    labelled: tuple[tuple[int, Store, int, str], ...]
    least_px: int
    ambiguous: float


def _blocks(images: Sequence[Store], segments: Store, least_px: int, ambiguous: float) -> Iterator[_Block]:
    labelled = _labelled(images, segments)
    while some := tuple(islice(labelled, BLOCK_IMAGES)):
        yield _Block(segments, some, least_px, ambiguous)


def _counts(block: _Block) -> list[Counted]:
    """Of the images of a block, in their order."""
    segments = block.segments
    grid, clusters = segments.attributes["grid"], segments.coordinate("partition")
    refined = "pixels" in segments.description["arrays"]
    pieces = []
    draws = range(max(1, len(clusters) // len(PARTITIONS)))
    for number, store, index, name in block.labelled:
        classes = len(store.attributes["classes"])
        labels = store.read("labels", (index, 0))
        truths = {"what": (labels, classes)}
        if len(clusters) > 1:
            halves = left_right(labels, classes, least_px=block.least_px, ambiguous=block.ambiguous)
            truths["where"] = (halves, 2 * classes)
        partitions = segments.read("pixels" if refined else "regions", number)
        for draw, (target, (truth, most)) in product(draws, truths.items()):
            partition = PARTITIONS[target] + len(PARTITIONS) * draw
            found = partitions if refined else tokens_to_pixels(partitions[partition].reshape(grid), *truth.shape)
            counts = matching_counts(found, truth, clusters=clusters[partition], classes=most)
            pieces.append(counted(counts, name, target, draw))
    return pieces


def _labelled(images: Sequence[Store], segments: Store) -> Iterator[tuple[int, Store, int, str]]:
    """Place in the segments, store, place there and id of every image that has labels with names."""
    for number, (name, (store, index)) in enumerate(zip(segments.ids, places(images, segments), strict=True)):
        if has_labels(store, index):
            yield number, store, index, name
