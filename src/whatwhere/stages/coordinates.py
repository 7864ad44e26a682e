"""X of a whole data set -> how linearly it says where every token is (coordinate regression, Table 5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.progress import progress
from whatwhere.artifacts.seeding import seed_for
from whatwhere.artifacts.store import Store, write_json
from whatwhere.evaluate.position import CoordinateRegression, label_features
from whatwhere.stages.segments import unit
from whatwhere.stages.set_images import has_labels

#: Image, features of its tokens, their grid (rows, columns).
Features = tuple[str, Float[np.ndarray, "token channel"], tuple[int, int]]


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
    plain, scaled = CoordinateRegression(), CoordinateRegression()
    names = []
    for name, features, grid in _of_vectors(vectors) if vectors else _of_labels(images):
        names.append(name)
        plain.add(features, grid, _rng(seed, name))
        if vectors:
            scaled.add(unit(features), grid, _rng(seed, name))
    found = _answer(plain, names)
    if vectors:
        found["unit"] = _answer(scaled, names)
    write_json(output, {**found, "settings": settings})


def _answer(regression: CoordinateRegression, names: list[str]) -> dict[str, Any]:
    squares, cells = regression.tested()
    order = np.argsort(names) if len(names) == len(cells) else np.arange(len(cells))
    images = sorted(names) if len(names) == len(cells) else [f"{i} of {len(cells)} groups" for i in order]
    sums = {"squares": squares[order].tolist(), "cells": cells[order].tolist()}
    return {"mse": regression.error().mse, "images": images, **sums}


def _rng(seed: int, *image: str) -> np.random.Generator:
    return np.random.default_rng(seed_for(seed, "coordinates", *image))


def _of_vectors(vectors: Sequence[Store]) -> Iterator[Features]:
    for store in vectors:
        grid = tuple(store.attributes["grid"])
        for index, name in enumerate(progress(store.ids, "coordinate regression")):
            yield name, store.read("vectors", index), grid


def _of_labels(images: Sequence[Store]) -> Iterator[Features]:
    labelled = [(s, index, name) for s in images for index, name in enumerate(s.ids) if has_labels(s, index)]
    if not labelled:
        where = f"data set {images[0].attributes['dataset']}"
        raise InputError(f"{where}: expected labels with names, got none; take the method `truth` out of its tables")
    for store, index, name in progress(labelled, "coordinate regression"):
        labels = store.read("labels", (index, 0))
        yield name, label_features(labels, len(store.attributes["classes"])), (32, 32)
