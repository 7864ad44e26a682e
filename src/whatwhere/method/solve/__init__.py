"""Solvers as peers: each module `solve/KIND.py` has `solve_KIND`, from images' graph sets to their `Solution`s."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from whatwhere.artifacts.errors import InputError
from whatwhere.method.solve.solution import Solution
from whatwhere.method.walk import Walks

__all__ = ["SOLVERS", "Solution", "solve", "solve_batch"]

SOLVERS = ("exact", "gradient", "released")


def solve(walks: Walks, *, vectors: int = 10, solver: str = "exact", seed: int = 0, **settings: Any) -> Solution:
    """X of Eq. 3–4 for one image, `vectors` columns, by the named solver with its own `settings`."""
    return solve_batch([walks], vectors=vectors, solver=solver, seeds=[seed], **settings)[0]


def solve_batch(
    batch: Sequence[Walks], *, vectors: int, solver: str, seeds: Sequence[int], **settings: Any
) -> list[Solution]:
    """The same for several images whose layers have the same grids, a seed each.

    An image's answer does not depend on the others. Raises `InputError` for another solver, and for more vectors
    than there are tokens.
    """
    if solver not in SOLVERS:
        raise InputError(f"solver: expected one of {', '.join(SOLVERS)}, got {solver!r}")
    tokens = batch[0].grid[0] * batch[0].grid[1]
    if not 0 < vectors < tokens:
        raise InputError(f"vectors: expected 1 to {tokens - 1} on a grid of {tokens} tokens, got {vectors}")
    # by name, so that a change in one solver leaves the results of the others valid (see codehash)
    module = import_module(f"whatwhere.method.solve.{solver}")
    return getattr(module, f"solve_{solver}")(batch, vectors=vectors, seeds=seeds, **settings)
