"""MaskCut (Wang et al., 2023): TokenCut again and again, each time without what was found (Table 1, Table 8).

`maskcut` answers masks on the token grid; what MaskCut then does at the size of the image is in `maskcut_refining`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from whatwhere.artifacts.errors import InputError
from whatwhere.baselines.graph import EPSILON
from whatwhere.baselines.ncut import check_grid, cosine_affinity, largest_entry, normalised_cut
from whatwhere.baselines.tokencut import part_around

#: A side with this many of the grid's four corners is the background.
CORNERS = 3
#: A later mask is dropped where its IoU with the one before is above this,
MOST_OVERLAP = 0.5
#: or where it covers no more than this share of the grid.
LEAST_AREA = 0.01


@dataclass(frozen=True)
class Objects:
    """`masks` `[mask, row, column]` in the order found, disjoint, empty where dropped; `eigenvectors` alike."""

    masks: Bool[np.ndarray, "mask row column"]
    eigenvectors: Float[np.ndarray, "mask row column"]


def maskcut(
    features: Float[np.ndarray, "token channel"],
    grid: tuple[int, int],
    *,
    threshold: float = 0.15,
    masks: int = 3,
    epsilon: float = 1e-5,
) -> Objects:
    """Up to `masks` objects of one image, from its features on `grid` (rows, columns).

    After each object the features of its tokens become zero, which leaves them edges of `epsilon`. A later
    mask is dropped where it repeats the one before (`MOST_OVERLAP`) or is too small (`LEAST_AREA`); tokens of
    earlier masks are taken out of what remains.

    ASSUME: overlap and area are those of the whole mask, before earlier ones are taken out. A mask that is
    dropped, or adds no token, leaves the graph as it was, and all later ones would repeat it: they are left
    empty, with the same vector, unsolved.
    """
    check_grid(features, grid)
    return objects_of(cosine_affinity(features, threshold=threshold, epsilon=epsilon), grid, masks, epsilon)


def objects_of(
    graph: Float[np.ndarray, "token token"], grid: tuple[int, int], masks: int = 3, epsilon: float = EPSILON
) -> Objects:
    """The same of any graph of the tokens (`graph.weights`): tokens of an object keep edges of `epsilon`."""
    if masks < 1:
        raise InputError(f"masks: expected at least 1, got {masks}")
    found = np.zeros((masks, *grid), bool)
    vectors = np.zeros((masks, *grid))
    taken = before = np.zeros(grid, bool)
    for number in range(masks):
        gone = taken.ravel()
        affinity = np.where(gone[:, None] | gone, epsilon, graph)
        mask, vectors[number:] = _salient(normalised_cut(affinity, 1)[1][:, 0], grid)
        if (number and _dropped(mask, before)) or not (mask & ~taken).any():
            break
        found[number] = mask & ~taken
        taken, before = taken | mask, mask
    return Objects(found, vectors)


def _salient(
    vector: Float[np.ndarray, "token"], grid: tuple[int, int]
) -> tuple[Bool[np.ndarray, "row column"], Float[np.ndarray, "row column"]]:
    """The object that a vector shows, and the vector with its sign: positive on the object's side.

    ASSUME: corners are counted on the side with the largest absolute entry, so that the answer does not
    depend on the sign that a solver happens to give.
    """
    side = (vector > vector.mean()).reshape(grid)
    if side[[0, 0, -1, -1], [0, -1, 0, -1]].sum() >= CORNERS:
        vector, side = -vector, ~side
    return part_around(side, largest_entry(vector)), vector.reshape(grid)


def _dropped(mask: Bool[np.ndarray, "row column"], before: Bool[np.ndarray, "row column"]) -> bool:
    overlap = (mask & before).sum() / (mask | before).sum()
    return bool(overlap > MOST_OVERLAP or mask.mean() <= LEAST_AREA)
