"""What the solver sees of a pathway, one symmetric matrix (`Walks.folds`), in a byte or less an entry.

Entry i j is a whole number of times the smaller of the two rows' largest, over `LEVELS`: so neither row's heat map is
off by more than half a level of its own largest. The upper triangle is written, row by row.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32

from whatwhere.method.objective import resampling_matrix
from whatwhere.method.walk import Walks
from whatwhere.publish.explored.bits import Bits

#: Steps from 0 to a row's largest: off by at most 0.4 % of it.
LEVELS = 127


def mean_walk(walks: Walks) -> Float32[np.ndarray, "token token"]:
    """The mean over all graphs on the grid of X: `Σ gᵀ M g` over the resolutions, M the fold of each."""
    total = np.zeros((walks.grid[0] * walks.grid[1],) * 2, np.float32)
    for fold in walks.folds:
        M = fold.matrix.cpu().numpy()
        if fold.grid != walks.grid:
            rows, columns = (side.float().numpy() for side in resampling_matrix(walks.grid, fold.grid))
            g = np.kron(rows, columns)
            M = g.T @ M @ g
        total += M
    return total


def encoded(M: Float[np.ndarray, "token token"]) -> tuple[Bits, Float32[np.ndarray, "token"]]:
    """The levels of the upper triangle, diagonal included, and the largest of each row."""
    largest = M.max(1).astype(np.float32)
    levels = np.rint(M / np.minimum(largest[:, None], largest) * LEVELS).astype(np.int32)
    bits = Bits()
    bits.rice(levels[np.triu_indices(len(M))], range(len(M), 0, -1))
    return bits, largest
