"""Eq. 3 solved exactly: the leading eigenvectors of the folded operator."""

from __future__ import annotations

import numpy as np
import torch
from scipy import linalg
from scipy.sparse.linalg import LinearOperator, eigsh

from whatwhere.errors import InputError
from whatwhere.objective import resampling_matrix
from whatwhere.solve.solution import Solution
from whatwhere.walk import Fold, Walks

#: Below this many tokens a dense eigensolver is the faster one.
DENSE_TOKENS = 256


def solve_exact(walks: Walks, *, vectors: int, seed: int = 0) -> Solution:
    """The `vectors` leading eigenvectors of `Σ_r gᵣᵀ Mᵣ gᵣ`, by Lanczos (dense where the grid is small).

    They maximise Eq. 3 under its constraint; no step size, no iterations to choose. `seed` starts Lanczos.
    """
    tokens = walks.grid[0] * walks.grid[1]
    if not 0 < vectors < tokens:
        raise InputError(f"vectors: expected 1 to {tokens - 1} on a grid of {tokens} tokens, got {vectors}")
    operator = _operator(walks.folds, walks.grid)
    if tokens <= DENSE_TOKENS:
        values, columns = linalg.eigh(operator @ np.eye(tokens), subset_by_index=(tokens - vectors, tokens - 1))
    else:
        start = np.random.default_rng(seed).standard_normal(tokens)
        values, columns = eigsh(operator, k=vectors, which="LA", v0=start)
    order = np.argsort(-values, kind="stable")
    X = torch.from_numpy(np.ascontiguousarray(columns[:, order], np.float32))
    largest = float(np.abs(operator @ columns - columns * values).max())
    status = f"largest residual {largest:.1e}"
    return Solution(X, torch.from_numpy(values[order].astype(np.float32)), walks.grid, status)


def _operator(folds: tuple[Fold, ...], grid: tuple[int, int]) -> np.ndarray | LinearOperator:
    if [fold.grid for fold in folds] == [grid]:
        return folds[0].matrix.double().cpu().numpy()
    matrices = [fold.matrix.double().cpu().numpy() for fold in folds]
    sides = [resampling_matrix(grid, fold.grid) for fold in folds]

    def apply(X: np.ndarray) -> np.ndarray:
        image = X.reshape(*grid, -1)
        parts = [_through(M, r.numpy(), c.numpy(), image) for M, (r, c) in zip(matrices, sides, strict=True)]
        return np.sum(parts, axis=0).reshape(X.shape)

    tokens = grid[0] * grid[1]
    return LinearOperator((tokens, tokens), matvec=apply, matmat=apply, dtype=np.float64)


def _through(M: np.ndarray, rows: np.ndarray, columns: np.ndarray, image: np.ndarray) -> np.ndarray:
    """gᵀ M g of an image of vectors `[row, column, vector]`."""
    coarse = np.einsum("ar,bc,rcv->abv", rows, columns, image, optimize=True)
    walked = (M @ coarse.reshape(M.shape[0], -1)).reshape(coarse.shape)
    return np.einsum("ar,bc,abv->rcv", rows, columns, walked, optimize=True)
