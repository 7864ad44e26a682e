"""Which images of a set are solved together, for the others to be compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from whatwhere.artifacts.seeding import seed_for


def order_of(ids: Sequence[str], *, seed: int) -> list[int]:
    """All images, by a number that each draws from its id alone: among any others they come in the same order."""
    return sorted(range(len(ids)), key=lambda image: (seed_for(seed, "sample", ids[image]), ids[image]))


def drawn(ids: Sequence[str], count: int, *, seed: int) -> list[int]:
    """The first of these, at most so many."""
    return sorted(order_of(ids, seed=seed)[:count])


def shards_of(shards: Mapping[str, Sequence[str]], count: int, *, seed: int) -> list[str]:
    """Those (name -> ids) that have an image which `drawn` takes of all: of these alone it takes the same."""
    places = [name for name, ids in shards.items() for _ in ids]
    chosen = drawn([image for ids in shards.values() for image in ids], count, seed=seed)
    return list(dict.fromkeys(places[image] for image in chosen))


def farthest(features: Float[np.ndarray, "image channel"], ids: Sequence[str], count: int, *, seed: int) -> list[int]:
    """At most so many, each the farthest from those before it (cosines of the images' features), after one that is
    drawn.
    """
    if not 0 < count < len(ids):
        return list(range(len(ids)))[:count]
    rows = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    chosen = drawn(ids, 1, seed=seed)
    nearest = rows @ rows[chosen[0]]
    while len(chosen) < count:
        nearest[chosen] = np.inf
        chosen.append(int(nearest.argmin()))
        nearest = np.maximum(nearest, rows @ rows[chosen[-1]])
    return sorted(chosen)
