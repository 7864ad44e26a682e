"""Queries, keys or values of many images, layer by layer: from the cache, or from the network as they are needed."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.seeding import seed_for
from whatwhere.artifacts.store import Store
from whatwhere.backbones.backbone import Backbone
from whatwhere.backbones.capture import capture
from whatwhere.backbones.features import Attention
from whatwhere.backbones.stored import Place, layer_places
from whatwhere.method.joint.graph import unit_rows
from whatwhere.method.joint.search import Rows, sizes
from whatwhere.method.joint.sparsity import SIDES
from whatwhere.method.layers import chosen_layers

Grid = tuple[int, int]
Pathway = Literal["qk", "vv", "both"]


@dataclass(frozen=True)
class Layer:
    """One attention layer of all the images, and its grid (rows, columns)."""

    name: str
    grid: Grid


@dataclass(frozen=True)
class Pair:
    """What a graph is made of: a layer's sources and targets, unit vectors `[image, token, channel]`."""

    layer: Layer
    source: Rows
    target: Rows


@runtime_checkable
class Source(Protocol):
    """Where features come from: the images' ids, the chosen layers, and the network's weights in words."""

    @property
    def ids(self) -> list[str]:
        """Image ids, in the order of the data set."""
        ...

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that enter the graph set."""
        ...

    @property
    def weights(self) -> str:
        """Where the network's weights came from, word for word."""
        ...

    def batch(self, images: Sequence[int], epoch: int) -> Iterator[Pair]:
        """The chosen layers of some images, one after the other. Another epoch shows other noise samples."""
        ...


class Cached:
    """Features of all shards of a data set, read from their stores.

    Raises `InputError` where shards differ in their layers, grids or weights, where values are asked for and were not
    kept, and where `patterns` choose no layer (see `layers.chosen_layers`).
    """

    def __init__(
        self, stores: Sequence[Store], *, pathway: Pathway, patterns: Sequence[str], seed: int = 0, device: str = "cpu"
    ) -> None:
        self._sides, self._seed, self.device = SIDES[pathway], seed, torch.device(device)
        self._names = tuple(dict.fromkeys(name for sides in self._sides for name in sides))
        self.weights = _only_weights(stores)
        self._rows = [(store, index) for store in stores for index in range(len(store.ids))]
        self.ids = [store.ids[index] for store, index in self._rows]
        self._places = _chosen_places(stores, patterns)
        self.layers = tuple(self._places)
        self.samples = max(len(places) for places in self._places.values())
        _check_kept(stores[0], [group for places in self._places.values() for group, _ in places], self._names)

    def batch(self, images: Sequence[int], epoch: int) -> Iterator[Pair]:
        """See `Source.batch`: read from the stores, layer by layer."""
        # ASSUME: the cached samples of an image are taken in turn, each starting with another
        draws = [(epoch + seed_for(self._seed, "sample", self.ids[image])) % self.samples for image in images]
        for layer in self.layers:
            found = {name: self.read(layer, name, images, draws) for name in self._names}
            yield from (Pair(layer, found[source], found[target]) for source, target in self._sides)

    def whole(self, layer: Layer, sample: int) -> Iterator[Pair]:
        """A layer of every image: in memory or, where that would be too much, read when asked for."""
        lazy = {name: _Stored(self, layer, name, sample) for name in self._names}
        fits = 4 * math.prod(lazy[self._names[0]].shape) <= sizes(self.device).held
        rows = {name: one[0 : len(self.ids)] if fits else one for name, one in lazy.items()}
        yield from (Pair(layer, rows[source], rows[target]) for source, target in self._sides)

    def read(
        self, layer: Layer, name: str, images: Sequence[int], draws: Sequence[int]
    ) -> Float[Tensor, "image token width"]:
        """Unit vectors of some images, of each the noise sample that is drawn for it."""
        places = self._places[layer]
        runs: dict[tuple[int, int], list[int]] = defaultdict(list)
        for at, (image, draw) in enumerate(zip(images, draws, strict=True)):
            runs[id(self._rows[image][0]), draw % len(places)].append(at)
        heads: list[Tensor | None] = [None] * len(images)
        for (_, draw), run in runs.items():
            store, (group, number) = self._rows[images[run[0]]][0], places[draw]
            index = np.array([self._rows[images[at]][1] for at in run])
            stored = store.read(f"{group}/{name}", (_as_slice(index), number))
            for at, one in zip(run, stored, strict=True):
                heads[at] = torch.from_numpy(one)
        stacked = torch.stack([one for one in heads if one is not None])
        return unit_rows(stacked.to(self.device).float())

    def shape(self, layer: Layer, name: str) -> torch.Size:
        """Of all images' unit vectors: image, token, channel."""
        group, _ = self._places[layer][0]
        heads, tokens, channels = self._rows[0][0].description["arrays"][f"{group}/{name}"]["shape"][2:]
        return torch.Size((len(self.ids), tokens, heads * channels))


