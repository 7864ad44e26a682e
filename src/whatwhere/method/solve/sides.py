"""Which graphs lie on which side of 1, column by column: what makes the folds of Eq. 4's data term exact.

For given sides `|q − 1|` is linear in the quotient q, so a column needs two matrices at most: the fold of all graphs,
which all columns share, and the sum of the few graphs on the other side (an attention sink's, say), which is its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from whatwhere.method.objective import Grid, Resampling, each_quadratic, proven_below, quotients
from whatwhere.method.walk import LayerWalk, Walks


@dataclass(frozen=True)
class Sides:
    """Of every column the graphs on the side where fewer are, and the sum of their walks' symmetric parts.

    `matrices` are, for each grid, those of `columns`, which are the ones with such graphs.
    """

    fewer: Bool[Tensor, "graph vector"]
    columns: Int[Tensor, "column"]
    matrices: Mapping[Grid, Float[Tensor, "column token token"]] = field(repr=False)

    @property
    def agree(self) -> bool:
        """Whether all graphs of every column lie on one side."""
        return not len(self.columns)

    def sums(
        self, X: Float[Tensor, "token vector"], grid: Grid, g: Resampling
    ) -> tuple[Float[Tensor, "vector"], Float[Tensor, "vector"]]:
        """Of every column the sum of those graphs' quotients, differentiable in X, and how many they are."""
        sums = X.new_zeros(X.shape[-1])
        for own, M in self.matrices.items():
            sums = sums.index_add(0, self.columns, each_quadratic(g(X, grid, own)[:, self.columns], M))
        return sums, self.fewer.sum(0).to(X.dtype)


def sides_at(
    X: Float[Tensor, "token vector"],
    walks: Walks,
    g: Resampling,
    before: Sides | None = None,
    *,
    matrices: bool = True,
) -> Sides:
    """The sides at X. Of columns whose graphs are on the sides where they were `before`, the matrices stay.

    Without `matrices` none are made: for whoever only asks whether the sides agree.
    """
    fewer = fewer_at(X, walks, g)
    if before is not None and torch.equal(before.fewer, fewer):
        return before
    columns = fewer.any(0).nonzero().flatten()
    if not len(columns) or not matrices:
        return Sides(fewer, columns, {})
    return Sides(fewer, columns, _matrices(walks, fewer, columns, before if before and before.matrices else None))


def _matrices(
    walks: Walks, fewer: Bool[Tensor, "graph vector"], columns: Int[Tensor, "column"], before: Sides | None
) -> dict[Grid, Float[Tensor, "column token token"]]:
    """Of each column its own, from `before` where its graphs are the same."""
    old = {} if before is None else {c: i for i, c in enumerate(before.columns.tolist())}
    old = {c: i for c, i in old.items() if before is not None and torch.equal(before.fewer[:, c], fewer[:, c])}
    new = [column for column in columns.tolist() if column not in old]
    made = _sums(walks, fewer[:, new])
    found = {}
    for grid, fresh in made.items():
        kept = fresh if before is None else before.matrices[grid]
        found[grid] = torch.stack([kept[old[c]] if c in old else fresh[new.index(c)] for c in columns.tolist()])
    return found


def fewer_at(X: Float[Tensor, "token vector"], walks: Walks, g: Resampling) -> Bool[Tensor, "graph vector"]:
    """Of every column the graphs on the side of 1 where fewer of them are; none where all are on one.

    A bound on the walks' spectra may prove that at once; where it does not, every quotient is computed.
    """
    X = X.detach()
    if proven_below(X, walks, g):
        return torch.zeros(walks.graphs, X.shape[-1], dtype=torch.bool, device=X.device)
    above = quotients(X, walks, g) > 1
    return torch.where(2 * above.sum(0) > len(above), ~above, above)


def _sums(walks: Walks, wanted: Bool[Tensor, "graph column"]) -> dict[Grid, Float[Tensor, "column token token"]]:
    """The symmetric parts of the wanted graphs of each column, added; a few graphs' matrices exist at a time."""
    totals: dict[Grid, Tensor] = {}
    first = 0
    for layer in walks.layers:
        own = wanted[first : first + layer.heads]
        first += layer.heads
        if layer.grid not in totals:
            totals[layer.grid] = layer.source.new_zeros(wanted.shape[1], layer.tokens, layer.tokens)
        heads = own.any(1).nonzero().flatten()
        if len(heads):
            _add(totals[layer.grid], replace(layer, source=layer.source[heads], target=layer.target[heads]), own[heads])
    return {grid: (total + total.mT) / 2 for grid, total in totals.items()}


def _add(total: Float[Tensor, "column token token"], layer: LayerWalk, wanted: Bool[Tensor, "head column"]) -> None:
    balance, head = layer.balance, 0
    for block in layer.matrices():
        for P in block:
            P *= balance[head][:, None] * balance[head]
            for column in wanted[head].nonzero().flatten().tolist():
                total[column] += P
            head += 1
