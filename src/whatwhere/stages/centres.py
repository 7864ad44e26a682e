"""Rows of X of a whole data set -> the centres of its clusters, a block of rows in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from threadpoolctl import threadpool_limits

from whatwhere.artifacts.progress import progress
from whatwhere.artifacts.seeding import seed_for
from whatwhere.artifacts.spread import AHEAD, spread
from whatwhere.artifacts.store import Store
from whatwhere.method.cluster import Centres
from whatwhere.method.lloyd import Sums, fit, summed


@dataclass(frozen=True)
class Some:
    """A few images of a store, and of each how many of its rows are drawn."""

    store: Store
    images: slice
    each: int
    unit_rows: bool
    seed: int


def find_centres(
    parts: Sequence[Some],
    beside: Path,
    *,
    clusters: Sequence[int],
    restarts: int,
    seeds: Sequence[int],
    block_locations: int,
) -> list[Centres]:
    """K-means of the rows that are drawn, for each number of clusters (`lloyd.fit`).

    They lie in a file `beside` what is made of them until that is done; `block_locations` of them are in memory at a
    time. Seeds are chosen among so many, evenly drawn.
    """
    with _drawn(parts, beside) as (file, rows, largest), threadpool_limits(1):
        block = max(1, block_locations // AHEAD)
        slices = [slice(first, min(first + block, rows)) for first in range(0, rows, block)]
        places = np.linspace(0, rows - 1, min(rows, block_locations)).astype(int)
        some = np.ascontiguousarray(np.load(file, mmap_mode="r")[places])

        def over(centres: Sequence[Float[np.ndarray, "_ vector"]]) -> Iterator[list[Sums]]:
            """One pass, spread over whoever works."""
            return spread(_summed, ((str(file), one, tuple(centres), largest, rows) for one in slices))

        return fit(some, over, clusters=clusters, restarts=restarts, seeds=seeds)


def rows_of(some: Some) -> Float[np.ndarray, "token vector"]:
    """Those that are drawn, image by image: by the image's id, wherever it lies; all where that is as many."""
    X = some.store.read("vectors", some.images)
    X = unit(X) if some.unit_rows else X
    if some.each < X.shape[1]:
        X = np.stack([one[_places(some, name, len(one))] for name, one in zip(_ids(some), X, strict=True)])
    return X.reshape(-1, X.shape[2]).astype(np.float32)


def unit(X: Float[np.ndarray, "*image vector"]) -> Float[np.ndarray, "*image vector"]:
    """Rows of X at unit length, as Ng, Jordan and Weiss (2001) cluster them; a row of zeros stays."""
    lengths = np.linalg.norm(X, axis=-1, keepdims=True)
    return X / np.where(lengths > 0, lengths, 1)


def _ids(some: Some) -> list[str]:
    return some.store.ids[some.images]


def _places(some: Some, image: str, tokens: int) -> np.ndarray:
    rng = np.random.default_rng(seed_for(some.seed, "fitted", image))
    return np.sort(rng.choice(tokens, some.each, replace=False))


@contextmanager
def _drawn(parts: Sequence[Some], beside: Path) -> Iterator[tuple[Path, int, float]]:
    """A file of all drawn rows, for the time of the block, how many they are, and the largest entry."""
    _, tokens, width = parts[0].store.description["arrays"]["vectors"]["shape"]
    rows = sum(len(_ids(part)) for part in parts) * min(parts[0].each, tokens)
    file = beside.with_suffix(".rows.npy")
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        X, first, largest = np.lib.format.open_memmap(file, "w+", np.float32, (rows, width)), 0, 0.0
        for found in progress(spread(rows_of, parts), "rows of the data set", len(parts)):
            X[first : first + len(found)] = found
            first, largest = first + len(found), max(largest, float(np.abs(found).max(initial=0)))
        X.flush()
        del X
        yield file, rows, largest
    finally:
        file.unlink(missing_ok=True)


def _summed(part: tuple[str, slice, tuple[np.ndarray, ...], float, int]) -> list[Sums]:
    """Of a few rows of the file."""
    file, here, centres, largest, rows = part
    return summed(np.load(file, mmap_mode="r")[here], centres, largest=largest, of=rows)
