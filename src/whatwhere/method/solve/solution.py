"""What every solver answers."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Solution:
    """X of Eq. 3–4 on `grid`, before Eq. 8.

    `vectors` `[token, vector]`; `values` `[vector]`, the mean quotient over the graph set of each column;
    `status` in words; `history` `[step]`, the objective of Eq. 4 where a solver descends it, else empty;
    `weights` `[layer]`, the shares of the graph set's layers where they were found from the graphs, else empty.
    """

    vectors: Float[Tensor, "token vector"]
    values: Float[Tensor, "vector"]
    grid: tuple[int, int]
    status: str
    history: Float[np.ndarray, "step"] = field(default_factory=lambda: np.empty(0, np.float32))
    weights: Float[np.ndarray, "layer"] = field(default_factory=lambda: np.empty(0))

    def __repr__(self) -> str:
        tokens = f"{self.grid[0]} × {self.grid[1]} tokens"
        ends = f"{float(self.values.max()):.3f} … {float(self.values.min()):.3f}"
        return f"Solution({self.vectors.shape[1]} vectors on {tokens}, values {ends}; {self.status})"

    def __post_init__(self) -> None:
        if not torch.isfinite(self.vectors).all():
            raise FloatingPointError(f"the solver left non-finite vectors ({self.status})")
