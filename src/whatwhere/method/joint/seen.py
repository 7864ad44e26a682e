"""What a network says of one image, for graphs that reach over images of any shape: unit vectors, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from whatwhere.backbones.features import Attention, Features
from whatwhere.method.joint.graph import unit_rows
from whatwhere.method.joint.source import Cached
from whatwhere.method.joint.sparsity import SIDES
from whatwhere.method.layers import chosen_layers

Grid = tuple[int, int]


@dataclass(frozen=True)
class SeenLayer:
    """One layer (of one noise sample): its grid (rows, columns) and by name (q, k, v) its tokens' unit vectors.

    They are in half precision, as stores of features are, wherever they come from: equal images have equal ones.
    """

    name: str
    grid: Grid
    rows: Mapping[str, Float[Tensor, "token width"]]

    @property
    def tokens(self) -> int:
        """Of the image in this layer."""
        return self.grid[0] * self.grid[1]


@dataclass(frozen=True)
class Seen:
    """The chosen layers of one image, in the network's order."""

    id: str
    layers: tuple[SeenLayer, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the layers."""
        return tuple(layer.name for layer in self.layers)

    @property
    def grid(self) -> Grid:
        """The grid that X lives on: the finest."""
        return max((layer.grid for layer in self.layers), key=lambda grid: grid[0] * grid[1])


def seen(features: Features, id: str, *, pathway: str, patterns: Sequence[str] = ("*",)) -> Seen:
    """Of one image that a network has seen. Raises `InputError` where `patterns` choose no layer."""
    names, grids = [one.name for one in features.layers], [one.grid for one in features.layers]
    wanted = chosen_layers(names, grids, patterns)
    kept = [one for one, keep in zip(features.layers, wanted, strict=True) if keep]
    return Seen(id, tuple(_layer(one, pathway) for one in kept))


def seen_from(source: Cached, image: int, *, pathway: str) -> Seen:
    """Of one image of a data set whose features are stored."""
    found = []
    for layer in source.layers:
        for sample in range(source.samples):
            rows = {name: source.read(layer, name, [image], [sample])[0].cpu().half() for name in _names(pathway)}
            found.append(SeenLayer(_called(layer.name, sample), layer.grid, rows))
    return Seen(source.ids[image], tuple(found))


def _layer(layer: Attention, pathway: str) -> SeenLayer:
    arrays = {"q": layer.query, "k": layer.key, "v": layer.value}
    rows = {name: unit_rows(heads.half().float())[0] for name in _names(pathway) if (heads := arrays[name]) is not None}
    return SeenLayer(_called(layer.name, layer.sample), layer.grid, {n: one.cpu().half() for n, one in rows.items()})


def _names(pathway: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for side in SIDES[pathway] for name in side))


def _called(name: str, sample: int) -> str:
    """A layer's name with its noise sample, where that is not the first."""
    return name if sample == 0 else f"{name}@{sample}"
