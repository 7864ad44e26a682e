"""How time and memory of the solvers for a data set grow with its images, for both pathways (section 4.2)."""

from __future__ import annotations

import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from whatwhere.app.bench.alone import FLOOR, run_alone, vectors_of
from whatwhere.app.bench.growth import SETS, STABLE_DIFFUSION, Shape, growth, on_paper, search_rate
from whatwhere.app.bench.plan import STEPS, Plan
from whatwhere.app.bench.worth import paired, worth
from whatwhere.artifacts.clock import machine, timed
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.progress import progress
from whatwhere.artifacts.store import Store, remove
from whatwhere.backbones import PRESETS, load_backbone
from whatwhere.backbones.backbone import Backbone
from whatwhere.backbones.capture import capture
from whatwhere.backbones.features import Attention
from whatwhere.datasets.images import View
from whatwhere.datasets.record import Dataset
from whatwhere.datasets.scenes import load
from whatwhere.method.layers import chosen_layers
from whatwhere.stages.features import extract
from whatwhere.stages.images import write_images

#: ASSUME: of a U-Net the layers that the paper takes (section 4.2), of another backbone all.
UNET_LAYERS, ALL_LAYERS = ("block:mid", "up:6"), ("*",)
BATCH_IMAGES, RUN_IMAGES = 4, 16


def bench_dataset(
    backbone: str,
    plan: Plan,
    *,
    settings: dict[str, Any] | None = None,
    photographs: Dataset | None = None,
    size_px: int | None = None,
    report: Callable[[str], None],
) -> dict[str, Any]:
    """Seconds and memory of every solver, pathway and size, each in a process of its own, how they grow, what the
    solutions are worth, and arithmetic for larger sets.

    Rendered scenes, or the centres of `photographs` with label maps, `size_px` a side (else the backbone's own), go
    through `backbone` (`settings` as of `load_backbone`) into a temporary folder, which is gone at the end, however
    that comes; `report` is told how large it gets, and of each run. Raises `InputError` for a backbone that is not
    known, for fewer photographs than the largest set has, where the disk is too small, and where a solve fails.
    """
    model = load_backbone(backbone, **(settings or {}), device=plan.device)
    model = replace(model, size_px=size_px or model.size_px)
    shown = _shown(plan, photographs, model.size_px)
    layers, patterns, bytes_each = _layout(model, plan)
    shapes = _shapes(layers)
    _check_vectors(plan, shapes)
    with _folder() as folder:
        needed = plan.images[-1] * bytes_each / 1e9
        pictures = f"{plan.images[-1]} {_kind(photographs)}"
        report(f"{pictures}, their features and X take {needed:.2g} GB in {folder} until the end")
        _check_disk(folder, needed)
        extract_s, shards = timed(lambda: _extracted(model, plan, folder, shown))
        runs, scores = _measured(plan, patterns, folder, shards, report)
    measured = [run for run in runs if run["solver"] != FLOOR and run["epochs"] in (0, plan.epochs)]
    floors = {run["images"]: run["anonymous_mb"] for run in runs if run["solver"] == FLOOR}
    return {
        "machine": machine(plan.device),
        "torch": torch.__version__,
        "backbone": backbone,
        "pictures": _kind(photographs),
        "weights": model.weights,
        "layers": ", ".join(f"{one.count} of {one.tokens} tokens × {one.width}" for one in shapes),
        **asdict(plan),
        "steps": STEPS,
        "samples": model.samples,
        "folder_gb": needed,
        "extract_s": extract_s,
        "runs": measured,
        "floors": [run for run in runs if run["solver"] == FLOOR],
        "growth": growth(measured, floors),
        "scores": paired(scores),
        "on_paper": _on_paper(shapes, model.samples, plan),
    }


@contextmanager
def _folder() -> Iterator[Path]:
    """A temporary folder that is removed at the end, also where the process is told to terminate."""

    def interrupt(*_: Any) -> None:
        """Ends the block as Ctrl-C would."""
        raise KeyboardInterrupt

    ours = threading.current_thread() is threading.main_thread()  # only there may signals be handled
    before = signal.signal(signal.SIGTERM, interrupt) if ours else None
    try:
        with TemporaryDirectory(prefix="whatwhere-bench-") as folder:
            yield Path(folder)
    finally:
        if ours:
            signal.signal(signal.SIGTERM, before)


def _layout(backbone: Backbone, plan: Plan) -> tuple[list[Attention], tuple[str, ...], int]:
    """The layers that are solved for and the patterns that choose them, and what an image takes on disk: Q, K and V of
    all layers, the image with its labels, X with its moments, and X once more when it is finished.
    """
    blank = np.zeros((1, backbone.size_px, backbone.size_px, 3), np.uint8)
    found = capture(backbone, blank, values=True, seeds=[0])
    names, grids = [one.name for one in found.layers], [one.grid for one in found.layers]
    patterns = UNET_LAYERS if any("up_blocks" in name for name in names) else ALL_LAYERS
    wanted = chosen_layers(names, grids, patterns)
    chosen = [one for one, keep in zip(found.layers, wanted, strict=True) if keep and one.sample == 0]
    numbers = sum(2 * one.query.numel() + one.value.numel() for one in found.layers if one.value is not None)
    tokens = max(one.grid[0] * one.grid[1] for one in chosen)
    return chosen, patterns, 2 * (numbers + found.final.numel()) + 5 * blank.size // 3 + 16 * tokens * plan.vectors


