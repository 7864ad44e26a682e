"""Eq. 3 solved exactly: the leading eigenvectors of the folded operator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy import linalg
from scipy.sparse.linalg import LinearOperator, eigsh

from whatwhere.method.objective import resampling_matrix
from whatwhere.method.solve.solution import Solution
from whatwhere.method.walk import Fold, Walks

#: Below this many tokens a dense eigensolver is the faster one.
DENSE_TOKENS = 256


def solve_exact(batch: Sequence[Walks], *, vectors: int, seeds: Sequence[int]) -> list[Solution]:
    """For each image the `vectors` leading eigenvectors of `Σ_r gᵣᵀ Mᵣ gᵣ`.

    By Lanczos, or densely where the grid is small. They maximise Eq. 3 under its constraint; no step size, no
    iterations to choose. Seeds start Lanczos.
    """
    return [_solve(walks, vectors, seed) for walks, seed in zip(batch, seeds, strict=True)]


def _solve(walks: Walks, vectors: int, seed: int) -> Solution:
    tokens = walks.grid[0] * walks.grid[1]
    operator = _operator(walks.folds, walks.grid)
    if tokens <= DENSE_TOKENS:
        dense = operator @ np.eye(tokens, dtype=np.float32)
        values, columns = linalg.eigh(dense.astype(np.float64), subset_by_index=(tokens - vectors, tokens - 1))
    else:
        # single precision like the folded matrix itself: half the memory to walk through at each product
        start = np.random.default_rng(seed).standard_normal(tokens, np.float32)
        values, columns = eigsh(operator, k=vectors, which="LA", v0=start)
    order = np.argsort(-values, kind="stable")
    X = np.ascontiguousarray(columns[:, order], np.float32)
    values = values[order].astype(np.float32)
    largest = float(np.abs(operator @ X - X * values).max())
    return Solution(torch.from_numpy(X), torch.from_numpy(values), walks.grid, f"largest residual {largest:.1e}")


def _operator(folds: tuple[Fold, ...], grid: tuple[int, int]) -> np.ndarray | LinearOperator:
    matrices = [fold.matrix.cpu().numpy() for fold in folds]
    if [fold.grid for fold in folds] == [grid]:
        return matrices[0]
    sides = [resampling_matrix(grid, fold.grid) for fold in folds]
    factors = [(r.float().numpy(), c.float().numpy()) for r, c in sides]

    def apply(X: np.ndarray) -> np.ndarray:
        """The sum over resolutions of gᵀ M g X, on the grid of X."""
        image = X.reshape(*grid, -1).astype(np.float32, copy=False)
        parts = [_through(M, r, c, image) for M, (r, c) in zip(matrices, factors, strict=True)]
        return np.sum(parts, axis=0).reshape(X.shape)

    tokens = grid[0] * grid[1]
    return LinearOperator((tokens, tokens), matvec=apply, matmat=apply, dtype=np.float32)


def _through(M: np.ndarray, rows: np.ndarray, columns: np.ndarray, image: np.ndarray) -> np.ndarray:
    """gᵀ M g of an image of vectors `[row, column, vector]`."""
    coarse = np.einsum("ar,bc,rcv->abv", rows, columns, image, optimize=True)
    walked = (M @ coarse.reshape(M.shape[0], -1)).reshape(coarse.shape)
    return np.einsum("ar,bc,abv->rcv", rows, columns, walked, optimize=True)
