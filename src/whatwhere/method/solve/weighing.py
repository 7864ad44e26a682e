"""Weights of the layers' graphs that the graphs themselves choose, without labels; beyond the paper, which takes all
alike.

Each layer (of each pathway and noise sample) is folded by itself once; then the eigenvectors that all have in common
and the weights are found in turns, from equal weights on:

- `trace`: `w = (C - tr XᵀMX)^-½`, as automatically weighted multiple graph learning (Nie, Li and Li, 2016) has it for
  Laplacians: a graph that is far from what all see counts less.
- `agreement`: the part of the layer's own leading eigenvectors that lies in the space of X, `‖X_lᵀX‖² / C`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from whatwhere.artifacts.errors import InputError
from whatwhere.method.walk import Fold, Walks, fold

RULES = ("equal", "trace", "agreement", "auto")

#: What `auto` is: the better of the two on thirty photographs that no score is of (`config/beyond.yaml`).
AUTO = "trace"
#: Turns of weights and vectors.
TURNS = 3

#: The leading eigenvectors `[token, vector]` of what folds stand for, on the grid of X.
Leading = Callable[[Sequence[Fold]], np.ndarray]
#: `[vector]` quotients of X's columns, whose lengths are one, with a fold.
Quotients = Callable[[Fold, np.ndarray], np.ndarray]


def weighed(walks: Walks, weights: str, leading: Leading, quotients: Quotients) -> tuple[tuple[Fold, ...], np.ndarray]:
    """The folds of an image, one for each resolution, and the weight of each of `walks.layers` (their sum is 1).

    Raises `InputError` for weights of another name.
    """
    alone = [fold([layer], layer.heads) for layer in walks.layers]
    shares = shares_of(
        weights,
        len(alone),
        together=lambda shares: leading(_added(alone, shares)),
        own=lambda number: leading([alone[number]]),
        trace=lambda number, X: quotients(alone[number], X).sum(),
    )
    return _added(alone, shares), shares


def shares_of(
    weights: str,
    graphs: int,
    *,
    together: Callable[[np.ndarray], np.ndarray],
    own: Callable[[int], np.ndarray],
    trace: Callable[[int, np.ndarray], float],
) -> np.ndarray:
    """The weight of each of so many graphs (their sum is 1), in `TURNS` from equal ones on.

    `together` answers the leading eigenvectors of all with such weights, `own` those of one graph, and `trace` the sum
    of its quotients with X. Raises `InputError` for weights of another name.
    """
    if weights not in RULES:
        raise InputError(f"weights: expected one of {', '.join(RULES)}, got {weights!r}")
    rule = AUTO if weights == "auto" else weights
    shares = np.full(graphs, 1 / graphs)
    if rule == "equal":
        return shares
    alone = [own(number) for number in range(graphs)] if rule == "agreement" else []
    for _ in range(TURNS):
        X = together(shares)
        if rule == "agreement":
            found = np.array([np.square(mine.T @ X).sum() for mine in alone])
        else:
            missing = [X.shape[1] - trace(number, X) for number in range(graphs)]
            found = np.maximum(missing, 1e-3) ** -0.5
        shares = found / found.sum()
    return shares


def _added(alone: Sequence[Fold], shares: np.ndarray) -> tuple[Fold, ...]:
    """A fold for each resolution, finest first in the order of its layers."""
    together: dict[tuple[int, int], Fold] = {}
    for one, share in zip(alone, shares.tolist(), strict=True):
        matrix = one.matrix * share
        if before := together.get(one.grid):
            matrix += before.matrix
        together[one.grid] = Fold(matrix, one.grid, max(one.bound, before.bound if before else 0.0))
    return tuple(together.values())
