"""X of a whole data set -> how linearly it says where every token is (coordinate regression, Table 5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.progress import progress
from whatwhere.artifacts.seeding import seed_for
from whatwhere.artifacts.spread import spread
from whatwhere.artifacts.store import Store, write_json
from whatwhere.evaluate.position import CoordinateRegression, label_features
from whatwhere.stages.segments import unit
from whatwhere.stages.set_images import has_labels

#: Images of a block at most, and so many bytes that their sums take.
MOST_IMAGES, BLOCK_BYTES = 64, 2**25


def write_coordinates(
    images: Sequence[Store],
    vectors: Sequence[Store],
    output: Path,
    *,
    seed: int,
    settings: dict[str, Any],
) -> None:
    """Mean squared error of a linear regression from X to the position of each token (Table 5), JSON.

    `mse` is of X as it is, as in the paper, with the `squares` and the `cells` tested of each of the `images` (by name;
    of very many, of groups of them), which its interval is made of; under `unit` are the same of X with its rows at
    unit length, on the same cells. Without `vectors` the true labels are the features, of
    the images that have any, and there is no `unit`.

    Raises `InputError` where there are neither vectors nor labels with names.
    """
    found = list(_of_vectors(vectors) if vectors else _of_labels(images))
    regressions = [CoordinateRegression() for _ in range(1 + bool(vectors))]
    for regression, features in zip(regressions, found[0].features(), strict=True):
        regression.sums(features, found[0].grid, _rng(seed, found[0].name))  # all sums are about its mean
    blocks = progress(_blocks(found, regressions, seed), "coordinate regression")
    for block in spread(_sums, blocks):
        for image in block:
            for regression, one in zip(regressions, image, strict=True):
                regression.take(one)
    names = [one.name for one in found]
    answer = _answer(regressions[0], names)
    if vectors:
        answer["unit"] = _answer(regressions[1], names)
    write_json(output, {**answer, "settings": settings})


def _answer(regression: CoordinateRegression, names: list[str]) -> dict[str, Any]:
    squares, cells = regression.tested()
    order = np.argsort(names) if len(names) == len(cells) else np.arange(len(cells))
    images = sorted(names) if len(names) == len(cells) else [f"{i} of {len(cells)} groups" for i in order]
    sums = {"squares": squares[order].tolist(), "cells": cells[order].tolist()}
    return {"mse": regression.error().mse, "images": images, **sums}


def _rng(seed: int, *image: str) -> np.random.Generator:
    return np.random.default_rng(seed_for(seed, "coordinates", *image))


@dataclass(frozen=True)
class _Image:
    """One image of a store: of X, or where it is of `labels`, of these."""

    name: str
    store: Store
    index: int
    grid: tuple[int, int]
    labels: bool

    def features(self) -> list[Float[np.ndarray, "token channel"]]:
        """X as it is, and with rows at unit length; or the labels."""
        if self.labels:
            labels = self.store.read("labels", (self.index, 0))
            return [label_features(labels, len(self.store.attributes["classes"]))]
        X = self.store.read("vectors", self.index)
        return [X, unit(X)]


@dataclass(frozen=True)
class _Block:
    """A few images, and of each the regressions that make its sums."""

    images: tuple[tuple[_Image, tuple[CoordinateRegression, ...]], ...]
    seed: int


def _blocks(found: Sequence[_Image], regressions: Sequence[CoordinateRegression], seed: int) -> list[_Block]:
    """So few images that their sums take little memory."""
    channels = found[0].features()[0].shape[1]
    size = max(1, min(MOST_IMAGES, BLOCK_BYTES // (32 * channels**2)))
    each = [(one, tuple(r.part(number) for r in regressions)) for number, one in enumerate(found)]
    return [_Block(tuple(each[first : first + size]), seed) for first in range(0, len(each), size)]


def _sums(block: _Block) -> list[list[tuple[np.ndarray, np.ndarray]]]:
    """Of each image those of each regression."""
    return [
        [r.sums(features, one.grid, _rng(block.seed, one.name)) for r, features in zip(of, one.features(), strict=True)]
        for one, of in block.images
    ]


def _of_vectors(vectors: Sequence[Store]) -> Iterator[_Image]:
    for store in vectors:
        rows, columns = store.attributes["grid"]
        for index, name in enumerate(store.ids):
            yield _Image(name, store, index, (rows, columns), False)


def _of_labels(images: Sequence[Store]) -> Iterator[_Image]:
    labelled = [(s, index, name) for s in images for index, name in enumerate(s.ids) if has_labels(s, index)]
    if not labelled:
        where = f"data set {images[0].attributes['dataset']}"
        raise InputError(f"{where}: expected labels with names, got none; take the method `truth` out of its tables")
    for store, index, name in labelled:
        yield _Image(name, store, index, (32, 32), True)
