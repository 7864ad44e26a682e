"""Features of a few images -> their graphs across images (Eq. 6-7) for a drawing, in plain arrays.

The same graphs as `whatwhere.method.joint.graph` makes with torch, which a figure does not import.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from einops import rearrange
from jaxtyping import Float
from scipy import sparse

from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.store import Store
from whatwhere.backbones.stored import layer_places
from whatwhere.method.joint.sparsity import PRESETS, SIDES, Sparsity
from whatwhere.method.layers import chosen_layers
from whatwhere.publish.figures.graphs import Graph
from whatwhere.stages.shown import Shards

#: Rows of products that are in memory at a time.
BLOCK_ROWS = 1024


@dataclass(frozen=True)
class StoredLayer:
    """An attention layer: its module, its name in a drawing, its grid, and where in a store of features it lies."""

    module: str
    name: str
    grid: tuple[int, int]
    group: str
    number: int


def stored_layers(features: Store) -> list[StoredLayer]:
    """The layers in the order of the network, numbered from 1, of a U-Net with the side. Of several noise samples the
    first.
    """
    found = [place for place in layer_places(features) if place.sample == 0]
    return [
        StoredLayer(place.name, f"{number}{_side(place.name)}", place.grid, place.group, place.number)
        for number, place in enumerate(found, 1)
    ]


def _side(module: str) -> str:
    return next((f" {side}" for side in ("down", "mid", "up") if f"{side}_block" in module), "")


def entering(layers: Sequence[StoredLayer], method: Mapping[str, Any]) -> list[bool]:
    """Which layers enter the graphs of a joint method. Raises InputError where none does."""
    return chosen_layers([layer.module for layer in layers], [layer.grid for layer in layers], method["layers"])


def graphs(
    layers: Sequence[StoredLayer], ids: Sequence[str], features: Shards, method: Mapping[str, Any]
) -> Iterator[Graph]:
    """The graph of each layer across the images `ids`, with the pathway and the sparsity of a joint method.

    Raises InputError where values are asked for and were not kept.
    """
    graph = method["graph"]
    sparsity = PRESETS[graph] if isinstance(graph, str) else Sparsity(**graph)
    for layer in layers:
        for sides in SIDES[method["pathway"]]:
            rows = {side: unit_rows(layer, side, ids, features) for side in dict.fromkeys(sides)}
            source, target = (rows[side] for side in sides)
            yield Graph(f"layer {layer.name}", layer.grid, len(ids), affinity(source, target, sparsity))


def unit_rows(
    layer: StoredLayer, side: str, ids: Sequence[str], features: Shards
) -> Float[np.ndarray, "image token width"]:
    """Queries, keys or values of a layer: the heads of each token side by side, scaled to unit length."""
    rows = []
    for name in ids:
        store, index = features.find(name)
        if f"{layer.group}/{side}" not in store.description["arrays"]:
            got = "features without it"
            raise InputError(
                f"store {store.path}: expected the array {layer.group}/{side}, got {got}; extract them with values"
            )
        heads = store.read(f"{layer.group}/{side}", (index, layer.number)).astype(np.float32)
        rows.append(rearrange(heads, "head token channel -> token (head channel)"))
    stacked = np.stack(rows)
    return stacked / np.maximum(np.linalg.norm(stacked, axis=-1, keepdims=True), 1e-12)


def affinity(
    source: Float[np.ndarray, "image token width"],
    target: Float[np.ndarray, "image token width"],
    sparsity: Sparsity,
) -> sparse.csr_matrix:
    """A of Eq. 7, `[location, location]`: of each location the `intra` largest cosines in its own image, itself
    excluded, and the `inter` largest to all others, where they are above the threshold (and never a negative one).
    `slack` is of D⁻¹, not of A.
    """
    images, tokens, _ = source.shape
    rows, others = (rearrange(side, "image token width -> (image token) width") for side in (source, target))
    parts = []
    for image in range(images):
        own = slice(image * tokens, (image + 1) * tokens)
        for first in range(own.start, own.stop, BLOCK_ROWS):
            block = np.arange(first, min(first + BLOCK_ROWS, own.stop))
            cosines = rows[block] @ others.T
            cosines[np.arange(len(block)), block] = -np.inf
            inside = cosines[:, own].copy()
            cosines[:, own] = -np.inf
            parts += [_largest(inside, block, own.start, sparsity.intra), _largest(cosines, block, 0, sparsity.inter)]
    row, column, value = (np.concatenate(part) for part in zip(*parts, strict=True))
    stays = value > max(sparsity.threshold, 0.0)
    A = sparse.csr_matrix((value[stays], (row[stays], column[stays])), shape=(len(rows),) * 2)
    return ((A + A.T) / 2).tocsr() if sparsity.symmetric else A


def _largest(
    cosines: np.ndarray, rows: np.ndarray, first_column: int, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns and values of the `count` largest of each row."""
    count = min(count, cosines.shape[1])
    columns = (
        np.argpartition(cosines, cosines.shape[1] - count, axis=1)[:, cosines.shape[1] - count :]
        if count
        else np.empty((len(rows), 0), int)
    )
    values = np.take_along_axis(cosines, columns, axis=1)
    return np.repeat(rows, count), columns.ravel() + first_column, values.ravel()
