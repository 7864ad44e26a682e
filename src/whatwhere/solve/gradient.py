"""Eq. 4 as the paper writes it: a free feature map, descended by Adam (section 4.1, appendix B.2)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from whatwhere.objective import data_term, folded_quotients, orthogonality, quotients, sides_agree
from whatwhere.progress import progress
from whatwhere.solve.solution import Solution
from whatwhere.walk import Walks


def solve_gradient(
    walks: Walks,
    *,
    vectors: int,
    seed: int = 0,
    steps: int = 1000,
    learning_rate: float = 1e-3,
    data_weight: float = 1.0,
    orthogonality_weight: float = 1.0,
    check_every: int = 50,
    folded: bool = True,
) -> Solution:
    """`steps` steps of Adam on Eq. 4 from a normal start; every graph's quotient enters the loss.

    Folding (see `walk.fold`) replaces the sum over graphs where it is exact. That is checked every
    `check_every` steps (a comparison may cost as much as an unfolded step), and the steps up to the next
    check follow its outcome: folded, or every graph by itself. So a folded step between two checks can be
    inexact; `check_every=1` leaves no such step. `folded=False` never folds.

    ASSUME: X starts at N(0, 1/tokens), columns of about unit length; the paper gives the family only, and
    a start of unit variance would spend its steps shrinking X.
    """
    tokens = walks.grid[0] * walks.grid[1]
    generator = torch.Generator().manual_seed(seed)
    X = (torch.randn(tokens, vectors, generator=generator) / tokens**0.5).to(walks.layers[0].source.device)
    X.requires_grad_(True)
    optimiser = torch.optim.Adam([X], lr=learning_rate, fused=True)
    history = np.empty(steps, np.float32)
    unfolded_steps = 0
    use_fold = folded
    for step in progress(range(steps), "gradient steps"):
        if folded and step % check_every == 0:
            use_fold = sides_agree(X, walks)
        data = data_term(_quotients(X, walks, use_fold))
        loss = data_weight * data + orthogonality_weight * orthogonality(X)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history[step] = loss.item()
        unfolded_steps += not use_fold
    with torch.no_grad():
        values = folded_quotients(X, walks.folds, walks.grid)
    status = f"{steps} steps, {unfolded_steps} of them unfolded"
    return Solution(X.detach().cpu(), values.cpu(), walks.grid, status, history)


def _quotients(X: Tensor, walks: Walks, use_fold: bool) -> Tensor:
    return folded_quotients(X, walks.folds, walks.grid)[None] if use_fold else quotients(X, walks)
