"""Eq. 3 over a whole data set at once: neighbours among all its images, one sparse operator, Lanczos.

Beyond the paper, which descends Eq. 4 on mini-batches: no batches, no learning rate, and a residual that says how
exact the answer is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import sparse
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.progress import progress
from whatwhere.method.joint.graph import Operator, affinity, operator_of
from whatwhere.method.joint.search import Search, is_exact
from whatwhere.method.joint.source import Cached, finest
from whatwhere.method.joint.sparsity import Sparsity
from whatwhere.method.objective import resampling_matrix

Grid = tuple[int, int]


@dataclass(frozen=True)
class Whole:
    """X of all images, its columns orthonormal over the set, with the eigenvalue of each.

    `status`: the largest residual, and whether all neighbours were found by an exact search.
    """

    vectors: Float[np.ndarray, "image token vector"]
    values: Float[np.ndarray, "vector"]
    status: str


def solve_whole(
    source: Cached,
    *,
    vectors: int,
    sparsity: Sparsity,
    operator: Operator,
    grid: Grid,
    search: Search = "auto",
    tolerance: float = 1e-4,
    seed: int = 0,
) -> Whole:
    """The `vectors` leading eigenvectors of the mean of `gᵀ M g` over layers and noise samples, by Lanczos.

    Raises `InputError` for as many vectors as there are locations, where no cosine passes the threshold, and where
    the vectors do not converge.
    """
    images, locations = len(source.ids), len(source.ids) * grid[0] * grid[1]
    if vectors >= locations:
        raise InputError(f"vectors: expected fewer than the {locations} locations, got {vectors}; take fewer")
    graphs = whole_graphs(source, sparsity, operator, search)
    if not any(graph.nnz for graph in graphs.values()):
        raise InputError(
            f"graph: expected cosines above {sparsity.threshold}, got none in {len(source.layers)} layers; "
            "lower the threshold"
        )
    M = joint_operator(graphs, images, grid)
    first = np.random.default_rng(seed).standard_normal(locations, np.float32)
    basis = min(locations, 2 * vectors + 20)
    try:
        values, X = eigsh(M, k=vectors, which="LA", v0=first, tol=tolerance, ncv=basis)
    except ArpackNoConvergence as error:
        raise InputError(
            f"global solver: expected {vectors} vectors within a tolerance of {tolerance}, got "
            f"{len(error.eigenvalues)}; raise the tolerance, or ask for fewer vectors"
        ) from error
    order = np.argsort(-values, kind="stable")
    values, X = values[order], np.ascontiguousarray(X[:, order])
    residual = float(np.linalg.norm(M @ X - X * values, axis=0).max())
    status = f"largest residual {residual:.1e}, {_search_words(source, sparsity, search)}"
    return Whole(X.reshape(images, -1, vectors), values.astype(np.float32), status)


def _search_words(source: Cached, sparsity: Sparsity, search: Search) -> str:
    """How neighbours were found, on the finest grid at least."""
    rows, columns = finest(source.layers)
    across = sparsity.inter > 0 and len(source.ids) > 1
    exact = not across or is_exact(search, len(source.ids) * rows * columns, source.device)
    return "exact search" if exact else "search by FAISS, approximate"


def whole_graphs(
    source: Cached, sparsity: Sparsity, operator: Operator, search: Search
) -> dict[Grid, sparse.csr_array]:
    """For each grid the sum of its graphs' operators, divided by the number of all graphs."""
    graphs = [(layer, sample) for layer in source.layers for sample in range(source.samples)]
    found: dict[Grid, sparse.csr_array] = {}
    for layer, sample in progress(graphs, f"graphs over {len(source.ids)} images"):
        pair = source.whole(layer, sample)
        M = operator_of(affinity(pair.source, pair.target, sparsity, search), operator, sparsity.slack)
        found[layer.grid] = found[layer.grid] + M if layer.grid in found else M
    return {grid: (1 / len(graphs) * M).tocsr() for grid, M in found.items()}


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


def _through(M: sparse.csr_array, rows: np.ndarray, columns: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """gᵀ M g of maps `[image, row, column, vector]`, as locations."""
    coarse = np.einsum("ar,bc,ircv->iabv", rows, columns, maps, optimize=True)
    walked = (M @ coarse.reshape(M.shape[0], -1)).reshape(coarse.shape)
    fine = np.einsum("ar,bc,iabv->ircv", rows, columns, walked, optimize=True)
    return fine.reshape(-1, maps.shape[-1])
