"""Eq. 5: from queries and keys (or values) to random walks; and folding, which makes many walks one matrix.

The walk of a head is its attention, `P = D⁻¹A = softmax(QKᵀ·scale)`, so `P·X` is an attention product whose
N × N matrix never exists. The graph set 𝒜 of an image is all its layers and heads: m walks.

Two operators stand for a walk:

- `walk`: P itself, as Eq. 3 has it.
- `normalised` (default): `D_S^-½ S D_S^-½` with `S = (P + Pᵀ)/2`. Its spectrum lies in [-1, 1] whatever the
  attention looks like. P's symmetric part can have eigenvalues above 1, with a vector that is one token,
  where many rows attend to that token (an attention sink).

Both are used only through quadratic forms, so both read `(b∘x)ᵀ P (b∘x)`: b = 1, or b = D_S^-½ ("balance").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import compress
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from whatwhere.artifacts.errors import InputError
from whatwhere.backbones.features import Features
from whatwhere.method.layers import chosen_layers

Pathway = Literal["qk", "vv", "both"]
Operator = Literal["normalised", "walk"]

#: Arrays that each walk of a head is made of, by pathway: whose rows, and with whose they are compared.
SIDES: dict[Pathway, tuple[tuple[str, str], ...]] = {"qk": (("query", "key"),), "vv": (("value", "value"),)}
SIDES["both"] = SIDES["qk"] + SIDES["vv"]

#: Numbers of walks held at once where a head's matrix is smaller than that: a core's cache, 4 MiB of float32.
BLOCK = 2**20


@dataclass(frozen=True)
class LayerWalk:
    """The walks of one layer, a head each: `softmax(source · targetᵀ · scale)` on `grid` (rows, columns).

    `sample`: the noise sample it was read at, where there are several.
    """

    name: str
    source: Float[Tensor, "head token channel"]
    target: Float[Tensor, "head token channel"]
    scale: float
    grid: tuple[int, int]
    operator: Operator
    sample: int = 0

    def __repr__(self) -> str:
        rows, columns = self.grid
        return f"LayerWalk({self.name}: {self.heads} heads, {rows} × {columns} tokens, {self.operator})"

    @property
    def heads(self) -> int:
        """Number of graphs of this layer."""
        return self.source.shape[0]

    @property
    def tokens(self) -> int:
        """Number of nodes of each graph."""
        return self.source.shape[1]

    @cached_property
    def balance(self) -> Float[Tensor, "head token"]:
        """b of the module's text: 1 for `walk`, `D_S^-½` for `normalised`."""
        if self.operator == "walk":
            return self.source.new_ones(self.heads, self.tokens)
        return torch.cat([_balance(P, self.operator) for P in self.matrices()])

    def matrices(self) -> Iterator[Float[Tensor, "block token token"]]:
        """P of all heads in order, a few at a time (as many as fit `BLOCK` numbers).

        Every block lies where the one before it lay: use it up before asking for the next.
        """
        step = min(self.heads, max(1, BLOCK // self.tokens**2))
        # in rows one after the other: slices of what a network projects at once multiply a quarter slower
        source, target = (self.source * self.scale).contiguous(), self.target.contiguous()
        logits, P = source.new_empty(2, step, self.tokens, self.tokens)
        for first in range(0, self.heads, step):
            count = min(step, self.heads - first)
            heads = slice(first, first + count)
            torch.bmm(source[heads], target[heads].transpose(-1, -2), out=logits[:count])
            yield torch.softmax(logits[:count], dim=-1, out=P[:count])

    def quotients(self, X: Float[Tensor, "token vector"]) -> Float[Tensor, "head vector"]:
        """`xᵀPx` (or its normalised form) of every head and vector, matrix-free and differentiable in X."""
        Y = self.balance[..., None] * X
        return (Y * product(self.source, self.target, Y, self.scale)).sum(-2)


@dataclass(frozen=True)
class Fold:
    """Sum over the walks of one resolution, divided by the size of the whole graph set; symmetric part.

    `bound` is at least the largest eigenvalue of the symmetric part of any single walk in it.
    """

    matrix: Float[Tensor, "token token"]
    grid: tuple[int, int]
    bound: float

    def __repr__(self) -> str:
        return f"Fold({self.grid[0]} × {self.grid[1]} tokens, eigenvalues at most {self.bound:.3g})"


@dataclass(frozen=True)
class Walks:
    """The graph set 𝒜 of one image. X lives on `grid`, the finest of its layers (section 4.1)."""

    layers: tuple[LayerWalk, ...]

    def __repr__(self) -> str:
        return f"Walks({self.described})"

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of X."""
        return max((layer.grid for layer in self.layers), key=lambda grid: grid[0] * grid[1])

    @property
    def graphs(self) -> int:
        """|𝒜|: layers × heads."""
        return sum(layer.heads for layer in self.layers)

    @property
    def samples(self) -> tuple[Walks, ...]:
        """The graphs of each noise sample by themselves."""
        numbers = dict.fromkeys(layer.sample for layer in self.layers)
        return tuple(Walks(tuple(a for a in self.layers if a.sample == number)) for number in numbers)

    @property
    def described(self) -> str:
        """How many graphs of which grids, finest first, in words."""
        grids = sorted({layer.grid for layer in self.layers}, key=lambda grid: -grid[0] * grid[1])
        sizes = ", ".join(f"{rows}×{columns}" for rows, columns in grids)
        named = len({layer.name.partition("#")[0] for layer in self.layers})
        return f"{self.graphs} graphs of {named} layer{'s' if named > 1 else ''}, {sizes}"

    @cached_property
    def folds(self) -> tuple[Fold, ...]:
        """One matrix for each resolution, computed at the first use."""
        grids = dict.fromkeys(layer.grid for layer in self.layers)
        return tuple(fold([a for a in self.layers if a.grid == grid], self.graphs) for grid in grids)

    def take_folds(self, parts: Sequence[Walks]) -> None:
        """Has the folds of a union from those of its `parts`: no head's matrix is made again."""
        found = []
        for grid in dict.fromkeys(layer.grid for layer in self.layers):
            shares = [(one, part.graphs / self.graphs) for part in parts for one in part.folds if one.grid == grid]
            (first, share), *others = shares
            total = sum((one.matrix * share for one, share in others), first.matrix * share)
            found.append(Fold(total, grid, max(one.bound for one, _ in shares)))
        vars(self)["folds"] = tuple(found)  # where the property keeps what it has once computed


def random_walk(
    features: Features,
    *,
    image: int = 0,
    pathway: Pathway = "qk",
    operator: Operator = "normalised",
    layers: Sequence[str] = ("*",),
) -> Walks:
    """The graph set of one image of `features`: every head of every layer is a graph (section 4.1).

    `layers` takes a part of them (Table 2); see `layers.chosen_layers`.

    `qk` reads queries against keys ("where"), `vv` values against themselves ("what"; ASSUME: inside one
    image the paper writes Eq. 5 for Q and K only, and we keep its form for V); `both`, beyond the paper, is the union
    of the two: each head is two graphs.

    Raises `InputError` for `vv` and `both` where the features were captured without values, and for layers there are
    none of.
    """
    chosen = chosen_layers([a.name for a in features.layers], [a.grid for a in features.layers], layers)
    walks = []
    for a in compress(features.layers, chosen):
        if pathway != "qk" and a.value is None:
            raise InputError(
                f"pathway {pathway}: expected values of layer {a.name}, got features captured without them; "
                "capture with values=True"
            )
        for sides in SIDES[pathway]:
            source, target = (getattr(a, side)[image].float() for side in sides)
            walks.append(LayerWalk(a.name, source, target, a.scale, a.grid, operator, a.sample))
    return Walks(tuple(walks))


def product(
    source: Float[Tensor, "head token channel"],
    target: Float[Tensor, "head token channel"],
    X: Float[Tensor, "head token vector"],
    scale: float,
) -> Float[Tensor, "head token vector"]:
    """`P·X` without P: the fused attention kernel with X in the place of the values."""
    return F.scaled_dot_product_attention(source[None], target[None], X[None], scale=scale)[0]


def fold(layers: list[LayerWalk], graphs: int) -> Fold:
    """Σ over all heads of `layers` (one grid) of the walk's symmetric part, over `graphs`.

    While every quotient `g(x)ᵀPg(x)` of a vector is on the same side of 1, Eq. 4's mean of absolute values
    is the absolute value of the mean, and this one matrix stands for all its graphs: same value, same
    gradient. A few heads' matrices exist at a time, never all.
    """
    tokens = layers[0].tokens
    total = layers[0].source.new_zeros(tokens, tokens)
    bound = 0.0
    for layer in layers:
        for P in layer.matrices():
            balance = _balance(P, layer.operator)
            bound = max(bound, _bound(P, layer.operator))
            P.mul_(balance[..., None])
            for head, columns in zip(P, balance, strict=True):  # one pass over a matrix that is still in the cache
                total.addcmul_(head, columns)
    return Fold((total + total.T) / (2 * graphs), layers[0].grid, bound)


def _balance(P: Float[Tensor, "block token token"], operator: Operator) -> Float[Tensor, "block token"]:
    # rows of P sum to 1, so the degrees of S = (P + Pᵀ)/2 are (1 + column sums)/2
    return torch.rsqrt((1 + P.sum(-2)) / 2) if operator == "normalised" else P.new_ones(P.shape[:-1])


def _bound(P: Float[Tensor, "block token token"], operator: Operator) -> float:
    # λmax(sym P) ≤ ‖P‖₂ ≤ √(‖P‖₁‖P‖∞), and ‖P‖∞ = 1
    return 1.0 if operator == "normalised" else float(P.sum(-2).amax().sqrt())
