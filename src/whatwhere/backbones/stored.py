"""Where in a store of features each attention layer lies, by the coordinates of its groups; no torch."""

from __future__ import annotations

from dataclasses import dataclass

from whatwhere.artifacts.store import Store

#: The group of what stands beside the layers, of the tokens alone.
TOKENS = "tokens"


@dataclass(frozen=True)
class Place:
    """A layer's name, grid (rows, columns), scale and noise sample, the group that it lies in and its number there."""

    name: str
    grid: tuple[int, int]
    scale: float
    sample: int
    group: str
    number: int


def layer_groups(store: Store) -> list[str]:
    """The groups of a store of features that hold layers, each of one shape."""
    return [group for group in store.groups if f"{group}/layer" in store.description["coordinates"]]


def layer_places(store: Store) -> list[Place]:
    """Every layer in the order of the network's calls, each noise sample by itself."""
    found = []
    for group in layer_groups(store):
        grid = tuple(store.attributes_of(group)["grid"])
        columns = [store.coordinate(f"{group}/{name}") for name in ("order", "layer", "scale", "sample")]
        for number, (order, name, scale, sample) in enumerate(zip(*columns, strict=True)):
            found.append((order, Place(name, grid, scale, sample, group, number)))
    return [place for _, place in sorted(found, key=lambda pair: pair[0])]
