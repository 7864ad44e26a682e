"""X of a whole data set -> the same clusters in every image (sections 4.2.2 and 4.2.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int16

from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.seeding import seed_for
from whatwhere.artifacts.spread import AHEAD, BLOCK_LOCATIONS, few, spread
from whatwhere.artifacts.store import Store, create
from whatwhere.method.cluster import Centres
from whatwhere.stages.centres import Some, find_centres, unit

#: Images of which X is in memory at a time at most, and in a file together.
BLOCK_IMAGES = 64


def write_segments(
    vectors: Sequence[Store],
    output: Path,
    *,
    classes: int,
    scores: bool,
    unit_rows: bool,
    restarts: int,
    fitted_locations: int,
    seed: int,
    draws: int = 1,
    block_locations: int = BLOCK_LOCATIONS,
    settings: dict[str, Any],
) -> None:
    """`regions` `[image, partition, token]`: every token's cluster, with as many clusters as there are `classes`, and
    with twice as many (the left and the right half of each class); so for each of `draws` of clusters, one after the
    other. They differ by K-means' seed: what a score owes to it is seen in the score of each.

    `vectors` are the stores of all shards, or the one of a joint solve. `scores`: the vectors are scores of clusters
    already, and the largest is taken; they are never brought to unit length. A partition is called by its number of
    clusters; `centres` `[partition, cluster, vector]` are those of each, NaN beyond that number, and the spread about
    them is in the attribute `spreads`. `block_locations` rows are in memory at a time, on which nothing depends; not
    counted are those of one image for each part at work.

    Raises `InputError` where there are no classes, more clusters than different rows, and images of several sizes.
    """
    described = vectors[0].attributes
    _check(vectors, scores or classes)
    unit_rows = unit_rows and not scores
    attributes = {key: described[key] for key in ("dataset", "grid", "graphs")}
    ids = [name for store in vectors for name in store.ids]
    shape = vectors[0].description["arrays"]["vectors"]["shape"]
    some = max(1, block_locations // (AHEAD * shape[1]))
    wanted = [shape[2]] if scores else [classes, 2 * classes] * draws
    found: list[Centres] = []
    if not scores:
        each = max(1, fitted_locations // len(ids))
        seeds = [_seed(seed, k, number // 2) for number, k in enumerate(wanted)]
        parts = [Some(store, here, each, unit_rows, seed) for store, here, _ in _slices(vectors, some)]
        found = find_centres(
            parts, output, clusters=wanted, restarts=restarts, seeds=seeds, block_locations=block_locations
        )
    attributes |= {"unit_rows": unit_rows, "spreads": [c.spread for c in found]}
    along = {"image": ids, "partition": wanted, "chosen": ("image", wanted[:1] * len(ids))}
    with create(output, settings, attributes, along) as store:
        size = (len(ids), len(wanted), shape[1])
        array = store.array("regions", size, "int16", ("image", "partition", "token"), run_images=BLOCK_IMAGES)
        images = [_Part(*one, unit_rows, tuple(found)) for one in _slices(vectors, some)]
        for part, labels in zip(images, spread(_assigned, images), strict=True):
            array[part.images] = labels
        if found:
            padded = np.full((len(found), max(wanted), shape[2]), np.nan, np.float32)
            for own, centres in zip(padded, found, strict=True):
                own[: len(centres.centres)] = centres.centres
            store.array("centres", padded.shape, "float32", ("partition", "cluster", "vector"))[:] = padded


def _seed(seed: int, clusters: int, draw: int) -> int:
    return seed_for(seed, "segments", str(clusters), *([str(draw)] if draw else []))


def centres_of(segments: Store, partition: int) -> Centres | None:
    """The centres that a partition was made by; None for one of scores, which has none."""
    known = segments.attributes
    if not known["spreads"]:
        return None
    rows = segments.read("centres", partition)[: segments.coordinate("partition")[partition]]
    return Centres(rows, known["spreads"][partition])


def blocks(
    vectors: Sequence[Store], unit_rows: bool
) -> Iterator[tuple[slice, Float[np.ndarray, "image token vector"]]]:
    """X of a few images at a time, over all stores; its rows at unit length if asked for."""
    tokens = vectors[0].description["arrays"]["vectors"]["shape"][1]
    for store, here, images in _slices(vectors, few(tokens, parts=1)):
        X = store.read("vectors", here)
        yield images, unit(X) if unit_rows else X


def _slices(vectors: Sequence[Store], most: int = BLOCK_IMAGES) -> Iterator[tuple[Store, slice, slice]]:
    """A few images at a time: their store, their place there, and in all stores one after the other."""
    first = 0
    for store in vectors:
        for start in range(0, len(store.ids), some := min(most, BLOCK_IMAGES)):
            here = slice(start, min(start + some, len(store.ids)))
            yield store, here, slice(first + start, first + here.stop)
        first += len(store.ids)


@dataclass(frozen=True)
class _Part:
    """A few images of a store, which `images` they are of all, and the centres of every partition."""

    store: Store
    here: slice
    images: slice
    unit_rows: bool
    centres: tuple[Centres, ...]


def _assigned(part: _Part) -> Int16[np.ndarray, "image partition token"]:
    """The nearest centre of every token; where there are no centres its largest score."""
    X = part.store.read("vectors", part.here)
    flat = (unit(X) if part.unit_rows else X).reshape(-1, X.shape[2])
    labels = [centres.assign(flat) for centres in part.centres] or [flat.argmax(1)]
    return np.stack(labels, 1).reshape(len(X), -1, len(labels)).swapaxes(1, 2).astype(np.int16)


def _check(vectors: Sequence[Store], classes: int) -> None:
    where = f"data set {vectors[0].attributes['dataset']}"
    grids = dict.fromkeys("×".join(map(str, store.attributes["grid"])) for store in vectors)
    if len(grids) > 1:
        wish = "expected images of one size, got grids of"
        raise InputError(f"{where}: {wish} {' and '.join(grids)}; give the backbone a centre_crop or square view")
    if not classes:
        wish = "expected classes with names, for as many clusters, got none"
        raise InputError(f"{where}: {wish}; give it `classes`, or ask for no clusters of the whole set")
