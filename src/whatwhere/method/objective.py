"""Eq. 3 and Eq. 4, as pure functions of X and the graph set.

Symbols: X `[token, vector]` on the finest grid, or several images' `[image, token, vector]`; g resamples X to a
layer's grid; 𝒜 the graph set; the quotient of a graph and a column x is `g(x)ᵀ P g(x)`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from whatwhere.method.walk import Fold, Walks

Grid = tuple[int, int]
#: By how much a column of unit length may be longer.
ROUNDING = 1e-5
#: Columns that matrix products come in at full speed.
COLUMNS = 16
#: g: X on one grid to the tokens of another.
Resampling = Callable[[Tensor, Grid, Grid], Tensor]


def resample(
    X: Float[Tensor, "*image token vector"], grid: Grid, target: Grid
) -> Float[Tensor, "*image target vector"]:
    """g(X) of Eq. 3: bilinear from `grid` to `target`, times √(tokens / target tokens).

    ASSUME: the factor keeps the length of a smooth x, so that a layer's weight in the mean does not fall
    with its token count; the paper leaves the scale of g open (the released code rescales columns to unit
    length at each resolution).
    """
    if grid == target:
        return X
    resized = F.interpolate(_as_image(X, grid), size=target, mode="bilinear", align_corners=False)
    return _as_tokens(resized, X) * _length_factor(grid, target)


def pooled(X: Float[Tensor, "*image token vector"], grid: Grid, target: Grid) -> Float[Tensor, "*image target vector"]:
    """g(X) of the released code: adaptive average pooling, then every column to unit length."""
    tokens = X if grid == target else _as_tokens(F.adaptive_avg_pool2d(_as_image(X, grid), target), X)
    return F.normalize(tokens, dim=-2)


def resampling_matrix(grid: Grid, target: Grid) -> tuple[Tensor, Tensor]:
    """g as a Kronecker product of two small matrices: `g(X) = (rows ⊗ columns) X`; factor included."""
    rows, columns = (_linear(n, m) for n, m in zip(grid, target, strict=True))
    return rows * _length_factor(grid, target), columns


def folded_quotients(
    X: Float[Tensor, "token vector"], folds: tuple[Fold, ...], grid: Grid, g: Resampling = resample
) -> Float[Tensor, "vector"]:
    """Mean over 𝒜 of the quotients of every column, through one matrix a resolution."""
    return torch.cat([quadratic(g(X, grid, fold.grid), fold.matrix[None]) for fold in folds]).sum(0)


def quadratic(
    Y: Float[Tensor, "*image token vector"], M: Float[Tensor, "*image graph token token"]
) -> Float[Tensor, "*image graph vector"]:
    """`yᵀ M y` of every column and matrix, differentiable in Y. The matrices must be symmetric."""
    return _Quadratic.apply(Y, M)


class _Quadratic(torch.autograd.Function):
    """As M is symmetric the gradient is 2 M y, which the value has already: no second product."""

    @staticmethod
    def forward(context: Any, Y: Tensor, M: Tensor) -> Tensor:
        """yᵀMy of every graph `[graph, vector]`."""
        # a product with 10 or 15 columns takes three to nine times as long as one with 16
        padded = F.pad(Y, (0, -Y.shape[-1] % COLUMNS))
        # the graphs below one another: one large product for each image, not many small ones
        walked = (M.flatten(-3, -2) @ padded)[..., : Y.shape[-1]].unflatten(-2, M.shape[-3:-1])
        context.save_for_backward(walked)
        return (Y.unsqueeze(-3) * walked).sum(-2)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """2 M y for every graph, summed."""
        (walked,) = context.saved_tensors
        return 2 * (gradient.unsqueeze(-2) * walked).sum(-3), None


def each_quadratic(Y: Float[Tensor, "token column"], M: Float[Tensor, "column token token"]) -> Float[Tensor, "column"]:
    """`yᵀ M y` of every column with a matrix of its own, differentiable in Y. The matrices must be symmetric."""
    return _EachQuadratic.apply(Y, M)


class _EachQuadratic(torch.autograd.Function):
    """As `_Quadratic`; one product after the other, for a batch of them takes three times as long."""

    @staticmethod
    def forward(context: Any, Y: Tensor, M: Tensor) -> Tensor:
        """yᵀMy of every column."""
        walked = torch.stack([own @ y for own, y in zip(M, Y.mT.contiguous(), strict=True)], 1)
        context.save_for_backward(walked)
        return (Y * walked).sum(0)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """2 M y of every column."""
        (walked,) = context.saved_tensors
        return 2 * gradient * walked, None


def quotients(
    X: Float[Tensor, "token vector"], walks: Walks, g: Resampling = resample
) -> Float[Tensor, "graph vector"]:
    """Every single quotient, graph by graph, matrix-free."""
    return torch.cat([a.quotients(g(X, walks.grid, a.grid)) for a in walks.layers])


def eq3(X: Float[Tensor, "token vector"], walks: Walks) -> Float[Tensor, ""]:
    """The value of Eq. 3 (trace) for the span of X: X is made orthonormal first, as the constraint asks."""
    Q, _ = torch.linalg.qr(X.double())
    return folded_quotients(Q.to(X.dtype), walks.folds, walks.grid).sum()


def data_term(quotients: Float[Tensor, "*image graph vector"]) -> Float[Tensor, "*image"]:
    """First term of Eq. 4: mean of |quotient − 1|.

    ASSUME: per column (the diagonal of `g(X)ᵀPg(X)`) and averaged over columns, as the expectation sign
    and the released code suggest. Summed over columns, the unit weight of the other term would no longer
    hold X orthonormal.
    """
    return (quotients - 1).abs().mean((-2, -1))


def orthogonality(X: Float[Tensor, "*image token vector"]) -> Float[Tensor, "*image"]:
    """Second term of Eq. 4: ‖XᵀX − I‖_F."""
    return torch.linalg.matrix_norm(X.mT @ X - torch.eye(X.shape[-1], dtype=X.dtype, device=X.device))


def proven_below(X: Float[Tensor, "token vector"], walks: Walks, g: Resampling = resample) -> bool:
    """Whether a bound on the walks' spectra proves that no quotient at X is above 1: then folding is exact."""
    lengths = (g(X, walks.grid, fold.grid).square().sum(0).max() * fold.bound for fold in walks.folds)
    return all(float(length) <= 1 + ROUNDING for length in lengths)


def _as_image(X: Tensor, grid: Grid) -> Tensor:
    return rearrange(X.reshape(-1, *X.shape[-2:]), "image (row column) vector -> image vector row column", row=grid[0])


def _as_tokens(image: Tensor, like: Tensor) -> Tensor:
    tokens = rearrange(image, "image vector row column -> image (row column) vector")
    return tokens.reshape(*like.shape[:-2], *tokens.shape[1:])


def _length_factor(grid: Grid, target: Grid) -> float:
    return (grid[0] * grid[1] / (target[0] * target[1])) ** 0.5


def _linear(size: int, target: int) -> Tensor:
    eye = torch.eye(size, dtype=torch.float64)[None]
    return F.interpolate(eye, size=target, mode="linear", align_corners=False)[0].T
