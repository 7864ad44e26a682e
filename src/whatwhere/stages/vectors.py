"""Features -> X after Eq. 8 for every image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from whatwhere.artifacts.progress import progress
from whatwhere.artifacts.seeding import seed_for
from whatwhere.artifacts.store import Store, create
from whatwhere.method.orthogonalise import orthogonalise
from whatwhere.method.solve import Solution, solve_batch
from whatwhere.method.walk import Walks, random_walk
from whatwhere.stages.features import numbers_per_image, read_features

#: Numbers of Q and K at hand at a time, for as many images as that makes: 64 MiB of float32.
BATCH = 2**24
#: Settings that describe the graph set; the others are the solver's.
OF_GRAPHS = ("pathway", "operator", "layers")


def write_vectors(
    features: Store,
    output: Path,
    *,
    kind: str,
    method: dict[str, Any],
    seed: int,
    device: str,
    settings: dict[str, Any],
) -> None:
    """`vectors` `[image, token, vector]` with the coordinate `value` `[image, vector]` (mean quotients, before Eq. 8),
    and `history` `[image, step]` (the objective; only where there are steps), `weights` `[image, layer]` (only where
    they were found from the graphs). `status` says how each image's went.

    `kind` is a solver's name, `method` its settings with `pathway`, `operator` and `layers`.
    """
    chosen = {key: method[key] for key in OF_GRAPHS}
    choice = {key: value for key, value in method.items() if key not in OF_GRAPHS}
    ids, with_values = features.ids, chosen["pathway"] != "qk"
    solutions: list[Solution] = []
    walks: list[Walks] = []
    size = max(1, BATCH // numbers_per_image(features))
    for first in progress(range(0, len(ids), size), f"{kind} solver"):
        run = range(first, min(first + size, len(ids)))
        walks = [random_walk(read_features(features, index, device, values=with_values), **chosen) for index in run]
        seeds = [seed_for(seed, "solve", ids[index]) for index in run]
        solutions += solve_batch(walks, solver=kind, seeds=seeds, **choice)
    attributes = {key: features.attributes[key] for key in ("dataset", "weights")}
    attributes |= {"grid": solutions[0].grid, "graphs": walks[0].described}
    values = np.stack([s.values.numpy() for s in solutions]).astype(np.float32)
    along = {"image": ids, "status": ("image", [s.status for s in solutions]), "value": (("image", "vector"), values)}
    with create(output, settings, attributes, along) as store:
        X = np.stack([orthogonalise(s.vectors).numpy() for s in solutions])
        store.array("vectors", X.shape, "float32", ("image", "token", "vector"), run_images=len(ids))[:] = X
        for name, axis, found in (
            ("history", "step", np.stack([s.history for s in solutions])),
            ("weights", "layer", np.stack([s.weights for s in solutions])),
        ):
            if found.size:
                store.array(name, found.shape, "float32", ("image", axis), run_images=len(ids))[:] = found
