"""Eq. 3 and Eq. 4, as pure functions of X and the graph set.

Symbols: X `[token, vector]` on the finest grid; g resamples X to a layer's grid; 𝒜 the graph set; the
quotient of a graph and a column x is `g(x)ᵀ P g(x)`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from whatwhere.walk import Fold, Walks

Grid = tuple[int, int]


def resample(X: Float[Tensor, "token vector"], grid: Grid, target: Grid) -> Float[Tensor, "target vector"]:
    """g(X) of Eq. 3: bilinear from `grid` to `target`, times √(tokens / target tokens).

    ASSUME: the factor keeps the length of a smooth x, so that a layer's weight in the mean does not fall
    with its token count; the paper leaves the scale of g open (the released code rescales columns to unit
    length at each resolution).
    """
    if grid == target:
        return X
    image = rearrange(X, "(row column) vector -> 1 vector row column", row=grid[0])
    resized = F.interpolate(image, size=target, mode="bilinear", align_corners=False)
    return rearrange(resized, "1 vector row column -> (row column) vector") * _length_factor(grid, target)


def resampling_matrix(grid: Grid, target: Grid) -> tuple[Tensor, Tensor]:
    """g as a Kronecker product of two small matrices: `g(X) = (rows ⊗ columns) X`; factor included."""
    rows, columns = (_linear(n, m) for n, m in zip(grid, target, strict=True))
    return rows * _length_factor(grid, target), columns


def folded_quotients(X: Float[Tensor, "token vector"], folds: tuple[Fold, ...], grid: Grid) -> Float[Tensor, "vector"]:
    """Mean over 𝒜 of the quotients of every column, through one matrix a resolution."""
    resampled = [(resample(X, grid, fold.grid), fold.matrix) for fold in folds]
    return torch.stack([(Y * (M @ Y)).sum(0) for Y, M in resampled]).sum(0)


def quotients(X: Float[Tensor, "token vector"], walks: Walks) -> Float[Tensor, "graph vector"]:
    """Every single quotient, graph by graph, matrix-free."""
    return torch.cat([a.quotients(resample(X, walks.grid, a.grid)) for a in walks.layers])


def eq3(X: Float[Tensor, "token vector"], walks: Walks) -> Float[Tensor, ""]:
    """The value of Eq. 3 (trace) for the span of X: X is made orthonormal first, as the constraint asks."""
    Q, _ = torch.linalg.qr(X.double())
    return folded_quotients(Q.to(X.dtype), walks.folds, walks.grid).sum()


def data_term(quotients: Float[Tensor, "graph vector"]) -> Float[Tensor, ""]:
    """First term of Eq. 4: mean of |quotient − 1|.

    ASSUME: per column (the diagonal of `g(X)ᵀPg(X)`) and averaged over columns, as the expectation sign
    and the released code suggest. Summed over columns, the unit weight of the other term would no longer
    hold X orthonormal.
    """
    return (quotients - 1).abs().mean()


def orthogonality(X: Float[Tensor, "token vector"]) -> Float[Tensor, ""]:
    """Second term of Eq. 4: ‖XᵀX − I‖_F."""
    return torch.linalg.matrix_norm(X.T @ X - torch.eye(X.shape[1], dtype=X.dtype, device=X.device))


def sides_agree(X: Float[Tensor, "token vector"], walks: Walks) -> bool:
    """Whether folding is exact at X: for every column, all graphs' quotients lie on one side of 1.

    A bound on the walks' spectra usually proves it at once; where it cannot, every quotient is computed.
    """
    X = X.detach()
    lengths = (resample(X, walks.grid, fold.grid).square().sum(0).max() * fold.bound for fold in walks.folds)
    if all(float(length) <= 1 for length in lengths):
        return True
    below = quotients(X, walks) <= 1
    return bool((below.all(0) | (~below).all(0)).all())


def _length_factor(grid: Grid, target: Grid) -> float:
    return (grid[0] * grid[1] / (target[0] * target[1])) ** 0.5


def _linear(size: int, target: int) -> Tensor:
    eye = torch.eye(size, dtype=torch.float64)[None]
    return F.interpolate(eye, size=target, mode="linear", align_corners=False)[0].T
