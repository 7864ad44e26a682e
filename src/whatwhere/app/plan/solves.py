"""Solvers, for one image and for whole data sets, and what runs on the processor beside them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from whatwhere.app.plan import asked, disk, work
from whatwhere.app.plan.lookup import Lookup
from whatwhere.app.plan.machine import cores
from whatwhere.app.plan.rows import Beside, JointSolve, Solve, total
from whatwhere.app.plan.units import Number
from whatwhere.app.plan.work import Work
from whatwhere.config import Run
from whatwhere.config.methods import Solver


def solves(lookup: Lookup) -> list[Solve]:
    """Solvers of one image, together for each data set and backbone; other methods run `beside`."""
    methods: dict[asked.Place, list[str]] = defaultdict(list)
    for dataset, backbone, name in asked.solved(lookup.config):
        if isinstance(lookup.config.methods[name], Solver):
            methods[dataset, backbone].append(name)
    return [_solve(lookup, place, names) for place, names in methods.items()]


def _solve(lookup: Lookup, place: asked.Place, names: list[str]) -> Solve:
    images, done = lookup.images(place[0]), Work()
    each = [_work(lookup, (*place, name)) for name in names]
    for one in each:
        done += one or Work()
    known = images is not None and all(each)
    done = done.times(images or 0)
    seconds = (done.operations, done.seconds(lookup.gpu), done.seconds(lookup.cpu)) if known else (None, None, None)
    return Solve(*place, tuple(names), *seconds)


def _work(lookup: Lookup, run: Run) -> Work | None:
    """Of one image."""
    return lookup.of_run(run, lambda found: work.solving(found, lookup.config.methods[run[2]]))


def joint_solves(lookup: Lookup) -> list[JointSolve]:
    """Solvers of whole data sets, without the network that a live one runs."""
    return [_joint(lookup, run) for run in asked.jointly_solved(lookup.config)]


def _joint(lookup: Lookup, run: Run) -> JointSolve:
    dataset, backbone, name = run
    images, method = lookup.images(dataset), lookup.config.methods[name]
    row = JointSolve(dataset, backbone, name, str(method.kind))
    found = images and lookup.of_run(run, lambda network: work.joint(network, images, method))
    if not found:
        return row
    on_gpu, on_cpu, locations = found
    times = (on_gpu.seconds(lookup.gpu), on_cpu.seconds(lookup.cpu))
    return JointSolve(dataset, backbone, name, str(method.kind), locations, on_gpu.operations, *times)


def beside(lookup: Lookup) -> list[Beside]:
    """Cuts of single graphs, K-means of images, masks of objects, and CRFs: on the processor's cores, an image each.

    ASSUME: the cores are all busy with them.
    """
    config = lookup.config
    number = disk.candidates(config)
    grouped = [run for run in config.shown() if config.methods[run[2]].kind not in disk.MASKED]
    cut = [_of_tokens(lookup, run, work.cutting_s) for run in asked.cut(config)]
    shown = [_of_tokens(lookup, run, lambda tokens, _: work.clustering_s(tokens, number)) for run in grouped]
    objects = [
        _of_tokens(lookup, run, lambda tokens, _: work.proposing_s(tokens, number)) for run in asked.proposed(config)
    ]
    rows = [
        _together("TokenCut, MaskCut, NCut", cut),
        _together("regions: K-means and silhouettes", shown),
        _together("masks of objects", objects),
        _together("CRF of their masks", [_mask_crf(lookup, run) for run in asked.refined_masks(config)]),
        _together("dense CRF", [_crf(lookup, run) for run in asked.refined(config)]),
    ]
    return [row for row in rows if row.images]


def _of_tokens(lookup: Lookup, run: Run, seconds: Callable[[int, Any], Number]) -> tuple[int, Number] | None:
    """Images of a run, and the seconds of one core for all of them: `seconds` says those of tokens and a method."""
    images, method = lookup.images(run[0]), lookup.config.methods[run[2]]
    tokens = lookup.of_run(run, lambda found: disk.vector_shape(found, method)[0])
    return (images, images * seconds(tokens, method)) if images and tokens else None


def _crf(lookup: Lookup, run: Run) -> tuple[int, Number] | None:
    dataset, backbone, _ = run
    found, view = lookup.pictures[dataset], lookup.config.segments.view or lookup.config.backbones[backbone].view
    size = lookup.size(dataset, view)
    if not size or not found.images:
        return None
    each = work.crf_s(size[0] * size[1], found.classes, lookup.config.segments.crf.iterations)
    return found.images, found.images * each


def _mask_crf(lookup: Lookup, run: Run) -> tuple[int, Number] | None:
    """Of every mask by itself, in the pixels that the backbone sees."""
    dataset, backbone, name = run
    images, size = lookup.images(dataset), lookup.size(dataset, lookup.config.backbones[backbone].view)
    settings, method = lookup.config.proposals.crf, lookup.config.methods[name]
    if not size or not images or not settings:
        return None
    each = work.crf_s(size[0] * size[1], work.MASK_CLUSTERS, settings.iterations)
    return images, images * getattr(method, "masks", 1) * each


def _together(what: str, parts: list[tuple[int, Number] | None]) -> Beside:
    images, seconds = ([part[i] for part in parts if part] for i in (0, 1))
    return Beside(what, total(images), total(seconds) / cores())
