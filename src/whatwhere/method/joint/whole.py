"""Eq. 3 over a whole data set at once: neighbours among all its images, one sparse operator, Lanczos.

Beyond the paper, which descends Eq. 4 on mini-batches: no batches, no learning rate, and a residual that says how
exact the answer is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy import sparse
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.progress import progress
from whatwhere.method.joint.graph import affinity_of, operator_of
from whatwhere.method.joint.search import Search, is_exact, nearest
from whatwhere.method.joint.source import Cached, finest
from whatwhere.method.joint.sparsity import Sparsity
from whatwhere.method.objective import resampling_matrix

Grid = tuple[int, int]
WholeOperator = Literal["normalised", "walk", "regularised"]
#: Of the mean degree, added to every degree of the `regularised` operator.
#: ASSUME: as in regularised spectral clustering; without it a location that few others choose weighs as much as many.
REGULARISATION = 0.3


@dataclass(frozen=True)
class Whole:
    """X of all images, its columns orthonormal over the set, with the eigenvalue of each.

    Of the `regularised` operator, `U` of its eigenvectors, X is `D^-½ U`: the vectors of the walk itself.
    `status`: the largest residual, and how neighbours were found: of an approximate search with the least recall of a
    graph.
    """

    vectors: Float[np.ndarray, "image token vector"]
    values: Float[np.ndarray, "vector"]
    status: str


def solve_whole(
    source: Cached,
    *,
    vectors: int,
    sparsity: Sparsity,
    operator: WholeOperator,
    grid: Grid,
    search: Search = "auto",
    tolerance: float = 1e-4,
    seed: int = 0,
) -> Whole:
    """The `vectors` leading eigenvectors of the mean of `gᵀ M g` over layers and noise samples, by Lanczos.

    With the operator `regularised` that mean, of the walks' symmetric parts, is normalised as a whole (`regularised`),
    where `normalised` does so with every layer's graph by itself.

    Raises `InputError` for as many vectors as there are locations, where no cosine passes the threshold, and where
    the vectors do not converge.
    """
    images, locations = len(source.ids), len(source.ids) * grid[0] * grid[1]
    if vectors >= locations:
        raise InputError(f"vectors: expected fewer than the {locations} locations, got {vectors}; take fewer")
    graphs, recall = whole_graphs(source, sparsity, operator, search)
    scale = np.ones((locations, 1), np.float32)
    if not any(graph.nnz for graph in graphs.values()):
        raise InputError(
            f"graph: expected cosines above {sparsity.threshold}, got none in {len(source.layers)} layers; "
            "lower the threshold"
        )
    M = joint_operator(graphs, images, grid)
    if operator == "regularised":
        M, scale = regularised(M)
    values, X, residual = leading(M, vectors, tolerance, seed)
    status = f"largest residual {residual:.1e}, {_search_words(source, sparsity, search, recall)}"
    return Whole((scale * X).reshape(images, -1, vectors), values.astype(np.float32), status)


def leading(
    M: LinearOperator | sparse.csr_array, vectors: int, tolerance: float, seed: int
) -> tuple[Float[np.ndarray, "vector"], Float[np.ndarray, "location vector"], float]:
    """The leading eigenvalues of a symmetric operator in order, their orthonormal vectors, and the largest residual.

    Raises `InputError` where they do not converge.
    """
    first = np.random.default_rng(seed).standard_normal(M.shape[0], np.float32)
    basis = min(M.shape[0], 2 * vectors + 20)
    try:
        values, X = eigsh(M, k=vectors, which="LA", v0=first, tol=tolerance, ncv=basis)
    except ArpackNoConvergence as error:
        raise InputError(
            f"global solver: expected {vectors} vectors within a tolerance of {tolerance}, got "
            f"{len(error.eigenvalues)}; raise the tolerance, or ask for fewer vectors"
        ) from error
    order = np.argsort(-values, kind="stable")
    values, X = values[order], np.ascontiguousarray(X[:, order])
    return values, X, float(np.linalg.norm(M @ X - X * values, axis=0).max())


def _search_words(source: Cached, sparsity: Sparsity, search: Search, recall: float) -> str:
    """How neighbours were found, on the finest grid at least."""
    rows, columns = finest(source.layers)
    across = sparsity.inter > 0 and len(source.ids) > 1
    exact = not across or is_exact(search, len(source.ids) * rows * columns, source.device)
    return "exact search" if exact else f"search by FAISS, recall at least {math.floor(1000 * recall) / 1000:.3f}"


def whole_graphs(
    source: Cached, sparsity: Sparsity, operator: WholeOperator, search: Search
) -> tuple[dict[Grid, sparse.csr_array], float]:
    """For each grid the sum of its graphs' operators, divided by the number of all graphs; `regularised` is a matter of
    their mean, so here it is the walks' symmetric parts. And the least recall of a graph's neighbours.
    """
    own = "walk" if operator == "regularised" else operator
    places = [(layer, sample) for layer in source.layers for sample in range(source.samples)]
    found: dict[Grid, sparse.csr_array] = {}
    graphs, recall = 0, 1.0
    for layer, sample in progress(places, f"graphs over {len(source.ids)} images"):
        for pair in source.whole(layer, sample):
            near = nearest(pair.source, pair.target, inside=sparsity.intra, across=sparsity.inter, search=search)
            M = operator_of(affinity_of(near, sparsity), own, sparsity.slack)
            found[layer.grid] = found[layer.grid] + M if layer.grid in found else M
            graphs, recall = graphs + 1, min(recall, near.recall)
    return {grid: (1 / graphs * M).tocsr() for grid, M in found.items()}, recall


def joint_operator(graphs: dict[Grid, sparse.csr_array], images: int, grid: Grid) -> LinearOperator | sparse.csr_array:
    """`Σ_r gᵣᵀ Mᵣ gᵣ` on the locations of all images; g resamples every image by itself."""
    if list(graphs) == [grid]:
        return graphs[grid]
    sides = {coarse: resampling_matrix(grid, coarse) for coarse in graphs}
    factors = {coarse: (r.float().numpy(), c.float().numpy()) for coarse, (r, c) in sides.items()}

    def apply(X: np.ndarray) -> np.ndarray:
        """The mean of all layers' graphs times X."""
        maps = X.reshape(images, *grid, -1).astype(np.float32, copy=False)
        parts = [M @ maps.reshape(len(X), -1) for own, M in graphs.items() if own == grid]
        parts += [_through(M, *factors[own], maps) for own, M in graphs.items() if own != grid]
        return np.sum(parts, axis=0).reshape(X.shape)

    locations = images * grid[0] * grid[1]
    return LinearOperator((locations, locations), matvec=apply, matmat=apply, dtype=np.float32)


