"""One image -> the seconds of each step of each method (Table 6)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import UInt8

from whatwhere.artifacts.clock import machine, median, timed
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

    `methods` are settings of solvers with their `kind`; `regions` those of `cluster`. The median of three for a phase
    that takes under a second; a longer one is timed once, as is the fold of equal graph sets. A solver's steps are
    alike: of many `timed_steps` are timed, once, and `solve` is reckoned from them, as `status` says: all steps, also
    of a method that ends where it has converged.
    """
    values = any(method.get("pathway", "qk") != "qk" for method in methods.values())
    forward_s, features = median(partial(capture, backbone, image[None], values=values, seeds=[0]))
    _warm_up(random_walk(features), list(methods.values()), regions)
    graphs: dict[str, tuple[float, Walks]] = {}
    found = {}
    for name, method in progress(methods.items(), f"timing {backbone.name}"):
        of_graphs = {key: method[key] for key in OF_GRAPHS if key in method}
        if (key := str(of_graphs)) not in graphs:
            graphs[key] = median(partial(folded, features, **of_graphs))
        fold_s, walks = graphs[key]
        choice = {key: value for key, value in method.items() if key not in of_graphs}
        found[name] = {"forward": forward_s, "fold": fold_s, **_time_solve(walks, choice, regions)}
    height, width = image.shape[:2]
    return {
        "machine": machine(features.final.device),
        "image_px": f"{height} × {width}",
        "weights": backbone.weights,
        "methods": found,
    }


def _warm_up(walks: Walks, methods: Sequence[dict[str, Any]], regions: dict[str, Any]) -> None:
    """Has imported what solvers and clusters import at their first use: of those that descend it takes seconds."""
    for kind, steps in {method["kind"]: method.get("steps") for method in methods}.items():
        options: dict[str, Any] = {"steps": 1} if steps else {}
        solve(walks, vectors=2, solver=kind, **options)
    cluster(orthogonalise(solve(walks, vectors=2, solver="exact").vectors), **regions)


def _time_solve(walks: Walks, method: dict[str, Any], regions: dict[str, Any]) -> dict[str, Any]:
    kind, steps = method["kind"], method.get("steps")
    tried = {key: value for key, value in method.items() if key != "kind"}
    tried |= {"steps": timed_steps(steps), "tolerance": None} if steps else {}
    solve_s, X = (timed if steps else median)(lambda: solve(walks, solver=kind, **tried))  # many steps: a mean already
    values = X.values.numpy() if kind == "exact" else None
    cluster_s, _ = median(lambda: cluster(orthogonalise(X.vectors), values=values, **regions))
    times, status = 1.0, X.status
    if steps and tried["steps"] < steps:
        times, status = steps / tried["steps"], f"{steps} steps, reckoned from {X.status}"
    return {"solve": solve_s * times, "cluster": cluster_s, "graphs": walks.described, "status": status}


def timed_steps(steps: int) -> int:
    """Of so many equal steps of a solver those that are timed: a tenth, and at least 20."""
    return min(steps, max(20, steps // 10))


def folded(features: Features, **of_graphs: Any) -> Walks:
    """The graph set of one image with its folds computed; `of_graphs` as `random_walk` takes them."""
    walks = random_walk(features, **of_graphs)
    assert walks.folds  # computed at the first use
    return walks
