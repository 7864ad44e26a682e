"""Solvers as peers: each module `solve/KIND.py` has `solve_KIND`, from a graph set to a `Solution`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from whatwhere.errors import InputError
from whatwhere.solve.solution import Solution
from whatwhere.walk import Walks

__all__ = ["SOLVERS", "Solution", "solve"]

SOLVERS = ("exact", "gradient")


def solve(walks: Walks, *, vectors: int = 10, solver: str = "exact", seed: int = 0, **settings: Any) -> Solution:
    """X of Eq. 3–4 for one image, `vectors` columns, by the named solver with its own `settings`."""
    if solver not in SOLVERS:
        raise InputError(f"solver: expected one of {', '.join(SOLVERS)}, got {solver!r}")
    # by name, so that a change in one solver leaves the results of the others valid (see codehash)
    module = import_module(f"whatwhere.solve.{solver}")
    return getattr(module, f"solve_{solver}")(walks, vectors=vectors, seed=seed, **settings)
