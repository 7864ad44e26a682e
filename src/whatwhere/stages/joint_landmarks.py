"""X of a data set by a sample of it: one job solves that and makes a codebook, then each shard is extended to alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from whatwhere.artifacts.progress import progress
from whatwhere.artifacts.seeding import seed_for
from whatwhere.artifacts.spread import few
from whatwhere.artifacts.store import Store, create
from whatwhere.method.joint.extension import extend
from whatwhere.method.joint.landmarks import Landmarks, SolvedSample, solve_sample
from whatwhere.method.joint.sample import drawn
from whatwhere.method.joint.seen import seen_from
from whatwhere.method.joint.source import Cached, finest
from whatwhere.method.joint.sparsity import PRESETS, Sparsity
from whatwhere.stages.codebook import described, read_landmarks, write_landmarks
from whatwhere.stages.joint import graphs_in_words
from whatwhere.stages.rotated import signs_and_limits

#: Images whose X is in memory, and in a file, together, at most.
RUN_IMAGES = 16


def write_codebook(
    inputs: Sequence[str], output: Path, *, method: dict[str, Any], seed: int, device: str, settings: dict[str, Any]
) -> None:
    """The landmarks of a sample (`codebook.write_landmarks`), and of its images X as it was solved: `vectors` `[image,
    token, vector]`, columns weighed by their eigenvalues.

    `inputs` are the manifests of the features of all shards that the sample is in, or of all: it is the same.
    `method` are the settings of a `landmarks`. Raises `InputError` as `solve_sample`.
    """
    stores = [Store(path) for path in inputs]
    source = Cached(stores, pathway=method["pathway"], patterns=method["layers"], device=device)
    dataset, graph = stores[0].attributes["dataset"], method["graph"]
    sample = drawn(source.ids, method["sample"], seed=seed_for(seed, "landmarks", dataset))
    found = solve_sample(
        [seen_from(source, image, pathway=method["pathway"]) for image in sample],
        pathway=method["pathway"],
        sparsity=PRESETS[graph] if isinstance(graph, str) else Sparsity(**graph),
        **{key: method[key] for key in ("vectors", "search", "tolerance", "landmarks")},
        seed=seed_for(seed, "solve", dataset),
    )
    signs, limits = signs_and_limits(_weighed(np.stack(found.vectors), found.landmarks, float(method["time"])))
    found = _signed(found, signs)
    X = _weighed(np.stack(found.vectors), found.landmarks, float(method["time"]))
    attributes = {
        **{"dataset": dataset, "weights": source.weights, "grid": finest(source.layers), "limits": limits},
        **{"status": f"{len(sample)} images solved, {found.landmarks.count} landmarks, {found.status}"},
        **{"in_words": graphs_in_words(source), "time": method["time"], **described(found.landmarks)},
    }
    with create(output, settings, attributes, {"image": list(found.landmarks.ids)}) as store:
        store.array("vectors", X.shape, "float32", ("image", "token", "vector"), run_images=len(X))[:] = X
        write_landmarks(store, found.landmarks)


def write_extended(
    features: Store,
    codebook: Store,
    output: Path,
    *,
    method: dict[str, Any],
    settings: dict[str, Any],
    solved: bool = True,
) -> None:
    """X of the images of one shard, as `write_joint`: each by itself, whatever else is in the shard. Those of the
    sample are as they were `solved`, or extended to as well.

    Raises `InputError` where the features are of other layers than the codebook, or of another size.
    """
    source = Cached([features], pathway=method["pathway"], patterns=method["layers"])
    known, marks = codebook.attributes, read_landmarks(codebook)
    attributes = {key: known[key] for key in ("dataset", "weights", "grid", "limits", "status")}
    attributes["graphs"] = known["in_words"]
    along = {"image": source.ids, "value": ("vector", marks.values)}
    shape = (len(source.ids), *codebook.description["arrays"]["vectors"]["shape"][1:])
    with create(output, settings, attributes, along) as store:
        run = min(RUN_IMAGES, few(shape[1], parts=1))
        array = store.array("vectors", shape, "float32", ("image", "token", "vector"), run_images=run)
        rows = _each(source, codebook if solved else None, marks, method)
        for first in range(0, len(source.ids), run):
            some = list(islice(rows, run))
            array[first : first + len(some)] = np.stack(some)


def _each(
    source: Cached, solved: Store | None, marks: Landmarks, method: dict[str, Any]
) -> Iterator[Float[np.ndarray, "token vector"]]:
    places = {name: place for place, name in enumerate(solved.ids)} if solved else {}
    for image, name in enumerate(progress(source.ids, "images by landmarks")):
        if solved and name in places:
            yield solved.read("vectors", places[name])
        else:
            rows = extend(marks, seen_from(source, image, pathway=method["pathway"])).vectors
            yield _weighed(rows, marks, float(method["time"]))


def _weighed(
    X: Float[np.ndarray, "*image token vector"], marks: Landmarks, time: float
) -> Float[np.ndarray, "*image token vector"]:
    """Columns times their eigenvalues to the power `time`, as in diffusion maps."""
    return (X * np.maximum(marks.values, 0) ** time).astype(np.float32)


def _signed(found: SolvedSample, signs: Float[np.ndarray, "vector"]) -> SolvedSample:
    """The same solution, each eigenvector with a sign of its own; the landmarks' last column is of ones."""
    columns = torch.from_numpy(np.append(signs, 1.0).astype(np.float32))
    marks = replace(found.landmarks, vectors=tuple(rows * columns for rows in found.landmarks.vectors))
    return replace(found, landmarks=marks, vectors=tuple(X * columns[:-1].numpy() for X in found.vectors))