def _shapes(layers: Sequence[Attention]) -> list[Shape]:
    """Layers of one shape together."""
    sizes = Counter((one.grid[0] * one.grid[1], one.query.shape[1] * one.query.shape[3]) for one in layers)
    return [Shape(count, tokens, width) for (tokens, width), count in sizes.items()]


def _check_vectors(plan: Plan, shapes: Sequence[Shape]) -> None:
    locations = plan.images[0] * max(one.tokens for one in shapes)
    if plan.vectors >= locations:
        raise InputError(
            f"--vectors: expected fewer than {locations}, the locations of the smallest set, got {plan.vectors}; "
            "take fewer"
        )


def _check_disk(folder: Path, needed_gb: float) -> None:
    free_gb = shutil.disk_usage(folder).free / 1e9
    if needed_gb > free_gb:
        raise InputError(
            f"--images: expected room for {needed_gb:.3g} GB, got {free_gb:.3g} GB in {folder.parent}; "
            "take fewer images, or name another folder by TMPDIR"
        )


def _kind(photographs: Dataset | None) -> str:
    return "photographs" if photographs else "scenes"


def _shown(plan: Plan, photographs: Dataset | None, size_px: int) -> Dataset:
    """What is looked at: the first of the photographs, else scenes of this size."""
    if photographs is None:
        return load("scenes", images=plan.images[-1], size_px=size_px, first_seed=0)
    if len(photographs.records) < plan.images[-1]:
        raise InputError(
            f"--images: expected at most the {len(photographs.records)} photographs that there are, got "
            f"{plan.images[-1]}; take fewer, or name more by --photos"
        )
    return replace(photographs, records=photographs.records[: plan.images[-1]])


def _extracted(backbone: Backbone, plan: Plan, folder: Path, shown: Dataset) -> list[tuple[Path, Path]]:
    """Of every shard the manifests of its images and of its features; a shard has the images of the smallest set."""
    size = plan.images[0]
    ids = [record.id for record in shown.records]
    view = View("centre_crop", backbone.size_px, backbone.patch_px)  # of a scene, which is square, all
    numbers = {id_: i for i, id_ in enumerate(ids, 1)}
    seen: dict[str, Any] = {"numbers": numbers, "view": view, "run_images": RUN_IMAGES}
    choice: dict[str, Any] = {"values": True, "batch_images": BATCH_IMAGES, "run_images": RUN_IMAGES, "seed": plan.seed}
    shards = []
    for first in progress(range(0, len(ids), size), f"features of {len(ids)} images"):
        images, features = (folder / f"{kind}-{first:06d}.json" for kind in ("images", "features"))
        here = ids[first : first + size]
        write_images(shown, here, images, folder / "instances.json", **seen, settings={})
        extract(Store(images), backbone, features, **choice, settings={})
        shards.append((images, features))
    return shards


def _measured(
    plan: Plan,
    patterns: Sequence[str],
    folder: Path,
    shards: Sequence[tuple[Path, Path]],
    report: Callable[[str], None],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What each run took, and what its solution is worth, which does not stay."""
    found, scores = [], []
    for run in progress(plan.runs, "solving, each in a process of its own"):
        here = shards[: run.images // plan.images[0]]
        output = folder / f"{run.name}.json"
        job = {
            **{"kind": run.solver, "images": run.images, "method": plan.method(run, patterns)},
            **{"inputs": [str(features) for _, features in here], "output": str(output), "name": "bench"},
            **{"seed": plan.seed, "device": plan.device, "busy": plan.busy},
        }
        took = run_alone(job, folder, torch.get_num_threads())
        found.append({**run._asdict(), **took})
        if run.solver != FLOOR:
            what = worth(vectors_of(job), [Store(images) for images, _ in here], seed=plan.seed)
            scores.append({**run._asdict(), "seconds": took["seconds"], **what})
            report(f"{run.name}: {took['seconds']:.3g} s, mIoU {100 * what['what']:.1f} and {100 * what['where']:.1f}")
        for manifest in (output, *vectors_of(job)):
            remove(manifest)
    return found, scores


def _on_paper(shapes: Sequence[Shape], samples: int, plan: Plan) -> list[dict[str, Any]]:
    """Arithmetic for the data sets of the paper, and for the largest that was measured, to be compared."""
    theirs = int(PRESETS["stable-diffusion-v1-4"].options["samples"])
    every = dict.fromkeys([*shapes, *STABLE_DIFFUSION])
    rates = {shape: search_rate(shape, plan.device) for shape in progress(every, "rate of the search")}
    largest = {"images": plan.images[-1], "batch_images": plan.batch_images, "samples": samples}
    cases = [("measured", "this backbone", shapes, largest)]
    for name, images in SETS.items():
        cases.append((name, "this backbone", shapes, {"images": images, "samples": samples}))
        cases.append((name, "Stable Diffusion", STABLE_DIFFUSION, {"images": images, "samples": theirs}))
    return [
        {
            "set": name,
            "network": network,
            "measured": "batch_images" in sizes,
            **on_paper(some, rates, vectors=plan.vectors, **sizes),
        }
        for name, network, some, sizes in cases
    ]
