"""What this machine takes for each step: forward pass, capture, folding, each solver, clustering."""

from __future__ import annotations

import resource
from typing import Any, TypeVar

import numpy as np
import torch

from whatwhere.artifacts.clock import LONG_S, REPEATS, machine, median, timed
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.progress import progress
from whatwhere.backbones.backbone import Backbone
from whatwhere.backbones.capture import capture
from whatwhere.backbones.features import Features
from whatwhere.method.objective import eq3
from whatwhere.method.solve import Solution, solve
from whatwhere.method.walk import Operator, Walks, random_walk
from whatwhere.stages.timings import folded

Result = TypeVar("Result")

#: Steps of the unfolded loop that are timed; the rest is extrapolated, for it would take minutes.
UNFOLDED_STEPS = 5
OPERATORS: tuple[Operator, ...] = ("normalised", "walk")


def bench_solve(
    backbone: Backbone, *, size_px: int | None = None, vectors: int = 15, steps: int = 1000, descents: bool = True
) -> dict[str, Any]:
    """Seconds of the forward pass, capture, folding and each solver on one image, and what Eq. 3 reaches in the end
    (trace over `vectors` columns, made orthonormal). Median of five for what takes under a second, else once.

    Without `descents` only `exact` is timed.
    """
    side = size_px or backbone.size_px
    if side < 2 * backbone.patch_px or side % backbone.patch_px:
        raise InputError(
            f"--size: expected a multiple of {backbone.patch_px} px from {2 * backbone.patch_px}, got {side}"
        )
    image = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    forward, captured, features = _forward_and_capture(backbone, image)
    solvers: dict[str, Any] = {
        operator: _bench_operator(features, operator, vectors, steps, descents) for operator in OPERATORS
    }
    solver_s = solvers["normalised"]["folding_s"] + solvers["normalised"]["exact_s"]
    return {
        "machine": machine(features.final.device),
        "torch": torch.__version__,
        "backbone": backbone.name,
        "weights": backbone.weights,
        "image_px": side,
        "graphs": random_walk(features).described,
        "vectors": vectors,
        "gradient_steps": steps,
        "forward_s": forward,
        "capture_s": captured,
        **solvers,
        "folding_and_exact_over_forward": solver_s / forward,
        "images_per_second_exact": 1 / (captured + solver_s),
        "peak_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


def _forward_and_capture(backbone: Backbone, image: np.ndarray) -> tuple[float, float, Features]:
    """Median seconds of both, timed in turn, so that a machine whose speed drifts favours neither."""
    bare, recorded = [], []
    for number in progress(range(REPEATS), "forward pass"):
        with torch.inference_mode():
            bare.append(timed(lambda: backbone.run(backbone.prepare(image)))[0])
        seconds, features = timed(lambda: capture(backbone, image))
        recorded.append(seconds)
        if number == 0 and seconds > LONG_S:
            return bare[0], recorded[0], features
    return float(np.median(bare)), float(np.median(recorded)), features


def _bench_operator(features: Features, operator: Operator, vectors: int, steps: int, descents: bool) -> dict[str, Any]:
    folding_s, walks = median(lambda: folded(features, operator=operator))
    exact_s, exact = median(lambda: solve(walks, vectors=vectors))
    found = {"folding_s": folding_s, "exact_s": exact_s, "objective_exact": float(eq3(exact.vectors, walks))}
    if not descents:
        return found
    gradient_s, gradient = timed(lambda: _gradient(walks, vectors, steps, folded=True))
    loop_s, loop = timed(lambda: _gradient(walks, vectors, UNFOLDED_STEPS, folded=False))
    released_s, released = timed(lambda: solve(walks, vectors=vectors, solver="released"))
    return found | {
        "gradient_folded_s": gradient_s,
        "gradient_unfolded_s_extrapolated": loop_s / UNFOLDED_STEPS * steps,
        "released_s": released_s,
        "objective_gradient": float(eq3(gradient.vectors, walks)),
        "objective_unfolded_after_5_steps": float(eq3(loop.vectors, walks)),
        "objective_released": float(eq3(released.vectors, walks)),
        "gradient_status": gradient.status,
    }


def bench_table(measured: dict[str, Any]) -> str:
    """What `bench_solve` answered as a Markdown table."""
    head = (
        f"{measured['backbone']}, one image of {measured['image_px']} px: {measured['graphs']}, "
        f"{measured['vectors']} vectors, {measured['gradient_steps']} gradient steps; {measured['machine']}; "
        f"{measured['images_per_second_exact']:.3g} images a second with `exact`; "
        f"peak memory {measured['peak_memory_gb']:.1f} GB"
    )
    rows = [
        ("forward pass", "forward_s", "", ""),
        ("forward pass with capture", "capture_s", "", ""),
        ("folding", "", "folding_s", ""),
        ("`exact`", "", "exact_s", "objective_exact"),
        ("`gradient`, folded", "", "gradient_folded_s", "objective_gradient"),
        (
            "`gradient`, every graph (seconds extrapolated from 5 steps; value after these 5)",
            "",
            "gradient_unfolded_s_extrapolated",
            "objective_unfolded_after_5_steps",
        ),
        ("`released`, 100 steps", "", "released_s", "objective_released"),
    ]
    lines = ["| step | seconds, `normalised` | seconds, `walk` | Eq. 3, `normalised` | Eq. 3, `walk` |"]
    lines += ["| --- | --- | --- | --- | --- |"]
    for name, once, each, objective in rows:
        if once or each in measured[OPERATORS[0]]:
            seconds = [measured[once]] * 2 if once else [measured[o][each] for o in OPERATORS]
            values = [f"{measured[o][objective]:.4f}" if objective else "" for o in OPERATORS]
            lines.append(f"| {name} | {' | '.join([f'{s:.3g}' for s in seconds] + values)} |")
    return "\n".join([head, "", *lines])


def _gradient(walks: Walks, vectors: int, steps: int, *, folded: bool) -> Solution:
    return solve(walks, vectors=vectors, solver="gradient", steps=steps, learning_rate=1e-3, folded=folded)
