"""K-means of rows that nobody holds at once: each pass adds up counts and sums of the clusters over blocks of them.

Lloyd's iteration needs of all rows no more than that (as map-reduce has it: Chu et al., NeurIPS 2006). Sums are of
whole multiples of one step, which makes them exact: the answer does not depend on how rows are divided, or on who added
up what. Seeds, tolerance and end are scikit-learn's `KMeans`: on rows that it can hold the two find the same clusters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from whatwhere.method.cluster import Centres, check_distinct

#: As scikit-learn: centres that move less than this share of the rows' variance have arrived; passes at most.
TOLERANCE, PASSES = 1e-4, 300
#: Whole numbers up to 2^this are exact, and so are their sums.
EXACT_BITS = 52


@dataclass(frozen=True)
class Sums:
    """Of one clustering: of each cluster how many rows are nearest to its centre and their sum, and all rows' squared
    distances from their centres.
    """

    counts: Int[np.ndarray, "cluster"]
    sums: Float[np.ndarray, "cluster vector"]
    inertia: float

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.counts + other.counts, self.sums + other.sums, self.inertia + other.inertia)


#: One pass over all rows: the sums of each block, for each of some centres.
Pass = Callable[[Sequence[Float[np.ndarray, "_ vector"]]], Iterable[Sequence[Sums]]]


def summed(
    rows: Float[np.ndarray, "token vector"],
    centres: Sequence[Float[np.ndarray, "_ vector"]],
    *,
    largest: float,
    of: int,
) -> list[Sums]:
    """A block's sums for each of some centres. `largest`: an entry of any row; `of`: rows in all blocks."""
    rows = rows.astype(np.float64)
    step, square = _step(largest, of), _step(4 * rows.shape[1] * largest**2, of)
    whole = rows / step
    np.rint(whole, out=whole)
    whole *= step
    places = np.arange(len(rows) + 1)
    lengths = np.einsum("ij,ij->i", rows, rows)
    found = []
    for some in _together(centres, rows.shape[1]):
        # |x - c|² but for |x|², of all centres by one product, which is twice as fast as one for each clustering
        stacked = np.concatenate(some)
        farther = rows @ (-2 * stacked.T)
        farther += np.einsum("ij,ij->i", stacked, stacked)
        for one, own in zip(some, np.split(farther, np.cumsum([len(one) for one in some[:-1]]), 1), strict=True):
            nearest = own.argmin(1)
            members = csr_array((np.ones(len(rows)), nearest, places), shape=own.shape)
            distances = np.maximum(own[places[:-1], nearest] + lengths, 0)
            inertia = float((np.rint(distances / square) * square).sum())
            found.append(Sums(np.bincount(nearest, minlength=len(one)), members.T @ whole, inertia))
    return found


def _together(
    centres: Sequence[Float[np.ndarray, "_ vector"]], width: int
) -> Iterator[list[Float[np.ndarray, "_ vector"]]]:
    """Clusterings whose centres together are at most as many as a row has numbers, so that products are no larger than
    the rows are; one at least.
    """
    some: list[np.ndarray] = []
    for one in centres:
        if some and sum(map(len, some)) + len(one) > width:
            yield some
            some = []
        some.append(one)
    if some:
        yield some


def fit(
    some: Float[np.ndarray, "token vector"], over: Pass, *, clusters: Sequence[int], restarts: int, seeds: Sequence[int]
) -> list[Centres]:
    """For each number of `clusters`, with its seed, the best of so many `restarts`, numbered by decreasing size.

    `some` of the rows, or all, choose the centres that are begun with. Raises `InputError` where they have fewer
    distinct rows than clusters.
    """
    starts = [begun for k, seed in zip(clusters, seeds, strict=True) for begun in _begun(some, k, restarts, seed)]
    tolerance = TOLERANCE * float(some.var(0, dtype=np.float64).mean())
    ends = _settled(starts, over, tolerance)
    found = []
    for first in range(0, len(ends), restarts):
        centres, sums = min(ends[first : first + restarts], key=lambda end: end[1].inertia)
        order = np.argsort(-sums.counts, kind="stable")
        spread = sums.inertia / (int(sums.counts.sum()) * centres.shape[1])
        found.append(Centres(centres[order].astype(np.float32), spread))
    return found


def _begun(
    some: Float[np.ndarray, "token vector"], clusters: int, restarts: int, seed: int
) -> list[Float[np.ndarray, "_ vector"]]:
    """Centres by K-means++, as scikit-learn draws them, for each restart."""
    from sklearn.cluster import kmeans_plusplus

    check_distinct(some, clusters)
    rng, middle = np.random.RandomState(seed), some.mean(0)
    begun = [kmeans_plusplus(some - middle, clusters, random_state=rng)[1] for _ in range(restarts)]
    return [some[places].astype(np.float64) for places in begun]


def _settled(
    centres: list[Float[np.ndarray, "_ vector"]], over: Pass, tolerance: float
) -> list[tuple[Float[np.ndarray, "_ vector"], Sums]]:
    """Every clustering where it has arrived, and its sums there: all go on in the same passes.

    ASSUME: a cluster that loses all its rows stays where it is; begun by K-means++ that is rare.
    """
    ends: dict[int, tuple[np.ndarray, Sums]] = {}
    arrived: set[int] = set()
    for number in range(PASSES + 1):
        going = [place for place in range(len(centres)) if place not in ends]
        if not going:
            break
        for place, sums in zip(going, _total(over([centres[place] for place in going])), strict=True):
            if place in arrived or number == PASSES:
                ends[place] = (centres[place], sums)
                continue
            filled = sums.counts > 0
            after = centres[place].copy()
            after[filled] = sums.sums[filled] / sums.counts[filled, None]
            if np.square(after - centres[place]).sum() <= tolerance:
                arrived.add(place)
            centres[place] = after
    return [ends[place] for place in range(len(centres))]


def _total(blocks: Iterable[Sequence[Sums]]) -> list[Sums]:
    total: list[Sums] = []
    for block in blocks:
        total = [one + more for one, more in zip(total, block, strict=True)] if total else list(block)
    return total


def _step(largest: float, of: int) -> float:
    """A power of two so large that sums of so many multiples of it, none above `largest`, are exact."""
    return float(2.0 ** np.ceil(np.log2(max(largest * of, np.finfo(np.float64).tiny)) - EXACT_BITS))
