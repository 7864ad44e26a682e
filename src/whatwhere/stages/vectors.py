"""Features -> X after Eq. 8 for every image (or the final features themselves, for the baseline)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from whatwhere.orthogonalise import orthogonalise
from whatwhere.progress import progress
from whatwhere.seeding import seed_for
from whatwhere.solve import Solution, solve
from whatwhere.stages.features import read_features
from whatwhere.store import Store, create
from whatwhere.walk import random_walk


def write_vectors(
    features: Store, output: Path, *, kind: str, method: dict[str, Any], seed: int, settings: dict[str, Any]
) -> None:
    """`vectors` `[image, token, vector]`, and for a solver `values` `[image, vector]` (mean quotients,
    before Eq. 8) and `history` `[image, step]` (objective of Eq. 4; only where there are steps).

    `kind` is a solver's name or `final`; `method` its settings with `pathway` and `operator`.
    """
    if kind == "final":
        _write_final(features, output, settings)
        return
    ids = features.ids
    solutions = []
    for index, name in enumerate(progress(ids, f"{kind} solver")):
        solutions.append(_solve(features, index, kind, method, seed_for(seed, "solve", name)))
    attributes = _attributes(features) | {"grid": solutions[0].grid, "status": [s.status for s in solutions]}
    with create(output, settings, attributes) as store:
        X = np.stack([orthogonalise(s.vectors).numpy() for s in solutions])
        runs = len(ids)
        store.array("vectors", X.shape, "float32", ("image", "token", "vector"), run_images=runs)[:] = X
        values = np.stack([s.values.numpy() for s in solutions])
        store.array("values", values.shape, "float32", ("image", "vector"), run_images=runs)[:] = values
        history = np.stack([s.history for s in solutions])
        if history.size:
            store.array("history", history.shape, "float32", ("image", "step"), run_images=runs)[:] = history


def _solve(features: Store, index: int, kind: str, method: dict[str, Any], seed: int) -> Solution:
    choice = {key: value for key, value in method.items() if key not in ("pathway", "operator")}
    walks = random_walk(read_features(features, index), pathway=method["pathway"], operator=method["operator"])
    return solve(walks, solver=kind, seed=seed, **choice)


def _write_final(features: Store, output: Path, settings: dict[str, Any]) -> None:
    final = features.read("final").astype(np.float32)
    attributes = _attributes(features) | {"grid": features.attributes["final_grid"]}
    with create(output, settings, attributes) as store:
        array = store.array("vectors", final.shape, "float32", ("image", "token", "vector"), run_images=len(final))
        array[:] = final


def _attributes(features: Store) -> dict[str, Any]:
    return {key: features.attributes[key] for key in ("ids", "dataset", "weights")}
