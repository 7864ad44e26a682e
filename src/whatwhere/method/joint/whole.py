"""Eq. 3 over a whole data set at once: neighbours among all its images, one sparse operator, Lanczos.

Beyond the paper, which descends Eq. 4 on mini-batches: no batches, no learning rate, and a residual that says how
exact the answer is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
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
from whatwhere.method.solve.weighing import shares_of

Grid = tuple[int, int]
#: A sum of graphs' operators for each grid.
Graphs = dict[Grid, sparse.csr_array]
Operator = LinearOperator | sparse.csr_array
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
    weights: str = "equal",
    seed: int = 0,
) -> Whole:
    """The `vectors` leading eigenvectors of the mean of `gᵀ M g` over layers and noise samples, by Lanczos.

    `weights` of the graphs in that mean are equal, or found from them: see `whatwhere.method.solve.weighing`.
    With the operator `regularised` that mean, of the walks' symmetric parts, is normalised as a whole (`regularised`),
    where `normalised` does so with every layer's graph by itself.

    Raises `InputError` for as many vectors as there are locations, where no cosine passes the threshold, and where
    the vectors do not converge.
    """
    images, locations = len(source.ids), len(source.ids) * grid[0] * grid[1]
    if vectors >= locations:
        raise InputError(f"vectors: expected fewer than the {locations} locations, got {vectors}; take fewer")

    def prepared(some: Graphs) -> tuple[Operator, np.ndarray]:
        """What is solved of some graphs, and what its vectors are scaled by."""
        M = joint_operator(some, images, grid)
        return regularised(M) if operator == "regularised" else (M, np.ones((locations, 1), np.float32))

    def solved(some: Graphs) -> np.ndarray:
        """Leading eigenvectors of some graphs."""
        return leading(prepared(some)[0], vectors, tolerance, seed)[1]

    each = layer_graphs(source, sparsity, operator, search)
    alone = [] if weights == "equal" else list(each)
    graphs, recall = _mean(alone or each)
    if not any(graph.nnz for graph in graphs.values()):
        raise InputError(
            f"graph: expected cosines above {sparsity.threshold}, got none in {len(source.layers)} layers; "
            "lower the threshold"
        )
    words = _search_words(source, sparsity, search, recall)
    if alone:
        graphs, said = _weighed([one for one, _ in alone], weights, prepared, solved)
        words = f"{words}, {said}"
    M, scale = prepared(graphs)
    values, X, residual = leading(M, vectors, tolerance, seed)
    X = (scale * X).reshape(images, -1, vectors)
    return Whole(X, values.astype(np.float32), f"largest residual {residual:.1e}, {words}")


def leading(
    M: Operator, vectors: int, tolerance: float, seed: int
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


def layer_graphs(
    source: Cached, sparsity: Sparsity, operator: WholeOperator, search: Search
) -> Iterator[tuple[Graphs, float]]:
    """The operator of every layer's graph, by its grid, and the recall of its neighbours; `regularised` is a matter of
    their mean, so here it is the walks' symmetric parts.
    """
    own = "walk" if operator == "regularised" else operator
    places = [(layer, sample) for layer in source.layers for sample in range(source.samples)]
    for layer, sample in progress(places, f"graphs over {len(source.ids)} images"):
        for pair in source.whole(layer, sample):
            near = nearest(pair.source, pair.target, inside=sparsity.intra, across=sparsity.inter, search=search)
            yield {layer.grid: operator_of(affinity_of(near, sparsity), own, sparsity.slack)}, near.recall


def whole_graphs(source: Cached, sparsity: Sparsity, operator: WholeOperator, search: Search) -> tuple[Graphs, float]:
    """For each grid the sum of its graphs' operators, divided by the number of all graphs. And the least recall."""
    return _mean(layer_graphs(source, sparsity, operator, search))


def _mean(each: Iterable[tuple[Graphs, float]]) -> tuple[Graphs, float]:
    """One graph after the other: no two layers' are there at a time."""
    found: Graphs = {}
    graphs, recall = 0, 1.0
    for one, own in each:
        found = _added(found, one)
        graphs, recall = graphs + 1, min(recall, own)
    return {grid: (1 / graphs * M).tocsr() for grid, M in found.items()}, recall


def _weighed(
    alone: Sequence[Graphs],
    weights: str,
    prepared: Callable[[Graphs], tuple[Operator, np.ndarray]],
    solved: Callable[[Graphs], np.ndarray],
) -> tuple[Graphs, str]:
    """The graphs' sum by weights that they choose, and these in words. Each graph counts by its own operator: where
    that is regularised, one with hubs has no quotient above 1.
    """

    def mixed(shares: np.ndarray) -> Graphs:
        """All with such weights."""
        found: Graphs = {}
        for one, share in zip(alone, shares.tolist(), strict=True):
            found = _added(found, one, share)
        return {grid: M.tocsr() for grid, M in found.items()}

    shares = shares_of(
        weights,
        len(alone),
        together=lambda shares: solved(mixed(shares)),
        own=lambda number: solved(alone[number]),
        trace=lambda number, X: float((X * (prepared(alone[number])[0] @ X)).sum()),
    )
    return mixed(shares), f"weights {' '.join(f'{share:.3f}' for share in shares)}"


def _added(found: Graphs, one: Graphs, share: float = 1.0) -> Graphs:
    return {**found, **{grid: found[grid] + share * M if grid in found else share * M for grid, M in one.items()}}


def joint_operator(graphs: Graphs, images: int, grid: Grid) -> Operator:
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
    S: Operator,
) -> tuple[Operator, Float[np.ndarray, "location 1"]]:
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
