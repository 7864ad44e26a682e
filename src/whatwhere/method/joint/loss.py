"""Eq. 4 over a mini-batch of images and its sparse graphs, as a pure function of X.

X is `[image, token, vector]`. Its columns run over all images of the batch and are scaled to unit length first, so
the loss does not depend on their scale, nor a step's size on the size of a batch.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from scipy import sparse
from torch import Tensor

from whatwhere.method.objective import Resampling, data_term, orthogonality, resample

Grid = tuple[int, int]


@dataclass(frozen=True)
class Graphs:
    """The graphs of one grid below one another: a sparse `[graph · location, location]`, each symmetric."""

    grid: Grid
    count: int
    matrix: Tensor


def stacked(grid: Grid, operators: Sequence[sparse.csr_array], device: str = "cpu") -> Graphs:
    """Several graphs of one grid as one product."""
    tall = sparse.vstack(operators, format="csr")
    rows, columns, values = (torch.from_numpy(part) for part in (tall.indptr, tall.indices, tall.data))
    with warnings.catch_warnings():  # torch calls all its CSR tensors beta
        warnings.simplefilter("ignore", UserWarning)
        matrix = torch.sparse_csr_tensor(rows, columns, values, size=tall.shape, check_invariants=False)
    return Graphs(grid, len(operators), matrix.to(device))


def unit_columns(X: Float[Tensor, "image token vector"]) -> Float[Tensor, "location vector"]:
    """Columns over all images, of unit length."""
    return F.normalize(X.flatten(0, 1), dim=0)


def joint_quotients(
    X: Float[Tensor, "image token vector"], graphs: Sequence[Graphs], grid: Grid, g: Resampling = resample
) -> Float[Tensor, "graph vector"]:
    """`xᵀPx` of every graph and column, the columns of unit length at each resolution."""
    return torch.cat([_SparseQuadratic.apply(unit_columns(g(X, grid, one.grid)), one) for one in graphs])


def paper_loss(
    X: Float[Tensor, "image token vector"],
    graphs: Sequence[Graphs],
    grid: Grid,
    *,
    data_weight: float = 1.0,
    orthogonality_weight: float = 1.0,
) -> Float[Tensor, ""]:
    """Eq. 4: the mean of |quotient − 1|, and ‖XᵀX − I‖_F.

    ASSUME: of columns of unit length, as in the released code; an entry of such a column over 160 images of 32 × 32
    locations is 1/√(160 · 1024) = 0.0025, a quarter of the paper's learning rate 1e-2: a free X would be overshot at
    every step.
    """
    data = data_term(joint_quotients(X, graphs, grid))
    return data_weight * data + orthogonality_weight * orthogonality(unit_columns(X))


def released_loss(
    X: Float[Tensor, "image token vector"],
    graphs: Sequence[Graphs],
    grid: Grid,
    *,
    data_weight: float = 1.0,
    orthogonality_weight: float = 1.0,
) -> Float[Tensor, ""]:
    """The released code's: X is the softmax of its rows; both terms at every resolution, weighed with 32 over its rows.

    The second is the mean squared cosine of two columns; g is average pooling.
    """
    S = X.softmax(-1)
    terms = []
    for one in graphs:
        Y = unit_columns(averaged(S, grid, one.grid))
        quotients = _SparseQuadratic.apply(Y, one)
        both = data_weight * data_term(quotients) + orthogonality_weight * column_cosines(Y).square().mean()
        terms.append(32 / one.grid[0] * both)
    return torch.stack(terms).sum()


def averaged(X: Float[Tensor, "image token vector"], grid: Grid, target: Grid) -> Float[Tensor, "image target vector"]:
    """g(X) of the released code, at its own scale: adaptive average pooling."""
    if grid == target:
        return X
    image = X.mT.unflatten(-1, grid)
    return F.adaptive_avg_pool2d(image, target).flatten(-2).mT


def column_cosines(Y: Float[Tensor, "location vector"]) -> Float[Tensor, "pair"]:
    """Of every two different columns of unit length, row by row without the diagonal."""
    off = ~torch.eye(Y.shape[1], dtype=torch.bool, device=Y.device)
    return (Y.T @ Y)[off]


class _SparseQuadratic(torch.autograd.Function):
    """As every graph is symmetric the gradient is 2 M y, which the value has already: no second product."""

    @staticmethod
    def forward(context: Any, Y: Tensor, graphs: Graphs) -> Tensor:
        """yᵀMy of every graph `[graph, vector]`."""
        walked = (graphs.matrix @ Y).unflatten(0, (graphs.count, -1))
        context.save_for_backward(walked)
        return (Y * walked).sum(1)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """2 M y for every graph, summed."""
        (walked,) = context.saved_tensors
        return 2 * (gradient[:, None] * walked).sum(0), None
