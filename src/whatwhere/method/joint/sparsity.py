"""Settings of graphs across images that need no torch, so that a drawing may use them too (Eq. 6-7)."""

from __future__ import annotations

from dataclasses import dataclass

#: Arrays that each graph of a layer is made of, by pathway: whose rows, and with whose they are compared.
SIDES = {"qk": (("q", "k"),), "vv": (("v", "v"),), "both": (("q", "k"), ("v", "v"))}
#: What the released code adds to every 1/Σ.
RELEASED_SLACK = 1e-6


@dataclass(frozen=True)
class Sparsity:
    """How many connections a location keeps.

    `intra` in its own image, `inter` to all others together (c_intra and c_inter of section 3.3), of these the ones
    whose cosine is above `threshold`; `symmetric` takes the mean of A and its transpose before rows are scaled, and
    `slack` is added to each 1/Σ.
    """

    intra: int = 10
    inter: int = 10
    threshold: float = 0.0
    symmetric: bool = False
    slack: float = 0.0


#: ASSUME: the paper names no threshold; at 0 an affinity is never negative, which is all that Eq. 1 asks.
PAPER = Sparsity()
RELEASED = Sparsity(intra=50, inter=50, threshold=0.1, symmetric=True, slack=RELEASED_SLACK)
PRESETS = {"paper": PAPER, "released": RELEASED}
