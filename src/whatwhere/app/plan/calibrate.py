"""What no log says, measured: jobs of each kind on a handful of images, by the run's own stages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from whatwhere.app.plan.jobs import At, Jobs
from whatwhere.app.plan.known import Known
from whatwhere.app.plan.rates import Curve, Curves
from whatwhere.artifacts.progress import progress
from whatwhere.stages.calls import STAGES, tried_batches
from whatwhere.stages.rehearsal import MODULES, PAGES, Group, Rehearsal, Task, Timed, rehearse

#: ASSUME: on a processor nobody waits for a network of more operations an image, just for a plan.
MOST_FLOP = 3e11


def calibrated(
    known: Known, jobs: Sequence[Jobs], curves: Curves, *, device: str, seconds: float, cores: int
) -> Curves:
    """Curves of the kinds of jobs that have none, measured for at most so many seconds, a process a core."""
    most_flop = MOST_FLOP if device == "cpu" else float("inf")
    groups = _groups(_chosen(jobs, curves, most_flop), known)
    noise = {name: one.size for name, one in known.pictures.items() if one.size and (one.fetched or one.missing)}
    found: dict[tuple[object, ...], list[Curve]] = defaultdict(list)
    until = perf_counter() + seconds
    with TemporaryDirectory(prefix="whatwhere-plan-") as folder:
        small = Rehearsal(known.config.model_copy(update={"device": device}), Path(folder), noise)
        answers = rehearse(small, list(groups), at_once=cores if device == "cpu" else 1, until=until)
        for of, timed in zip(groups.values(), progress(answers, "measuring", len(groups)), strict=True):
            for one, curve in _curves(of, timed, known):
                found[one.key].append(curve)
    return found


def _chosen(jobs: Sequence[Jobs], curves: Curves, most_flop: float) -> list[Jobs]:
    """The first jobs of each kind that has no curve, and all that they read; none of a network that is too large."""
    at = {(one.stage, one.place): one for one in jobs}
    possible: set[At] = set()
    first: dict[object, At] = {}
    for place, one in at.items():  # each after what it reads
        known_how = one.stage in (*STAGES, *PAGES) and one.images is not None
        if known_how and one.image_flop <= most_flop and possible.issuperset(one.after):
            possible.add(place)
            if one.key not in curves:
                first.setdefault(one.key, place)
    wanted, pending = set[At](), list(first.values())
    while pending:
        place = pending.pop()
        wanted.add(place)
        pending += set(at[place].after) - wanted
    return [one for place, one in at.items() if place in wanted]


def _groups(chosen: Sequence[Jobs], known: Known) -> dict[Group, list[Jobs]]:
    """For one process each: jobs of a stage whose scripts import the same."""
    found: dict[tuple[str, str, str], list[Jobs]] = defaultdict(list)
    for one in chosen:
        module = {**MODULES, **PAGES}.get(one.stage, one.stage)
        module = "baselines" if one.stage == "vectors" and not one.on_device else module
        found[module, one.stage, known.config.backbones[one.place[1]].model if one.passes else ""].append(one)
    return {
        Group(module, tuple(Task(one.stage, one.place, one.after) for one in of if stage in STAGES)): of
        for (module, stage, _), of in found.items()
    }


def _curves(of: Sequence[Jobs], timed: Timed, known: Known) -> Iterator[tuple[Jobs, Curve]]:
    """Of a process's jobs: all start with its imports, and with what the first paid for at the first use."""
    points: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for number, images, seconds in timed.tasks:
        points[number].append((images, seconds))
    start = timed.imports_s or 0.0
    if len(points[0]) > 1:
        (few, first), (again, warm), *_ = points[0]
        if few == again:
            start += max(0.0, first - warm)
            del points[0][0]
    for number, one in enumerate(of):
        method = known.config.methods[one.place[2]] if one.pairs else None
        times = getattr(method, "batches", 1) / tried_batches(method)
        took = [(images, start + seconds * times) for images, seconds in points[number]]
        if one.stage in PAGES and timed.imports_s is not None:
            took = [(0, start)]
        if took:
            yield one, Curve("measured", start, tuple(took))