class _Stored:
    """Unit vectors of one layer that stay on disk: a slice reads its images."""

    def __init__(self, cached: Cached, layer: Layer, name: str, sample: int) -> None:
        self._cached, self._layer, self._name, self._sample = cached, layer, name, sample
        self.shape, self.device = cached.shape(layer, name), cached.device

    def __getitem__(self, images: slice) -> Float[Tensor, "image token channel"]:
        chosen = range(self.shape[0])[images]
        return self._cached.read(self._layer, self._name, chosen, [self._sample] * len(chosen))


class Live:
    """Features that the network makes when they are asked for, with fresh noise every time.

    For sets whose cache would fill the disk. `images` are the stores of all shards. Raises `InputError` as `Cached`,
    and for a backbone of several noise samples: each would come from its own part of the noise steps only.
    """

    def __init__(
        self,
        backbone: Backbone,
        images: Sequence[Store],
        *,
        pathway: Pathway,
        patterns: Sequence[str],
        seed: int = 0,
        batch_images: int = 1,
    ) -> None:
        _check_one_sample(backbone)
        self._backbone, self._sides, self._seed, self._size = backbone, SIDES[pathway], seed, batch_images
        self._names = tuple(dict.fromkeys(name for sides in self._sides for name in sides))
        self.weights = backbone.weights
        self._rows = [(store, index) for store in images for index in range(len(store.ids))]
        self.ids = [store.ids[index] for store, index in self._rows]
        sizes = {tuple(store.description["arrays"]["rgb"]["shape"][1:3]) for store in images}
        _check_one_size(sizes)
        first = self._captured([0], 0)
        kept = chosen_layers([a.name for a in first], [a.grid for a in first], patterns)
        self._chosen = [a.name for a, wanted in zip(first, kept, strict=True) if wanted]
        self.layers = tuple(Layer(a.name, a.grid) for a, wanted in zip(first, kept, strict=True) if wanted)

    def batch(self, images: Sequence[int], epoch: int) -> Iterator[Pair]:
        """See `Source.batch`: the network is run on the images."""
        parts = [self._rows_of(images[i : i + self._size], epoch) for i in range(0, len(images), self._size)]
        for layer in self.layers:
            found = [part.pop(layer.name) for part in parts]
            rows = {name: torch.cat([one[name] for one in found]) for name in found[0]}
            yield from (Pair(layer, rows[source], rows[target]) for source, target in self._sides)

    def _rows_of(self, images: Sequence[int], epoch: int) -> dict[str, dict[str, Tensor]]:
        """Unit vectors of the chosen layers of a few images: nothing else of the pass stays in memory."""
        found = [layer for layer in self._captured(images, epoch) if layer.name in self._chosen]
        return {layer.name: {name: unit_rows(_array(layer, name).float()) for name in self._names} for layer in found}

    def _captured(self, images: Sequence[int], epoch: int) -> tuple[Attention, ...]:
        """The layers of a few images, with the noise of an epoch."""
        pixels = np.stack([self._rows[i][0].read("rgb", self._rows[i][1]) for i in images])
        seeds = [seed_for(self._seed, "noise", self.ids[i], str(epoch)) for i in images]
        return capture(self._backbone, pixels, values="v" in self._names, seeds=seeds).layers


