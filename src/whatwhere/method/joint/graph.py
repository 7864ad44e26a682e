"""Eq. 6-7: from a layer's queries and keys (or values) of many images to one sparse graph across them.

Heads are concatenated and vectors scaled to unit length, so that entries are cosines; each location keeps its
strongest connections (`search`), those under a threshold are dropped. Two operators stand for a graph, as for one
image (see `whatwhere.method.walk`): `walk`, P = D⁻¹A, and `normalised`, `D_S^-½ S D_S^-½` with S = (P + Pᵀ)/2.
Both enter quadratic forms only, so what is answered is their symmetric part.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from scipy import sparse
from torch import Tensor

from whatwhere.method.joint.search import Neighbours, Rows, Search, nearest
from whatwhere.method.joint.sparsity import Sparsity
from whatwhere.method.objective import resampling_matrix

Operator = Literal["normalised", "walk"]


def unit_rows(heads: Float[Tensor, "image head token channel"]) -> Float[Tensor, "image token width"]:
    """The heads of each token side by side (appendix C.2), scaled to unit length (Eq. 7)."""
    return F.normalize(rearrange(heads, "image head token channel -> image token (head channel)"), dim=-1)


def affinity(source: Rows, target: Rows, sparsity: Sparsity, search: Search = "exact") -> sparse.csr_array:
    """A of Eq. 7, `[location, location]`: cosines of the connections that stay. See `nearest` for errors."""
    return affinity_of(nearest(source, target, inside=sparsity.intra, across=sparsity.inter, search=search), sparsity)


def affinity_of(found: Neighbours, sparsity: Sparsity) -> sparse.csr_array:
    """A of Eq. 7 from the connections that were found."""
    A = as_matrix(found, sparsity.threshold)
    return (0.5 * (A + A.T)).tocsr() if sparsity.symmetric else A


def as_matrix(found: Neighbours, threshold: float) -> sparse.csr_array:
    """Connections above the threshold (and never a negative one) as a sparse matrix with sorted columns."""
    places = torch.cat([found.inside, found.across], 1).cpu().numpy()
    values = torch.cat([found.inside_values, found.across_values], 1).float().cpu().numpy()
    stays = (places >= 0) & (values > max(threshold, 0.0))
    rows = np.concatenate([[0], np.cumsum(stays.sum(1))])
    locations = len(places)
    # 32 bits hold every column, and every connection of a set of up to some ten million locations
    narrow = np.int32 if rows[-1] < np.iinfo(np.int32).max else np.int64
    A = sparse.csr_array(
        (values[stays], places[stays].astype(narrow), rows.astype(narrow)), shape=(locations, locations)
    )
    A.sort_indices()
    return A


def random_walk(A: sparse.csr_array, slack: float = 0.0) -> sparse.csr_array:
    """P = D⁻¹A. A location without connections has a row of zeros."""
    degrees = np.asarray(A.sum(1), np.float64).ravel()
    inverse = np.divide(1.0, degrees, out=np.zeros_like(degrees), where=degrees > 0)
    scale = np.where(degrees > 0, inverse + slack, 0).astype(np.float32)
    return (sparse.diags_array(scale) @ A).tocsr()


def symmetric_part(P: Any) -> sparse.csr_array:
    """(P + Pᵀ)/2: the same quadratic form."""
    return (0.5 * (P + P.T)).tocsr()  # a division would be of float64


def normalised(P: sparse.csr_array) -> sparse.csr_array:
    """`D_S^-½ S D_S^-½` of S = (P + Pᵀ)/2; its spectrum lies in [-1, 1]."""
    S = symmetric_part(P)
    degrees = np.asarray(S.sum(1), np.float64).ravel()
    balance = np.divide(1.0, np.sqrt(degrees), out=np.zeros_like(degrees), where=degrees > 0).astype(np.float32)
    scale = sparse.diags_array(balance)
    return (scale @ S @ scale).tocsr()


def resampling(grid: tuple[int, int], target: tuple[int, int]) -> sparse.csr_array | None:
    """g of one image as a sparse matrix; None where nothing changes."""
    if grid == target:
        return None
    rows, columns = (side.double().numpy() for side in resampling_matrix(grid, target))
    return sparse.csr_array(sparse.kron(rows, columns, format="csr"))


def operator_of(A: sparse.csr_array, operator: Operator, slack: float = 0.0) -> sparse.csr_array:
    """The symmetric matrix that stands for a graph."""
    P = random_walk(A, slack)
    return (normalised(P) if operator == "normalised" else symmetric_part(P)).astype(np.float32)
