"""What the solvers cost on this machine, each on the same graphs in one run."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch

from whatwhere.backbones import load_backbone
from whatwhere.backbones.backbone import Backbone
from whatwhere.capture import Features, capture
from whatwhere.errors import InputError
from whatwhere.objective import eq3
from whatwhere.progress import progress
from whatwhere.solve import Solution, solve
from whatwhere.walk import Operator, Walks, random_walk

Result = TypeVar("Result")

#: Steps of the unfolded loop that are timed; the rest is extrapolated, for it would take minutes.
UNFOLDED_STEPS = 5
REPEATS = 5
OPERATORS: tuple[Operator, ...] = ("normalised", "walk")


def bench_solve(*, size_px: int = 448, vectors: int = 15, steps: int = 1000) -> dict[str, Any]:
    """Seconds of the forward pass, capture, folding and each solver on one ViT-S/16 image, and what Eq. 3
    reaches in the end (trace over `vectors` columns, made orthonormal).

    The weights are random: no step's time depends on them. Short steps: median of five.
    """
    backbone = load_backbone("untrained-vits16")
    if size_px < 2 * backbone.patch_px or size_px % backbone.patch_px:
        raise InputError(f"--size: expected a multiple of {backbone.patch_px} px from 32, got {size_px}")
    image = np.random.default_rng(0).integers(0, 256, (1, size_px, size_px, 3), dtype=np.uint8)
    forward, captured, features = _forward_and_capture(backbone, image)
    results: dict[str, Any] = {operator: _bench_operator(features, operator, vectors, steps) for operator in OPERATORS}
    solver_s = results["normalised"]["folding_s"] + results["normalised"]["exact_s"]
    return {
        "machine": f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
        "image_px": size_px,
        "tokens": features.layers[0].query.shape[2],
        "graphs": random_walk(features).graphs,
        "vectors": vectors,
        "gradient_steps": steps,
        "forward_s": forward,
        "capture_s": captured,
        **results,
        "folding_and_exact_over_forward": solver_s / forward,
    }


def _forward_and_capture(backbone: Backbone, image: np.ndarray) -> tuple[float, float, Features]:
    """Median seconds of both, timed in turn, so that a machine whose speed drifts favours neither."""
    bare, recorded = [], []
    for _ in progress(range(REPEATS + 1), "forward pass"):
        with torch.inference_mode():
            bare.append(_timed(lambda: backbone.run(backbone.prepare(image)))[0])
        seconds, features = _timed(lambda: capture(backbone, image))
        recorded.append(seconds)
    return float(np.median(bare[1:])), float(np.median(recorded[1:])), features


def _bench_operator(features: Features, operator: Operator, vectors: int, steps: int) -> dict[str, Any]:
    folding_s, walks = _median(lambda: _folded(features, operator))
    exact_s, exact = _median(lambda: solve(walks, vectors=vectors))
    gradient_s, gradient = _timed(lambda: _gradient(walks, vectors, steps, folded=True))
    loop_s, loop = _timed(lambda: _gradient(walks, vectors, UNFOLDED_STEPS, folded=False))
    return {
        "folding_s": folding_s,
        "exact_s": exact_s,
        "gradient_folded_s": gradient_s,
        "gradient_unfolded_s_extrapolated": loop_s / UNFOLDED_STEPS * steps,
        "objective_exact": float(eq3(exact.vectors, walks)),
        "objective_gradient": float(eq3(gradient.vectors, walks)),
        "objective_unfolded_after_5_steps": float(eq3(loop.vectors, walks)),
        "gradient_status": gradient.status,
    }


def bench_table(measured: dict[str, Any]) -> str:
    """The same numbers as a Markdown table."""
    head = (
        f"One image of {measured['image_px']} px, ViT-S/16: {measured['graphs']} graphs of {measured['tokens']} "
        f"tokens, {measured['vectors']} vectors, {measured['gradient_steps']} gradient steps; {measured['machine']}"
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
    ]
    lines = ["| step | seconds, `normalised` | seconds, `walk` | Eq. 3, `normalised` | Eq. 3, `walk` |"]
    lines += ["| --- | --- | --- | --- | --- |"]
    for name, once, each, objective in rows:
        seconds = [measured[once]] * 2 if once else [measured[o][each] for o in OPERATORS]
        values = [f"{measured[o][objective]:.4f}" if objective else "" for o in OPERATORS]
        lines.append(f"| {name} | {' | '.join([f'{s:.3g}' for s in seconds] + values)} |")
    return "\n".join([head, "", *lines])


def _folded(features: Features, operator: Operator) -> Walks:
    walks = random_walk(features, operator=operator)
    assert walks.folds  # computed at the first use
    return walks


def _gradient(walks: Walks, vectors: int, steps: int, *, folded: bool) -> Solution:
    return solve(walks, vectors=vectors, solver="gradient", steps=steps, learning_rate=1e-3, folded=folded)


def _timed(action: Callable[[], Result]) -> tuple[float, Result]:
    start = time.perf_counter()
    result = action()
    return time.perf_counter() - start, result


def _median(action: Callable[[], Result]) -> tuple[float, Result]:
    action()  # warm up
    runs = [_timed(action) for _ in progress(range(REPEATS), "timing")]
    return float(np.median([seconds for seconds, _ in runs])), runs[-1][1]
