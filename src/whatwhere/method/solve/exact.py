"""Eq. 3 solved exactly: the leading eigenvectors of the folded operator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy import linalg
from scipy.sparse.linalg import LinearOperator, eigsh

from whatwhere.method.objective import resampling_matrix
from whatwhere.method.solve.solution import Solution
from whatwhere.method.solve.weighing import weighed
from whatwhere.method.walk import Fold, Walks

#: Below this many tokens a dense eigensolver is the faster one.
DENSE_TOKENS = 256


def solve_exact(
    batch: Sequence[Walks], *, vectors: int, seeds: Sequence[int], weights: str = "equal", time: int | float = 0
) -> list[Solution]:
    """For each image the `vectors` leading eigenvectors of `Σ_r gᵣᵀ Mᵣ gᵣ`.

    By Lanczos, or densely where the grid is small. They maximise Eq. 3 under its constraint; no step size, no
    iterations to choose. Seeds start Lanczos. `weights` of the layers in M are equal, as in the paper, or found from
    the graphs (see `weighing`). With `time` above 0 X is a diffusion map (Coifman and Lafon, 2006): a column is as long
    as its eigenvalue to this power, the part of it that so many steps of the walk leave.
    """
    return [_solve(walks, vectors, seed, weights, time) for walks, seed in zip(batch, seeds, strict=True)]


def _solve(walks: Walks, vectors: int, seed: int, weights: str, time: int | float) -> Solution:
    if weights == "equal":
        folds, shares = walks.folds, np.empty(0)
    else:
        folds, shares = weighed(
            walks,
            weights,
            lambda some: _leading(_operator(some, walks.grid), walks.grid, vectors, seed)[1],
            lambda one, X: (X * (_operator([one], walks.grid) @ X)).sum(0),
        )
    operator = _operator(folds, walks.grid)
    values, X = _leading(operator, walks.grid, vectors, seed)
    largest = float(np.abs(operator @ X - X * values).max())
    status = f"largest residual {largest:.1e}"
    X *= np.maximum(values, 0) ** time
    return Solution(torch.from_numpy(X), torch.from_numpy(values), walks.grid, status, weights=shares)


def _leading(
    operator: np.ndarray | LinearOperator, grid: tuple[int, int], vectors: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The largest eigenvalues, falling, and their vectors `[token, vector]`."""
    tokens = grid[0] * grid[1]
    if tokens <= DENSE_TOKENS:
        dense = operator @ np.eye(tokens, dtype=np.float32)
        values, columns = linalg.eigh(dense.astype(np.float64), subset_by_index=(tokens - vectors, tokens - 1))
    else:
        # single precision like the folded matrix itself: half the memory to walk through at each product
        start = np.random.default_rng(seed).standard_normal(tokens, np.float32)
        values, columns = eigsh(operator, k=vectors, which="LA", v0=start)
    order = np.argsort(-values, kind="stable")
    return values[order].astype(np.float32), np.ascontiguousarray(columns[:, order], np.float32)


def _operator(folds: Sequence[Fold], grid: tuple[int, int]) -> np.ndarray | LinearOperator:
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
