"""Eq. 4 as the paper writes it: a free feature map, descended by Adam (section 4.1, appendix B.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from whatwhere.method.objective import folded_quotients, orthogonality
from whatwhere.method.solve.descent import descend, sample_sets, steps_words
from whatwhere.method.solve.solution import Solution
from whatwhere.method.solve.terms import DataTerm
from whatwhere.method.walk import Walks


def solve_gradient(
    batch: Sequence[Walks],
    *,
    vectors: int,
    seeds: Sequence[int],
    steps: int = 1000,
    learning_rate: float = 1e-3,
    data_weight: float = 1.0,
    orthogonality_weight: float = 1.0,
    buffer_samples: int | None = None,
    fresh_probability: float = 0.25,
    accumulate: int = 1,
    check_every: int = 50,
    folded: bool = True,
    tolerance: float | None = None,
) -> list[Solution]:
    """`steps` steps of Adam on Eq. 4 from a normal start; every graph's quotient enters the loss (`DataTerm`).

    Of several noise samples each pass takes one from a buffer (`buffer_samples`, `fresh_probability`: see
    `descent.buffered`) or, without a buffer, the mean over all; a step follows `accumulate` passes. With a `tolerance`
    an image stops where it has converged (`descent.has_converged`).

    ASSUME: X starts at N(0, 1/tokens), columns of about unit length; the paper gives the family only, and
    a start of unit variance would spend its steps shrinking X.
    """
    sets, samples = sample_sets(batch, buffer_samples, fresh_probability, seeds)
    term = DataTerm(sets, check_every=check_every, folded=folded)
    X = torch.stack([_start(walks, vectors, seed) for walks, seed in zip(batch, seeds, strict=True)])
    X.requires_grad_(True)
    history, took = descend(
        [X],
        lambda sample: data_weight * term(X, sample) + orthogonality_weight * orthogonality(X),
        samples,
        steps=steps,
        accumulate=accumulate,
        learning_rate=learning_rate,
        what="gradient steps",
        tolerance=tolerance,
    )
    found = []
    for i, walks in enumerate(batch):
        x = X[i].detach()
        values = folded_quotients(x, walks.folds, walks.grid)
        found.append(
            Solution(x.cpu(), values.cpu(), walks.grid, f"{steps_words(took[i], steps)}, {term.status(i)}", history[i])
        )
    return found


def _start(walks: Walks, vectors: int, seed: int) -> Tensor:
    tokens = walks.grid[0] * walks.grid[1]
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(tokens, vectors, generator=generator) / tokens**0.5).to(walks.layers[0].source.device)
