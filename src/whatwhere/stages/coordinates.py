"""X of a whole data set -> how linearly it says where every token is (coordinate regression, Table 5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.progress import progress
from whatwhere.artifacts.seeding import seed_for
from whatwhere.artifacts.spread import few, spread
from whatwhere.artifacts.store import Store, write_json
from whatwhere.evaluate.position import CoordinateRegression, label_features
from whatwhere.stages.centres import unit
from whatwhere.stages.set_images import has_labels

#: Images of a block at most. The sums of one, of twice two regressions, take as much as so many locations a column.
MOST_IMAGES, SUMS = 64, 8


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
    first = next(_found(images, vectors), None)
    if first is None:
        raise InputError("coordinates: expected at least one image, got none; choose a data set that has some")
    regressions = tuple(CoordinateRegression() for _ in range(1 + bool(vectors)))
    for regression, features in zip(regressions, first.features(), strict=True):
        regression.sums(features, first.grid, _rng(seed, first.name))  # all sums are about its mean
    names = [one.name for one in _found(images, vectors)]
    size = _block_images(first)
    blocks = _blocks(_found(images, vectors), regressions, seed, size)
    blocks = progress(blocks, "coordinate regression", -(-len(names) // size))
    for block in spread(_sums, blocks):
        for image in block:
            for regression, one in zip(regressions, image, strict=True):
                regression.take(one)
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
    """A few images, of which the first is so `many`th, and empty regressions that make the sums of each."""

    images: tuple[_Image, ...]
    many: int
    regressions: tuple[CoordinateRegression, ...]
    seed: int


def _block_images(one: _Image) -> int:
    """So few that their sums take little memory."""
    return min(MOST_IMAGES, few(SUMS * one.features()[0].shape[1]))


def _blocks(
    found: Iterator[_Image], regressions: Sequence[CoordinateRegression], seed: int, size: int
) -> Iterator[_Block]:
    empty, many = tuple(one.part(0) for one in regressions), 0
    while some := tuple(islice(found, size)):
        yield _Block(some, many, empty, seed)
        many += len(some)


def _sums(block: _Block) -> list[list[tuple[np.ndarray, np.ndarray]]]:
    """Of each image those of each regression."""
    found = []
    for number, one in enumerate(block.images, block.many):
        each = zip(block.regressions, one.features(), strict=True)
        found.append([r.part(number).sums(X, one.grid, _rng(block.seed, one.name)) for r, X in each])
    return found


def _found(images: Sequence[Store], vectors: Sequence[Store]) -> Iterator[_Image]:
    return _of_vectors(vectors) if vectors else _of_labels(images)


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
