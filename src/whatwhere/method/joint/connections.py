"""The strongest connections of an image's patches to patches of other images, for a person to look at.

Entries are those of the joint graph (Eq. 6-7): cosines of a layer's unit vectors, of queries with keys (`qk`, where) or
of values with values (`vv`, what). Here the mean over the layers is taken first, and then the strongest of each patch.
They lead to landmarks, the locations of a sample's images that a codebook keeps (`landmarks`): so an image's are found
without any other image at hand, and their number grows with the images, not with its square.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from whatwhere.artifacts.errors import InputError
from whatwhere.method.joint.graph import resampling
from whatwhere.method.joint.seen import Grid, Seen
from whatwhere.method.joint.sparsity import SIDES


@dataclass(frozen=True)
class Targets:
    """Locations that others connect to: of each pathway their unit vectors layer by layer, in half precision; `ids` of
    the images that they are of, `owners` which of those each is of.
    """

    layers: tuple[str, ...]
    rows: Mapping[str, tuple[Float[Tensor, "landmark width"], ...]]
    ids: tuple[str, ...]
    owners: Int[Tensor, "landmark"]


@dataclass(frozen=True)
class Connections:
    """Of each token, the strongest first: which landmark, −1 where there is none, and the mean cosine."""

    places: Int[np.ndarray, "token connection"]
    cosines: Float[np.ndarray, "token connection"]


def targets_of(images: Iterable[tuple[Seen, Int[np.ndarray, "landmark"]]]) -> Targets:
    """Of each image its locations, by number on its finest grid. One image is in memory at a time.

    Raises `InputError` where there are none, and for images of different layers.
    """
    parts: dict[str, list[tuple[Tensor, ...]]] = {}
    names: tuple[str, ...] = ()
    ids: list[str] = []
    counts: list[int] = []
    for image, places in images:
        names = names or image.names
        _check(image, names)
        for pathway, ((_, target),) in _sides(image).items():
            parts.setdefault(pathway, []).append(tuple(one[places] for one in _rows(image, target)))
        ids.append(image.id)
        counts.append(len(places))
    if not names:
        raise InputError("landmarks: expected images that they are of, got none; name some")
    rows = {pathway: tuple(torch.cat(layer) for layer in zip(*each, strict=True)) for pathway, each in parts.items()}
    return Targets(names, rows, tuple(ids), torch.arange(len(ids)).repeat_interleave(torch.tensor(counts)))


def connections(targets: Targets, image: Seen, *, pathway: str, count: int, threshold: float = 0.0) -> Connections:
    """The `count` strongest of every token of an image, none of them to the image itself.

    Those whose mean cosine is not above the threshold (and never a negative one) are dropped. Raises `InputError` where
    the image's layers are not the landmarks'.
    """
    _check(image, targets.layers)
    ((source, _),) = SIDES[pathway]
    total = torch.zeros(image.grid[0] * image.grid[1], len(targets.owners))
    for own, others in zip(_rows(image, source), targets.rows[pathway], strict=True):
        total += own.float() @ others.float().T
    total /= len(targets.layers)
    if image.id in targets.ids:
        total[:, targets.owners == targets.ids.index(image.id)] = -torch.inf
    cosines, places = total.topk(min(count, total.shape[1]), dim=1)
    none = cosines <= max(threshold, 0.0)
    return Connections(places.masked_fill(none, -1).numpy(), cosines.masked_fill(none, 0.0).numpy())


def _sides(image: Seen) -> dict[str, tuple[tuple[str, str], ...]]:
    """The pathways whose vectors an image has."""
    there = set(image.layers[0].rows)
    return {name: sides for name, sides in SIDES.items() if len(sides) == 1 and there.issuperset(sides[0])}


def _rows(image: Seen, name: str) -> Iterable[Float[Tensor, "token width"]]:
    """Unit vectors of each layer on the image's finest grid."""
    return (_on_grid(layer.rows[name], layer.grid, image.grid) for layer in image.layers)


def _on_grid(rows: Float[Tensor, "token width"], grid: Grid, finest: Grid) -> Float[Tensor, "finest width"]:
    """Each location of a finer grid has the mean of those that it stands in for, as X is resampled: so products of two
    such rows are the cosines, resampled on both sides.
    """
    if (g := resampling(finest, grid)) is None:
        return rows
    even = g.T / np.asarray(g.T.sum(1)).reshape(-1, 1)
    return torch.from_numpy(np.asarray(even @ rows.float().numpy(), np.float32)).half()


def _check(image: Seen, names: tuple[str, ...]) -> None:
    if image.names != names:
        raise InputError(
            f"landmarks: expected the layers {', '.join(names)}, got {', '.join(image.names)} of {image.id}; use the "
            "backbone that they were made with"
        )
