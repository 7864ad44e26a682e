"""One image -> the seconds of each step of each method (Table 6)."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from jaxtyping import UInt8

from whatwhere.artifacts.clock import machine, median
from whatwhere.artifacts.progress import progress
from whatwhere.backbones.backbone import Backbone
from whatwhere.backbones.capture import capture
from whatwhere.backbones.features import Features
from whatwhere.method.cluster import cluster
from whatwhere.method.orthogonalise import orthogonalise
from whatwhere.method.solve import solve
from whatwhere.method.walk import Walks, random_walk
from whatwhere.stages.vectors import OF_GRAPHS


def time_methods(
    backbone: Backbone,
    image: UInt8[np.ndarray, "y x 3"],
    methods: dict[str, dict[str, Any]],
    *,
    regions: dict[str, Any],
) -> dict[str, Any]:
    """Seconds of `forward`, `fold`, `solve` and `cluster` for each method on one image (Table 6).

    `methods` are settings of solvers with their `kind`; `regions` those of `cluster`. The median of five after one
    untimed, for a phase that takes under a second; a longer one is timed once.
    """
    forward_s, features = median(partial(capture, backbone, image[None], values=False, seeds=[0]))
    _time_method(features, {"kind": "exact", "vectors": 2}, regions)  # what is imported at the first use
    found = {
        name: {"forward": forward_s, **_time_method(features, method, regions)}
        for name, method in progress(methods.items(), f"timing {backbone.name}")
    }
    height, width = image.shape[:2]
    return {
        "machine": machine(features.final.device),
        "image_px": f"{height} × {width}",
        "weights": backbone.weights,
        "methods": found,
    }


def _time_method(features: Features, method: dict[str, Any], regions: dict[str, Any]) -> dict[str, Any]:
    of_graphs = {key: method[key] for key in OF_GRAPHS if key in method}
    choice = {key: value for key, value in method.items() if key not in (*of_graphs, "kind")}
    fold_s, walks = median(lambda: folded(features, **of_graphs))
    solve_s, X = median(lambda: solve(walks, solver=method["kind"], **choice))
    values = X.values.numpy() if method["kind"] == "exact" else None
    cluster_s, _ = median(lambda: cluster(orthogonalise(X.vectors), values=values, **regions))
    return {"fold": fold_s, "solve": solve_s, "cluster": cluster_s, "graphs": walks.described, "status": X.status}


def folded(features: Features, **of_graphs: Any) -> Walks:
    """The graph set of one image with its folds computed; `of_graphs` as `random_walk` takes them."""
    walks = random_walk(features, **of_graphs)
    assert walks.folds  # computed at the first use
    return walks
