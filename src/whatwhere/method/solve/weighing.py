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
    if weights not in RULES:
        raise InputError(f"weights: expected one of {', '.join(RULES)}, got {weights!r}")
    alone = [fold([layer], layer.heads) for layer in walks.layers]
    shares = np.full(len(alone), 1 / len(alone))
    rule = AUTO if weights == "auto" else weights
    own = [leading([one]) for one in alone] if rule == "agreement" else []
    for _ in range(TURNS):
        X = leading(_added(alone, shares))
        if rule == "agreement":
            found = np.array([np.square(mine.T @ X).sum() for mine in own])
        else:
            missing = [X.shape[1] - quotients(one, X).sum() for one in alone]
            found = np.maximum(missing, 1e-3) ** -0.5
        shares = found / found.sum()
    return _added(alone, shares), shares


def _added(alone: Sequence[Fold], shares: np.ndarray) -> tuple[Fold, ...]:
    """A fold for each resolution, finest first in the order of its layers."""
    together: dict[tuple[int, int], Fold] = {}
    for one, share in zip(alone, shares.tolist(), strict=True):
        matrix = one.matrix * share
        if before := together.get(one.grid):
            matrix += before.matrix
        together[one.grid] = Fold(matrix, one.grid, max(one.bound, before.bound if before else 0.0))
    return tuple(together.values())
