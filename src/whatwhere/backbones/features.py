"""What a capture leaves behind: each self-attention layer's queries, keys and values, and the last features."""

from __future__ import annotations

from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Attention:
    """One self-attention layer, cut to the image's own tokens, which form `grid` (rows, columns).

    `sample` is the number of the pass through the network, where a backbone makes several (noise samples).
    """

    name: str
    query: Float[Tensor, "image head token channel"]
    key: Float[Tensor, "image head token channel"]
    value: Float[Tensor, "image head token channel"] | None
    scale: float
    grid: tuple[int, int]
    sample: int = 0

    def __repr__(self) -> str:
        images, heads, _, channels = self.query.shape
        said = f"{heads} heads, {self.grid[0]} × {self.grid[1]} tokens, {channels} channels"
        return f"Attention({self.name}: {said}, {images} image{'s' * (images > 1)})"


@dataclass(frozen=True)
class Features:
    """What one forward pass leaves behind: the self-attention layers in call order, and the last features.

    `final`: `[image, token, channel]` on the grid `final_grid`. `joint`, on the same grid and where it was asked for:
    the tokens in the space that they share with texts (`Language.project`).
    """

    layers: tuple[Attention, ...]
    final: Float[Tensor, "image token channel"]
    final_grid: tuple[int, int]
    joint: Float[Tensor, "image token width"] | None = None

    def __repr__(self) -> str:
        images, _, channels = self.final.shape
        names = [layer.name for layer in (*self.layers[:1], *self.layers[1:][-1:])]
        layers = f"{len(self.layers)} layers{': ' * bool(names)}{' … '.join(names)}"
        rows, columns = self.final_grid
        return f"Features({images} image{'s' * (images > 1)}, {layers}; final {rows} × {columns} × {channels})"

    def image(self, index: int) -> Features:
        """The features of one image, its leading axis kept at length 1."""
        keep = slice(index, index + 1)
        layers = (replace(a, query=a.query[keep], key=a.key[keep], value=_cut(a.value, keep)) for a in self.layers)
        return Features(tuple(layers), self.final[keep], self.final_grid, _cut(self.joint, keep))


def _cut(value: Tensor | None, keep: slice) -> Tensor | None:
    return None if value is None else value[keep]