def regularised(
    S: LinearOperator | sparse.csr_array,
) -> tuple[LinearOperator | sparse.csr_array, Float[np.ndarray, "location 1"]]:
    """`D^-½ S D^-½` of a symmetric S without negative entries, and `D^-½`; the spectrum lies in [-1, 1].

    D are the sums of the rows of S and, for each, `REGULARISATION` of their mean. Degrees of the mean over layers are
    far more even than those of one layer, in which a hub may be the neighbour of thousands and an island of none.
    """
    degrees = S @ np.ones(S.shape[0], np.float32)
    scale = (1 / np.sqrt(degrees + REGULARISATION * degrees.mean())).astype(np.float32)[:, None]
    if sparse.issparse(S):
        D = sparse.diags_array(scale[:, 0])
        return (D @ S @ D).tocsr(), scale

    def apply(X: np.ndarray) -> np.ndarray:
        """D^-½ S D^-½ X."""
        columns = X.reshape(len(X), -1)
        return (scale * (S @ (scale * columns))).reshape(X.shape)

    return LinearOperator(S.shape, matvec=apply, matmat=apply, dtype=np.float32), scale


def _through(M: sparse.csr_array, rows: np.ndarray, columns: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """gᵀ M g of maps `[image, row, column, vector]`, as locations."""
    coarse = np.einsum("ar,bc,ircv->iabv", rows, columns, maps, optimize=True)
    walked = (M @ coarse.reshape(M.shape[0], -1)).reshape(coarse.shape)
    fine = np.einsum("ar,bc,iabv->ircv", rows, columns, walked, optimize=True)
    return fine.reshape(-1, maps.shape[-1])