def finest(layers: Sequence[Layer]) -> Grid:
    """The grid that X lives on."""
    return max((layer.grid for layer in layers), key=lambda grid: grid[0] * grid[1])


def _array(layer: Attention, name: str) -> Tensor:
    found = {"q": layer.query, "k": layer.key, "v": layer.value}[name]
    assert found is not None
    return found


def _chosen_places(stores: Sequence[Store], patterns: Sequence[str]) -> dict[Layer, list[tuple[str, int]]]:
    """For each chosen layer where its noise samples lie: group and number on the `layer` axis."""
    described = [_places(store) for store in stores]
    for store, places in zip(stores, described, strict=True):
        if places != described[0]:
            raise InputError(
                f"data set {store.attributes['dataset']}: expected images of one size for a joint solve, got grids "
                f"{_grids(described[0])} and {_grids(places)}; give the backbone a centre_crop or square view"
            )
    layers = list(described[0])
    wanted = chosen_layers([layer.name for layer in layers], [layer.grid for layer in layers], patterns)
    return {layer: described[0][layer] for layer, keep in zip(layers, wanted, strict=True) if keep}


def _places(store: Store) -> dict[Layer, list[tuple[str, int]]]:
    """Every layer in the order of the network, and where its noise samples lie.

    Each pass through the network calls the same layers in the same order; they have the names of the first.
    """
    passes: dict[int, list[Place]] = defaultdict(list)
    for place in layer_places(store):
        passes[place.sample].append(place)
    ordered = [passes[sample] for sample in sorted(passes)]
    return {
        Layer(calls[0].name, calls[0].grid): [(place.group, place.number) for place in calls]
        for calls in zip(*ordered, strict=True)
    }


def _grids(places: dict[Layer, list[tuple[str, int]]]) -> str:
    return ", ".join(dict.fromkeys(f"{layer.grid[0]} × {layer.grid[1]}" for layer in places))


def _check_kept(store: Store, groups: Sequence[str], names: tuple[str, ...]) -> None:
    missing = [f"{group}/{name}" for group in groups for name in names]
    missing = [name for name in missing if name not in store.description["arrays"]]
    if missing:
        raise InputError(
            f"store {store.path}: expected the array {missing[0]}, got features without it; extract them with values"
        )


def _only_weights(stores: Sequence[Store]) -> str:
    first, *others = dict.fromkeys(store.attributes["weights"] for store in stores)
    if others:
        raise InputError(
            f"joint solve: expected features of the same weights in all shards, got {first} and {others[0]}; "
            "extract them anew"
        )
    return first


def _check_one_sample(backbone: Backbone) -> None:
    if backbone.samples > 1:
        raise InputError(
            f"backbone {backbone.name}: expected one noise sample in a joint solve without a cache, got "
            f"{backbone.samples}; set samples: 1, every epoch draws anew"
        )


def _check_one_size(sizes: set[tuple[int, ...]]) -> None:
    if len(sizes) > 1:
        got = ", ".join(f"{height} × {width} px" for height, width in sorted(sizes))
        raise InputError(f"joint solve: expected images of one size, got {got}; choose a centre_crop or square view")


def _as_slice(index: np.ndarray) -> slice | np.ndarray:
    """A slice for neighbours, which are read at once; else the numbers themselves."""
    if len(index) > 0 and (np.diff(index) == 1).all():
        return slice(int(index[0]), int(index[-1]) + 1)
    return index
