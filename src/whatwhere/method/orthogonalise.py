"""Eq. 8: an orthogonal X, its columns sorted."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

#: Relative size under which an inner product of two columns counts as zero.
TOLERANCE = 1e-4


def orthogonalise(X: Float[Tensor, "token vector"]) -> Float[Tensor, "token vector"]:
    """`X_ortho = X U`, U the eigenvectors of `XᵀX`, by decreasing eigenvalue (Eq. 8).

    Where the columns of X are orthogonal already, every diagonalising U is a permutation (or, for equal
    lengths, anything): then the order by length is taken, equal lengths keeping the solver's own order,
    which is that of its eigenvalues. The largest entry of each column is made positive, so that a column
    is a function of the graph and not of the eigensolver's mood.
    """
    X_ortho = (X.double() @ rotation(X.double().T @ X.double())).to(X.dtype)
    peaks = X_ortho.gather(0, X_ortho.abs().argmax(0, keepdim=True))
    return X_ortho * torch.where(peaks < 0, -1.0, 1.0)


def rotation(gram: Float[Tensor, "vector vector"]) -> Float[Tensor, "vector vector"]:
    """U of Eq. 8 for `XᵀX` in double precision: its eigenvectors, or the permutation that stands for them."""
    lengths = gram.diagonal()
    scale = torch.sqrt(lengths[:, None] * lengths).clamp_min(torch.finfo(torch.float64).tiny)
    if ((gram - lengths.diag()).abs() / scale).max() <= TOLERANCE:
        levels = torch.round(torch.log(lengths.clamp_min(1e-300)) / TOLERANCE)
        return torch.eye(len(gram), dtype=gram.dtype)[:, torch.argsort(levels, descending=True, stable=True)]
    return torch.linalg.eigh(gram)[1].flip(-1)
