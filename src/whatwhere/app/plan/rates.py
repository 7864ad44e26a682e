"""What jobs took, and from it what others will: by the logs of earlier runs, else by trying a handful of images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from whatwhere.app.plan.jobs import TOGETHER, Jobs, Like
from whatwhere.app.plan.known import Known, Number
from whatwhere.artifacts.clock import cores
from whatwhere.artifacts.progress import progress
from whatwhere.backbones.network import Network
from whatwhere.config import Config
from whatwhere.config.joint import Joint
from whatwhere.stages.calls import STAGES, tried_batches
from whatwhere.stages.earlier import made_alike, took
from whatwhere.stages.rehearsal import PAGES, Group, Rehearsal, Timed, module_of, rehearse
from whatwhere.stages.task import At, Task

#: Images that stages are tried with where no data set is solved as a whole, whose time also grows with the square.
FEW = (1, 4)
#: ASSUME: on a processor nobody waits for a network of more operations an image, just for a plan.
MOST_FLOP = 3e11
#: Images and seconds of jobs.
Points = tuple[tuple[Number, float], ...]


@dataclass(frozen=True)
class Curve:
    """What jobs of one kind took, each of which spent `start_s` before its first image; and whence that is known."""

    source: str
    start_s: float
    points: Points


#: By `Jobs.key`, and those that very jobs left by their stage and place.
Curves = Mapping[Like, Sequence[Curve]]


def told(one: Jobs, curves: Curves) -> Jobs:
    """The jobs with what they will take, by all that is known of their kind; where a network was not run, by its
    operations at the rates of those that were.
    """
    known = curves.get((one.stage, one.place)) or curves.get(one.key, ())
    found = [(curve.source, seconds) for curve in known for seconds in _estimates(one, curve)]
    if not found and one.stage == "features" and one.flop:
        found = [("by operations", one.jobs * curve.start_s + one.flop * pace) for curve, pace in _paces(curves)]
    if not found or one.images is None:
        return one
    sources, seconds = zip(*found, strict=True)
    return replace(one, low_s=min(seconds), high_s=max(seconds), source=", ".join(dict.fromkeys(sources)))


def _estimates(one: Jobs, curve: Curve) -> list[float]:
    """The sum of the very jobs, if they are those, or nobody knows of how many images; else by the largest handful
    alone, and with a smaller one.

    Seconds beside the start grow in a straight line; those of a joint solve with the square of its images as well,
    which by one size alone may be none of it or all.
    """
    counts = [images for images, _ in curve.points]
    is_these = len(counts) == one.jobs and abs(sum(counts) - one.jobs * one.at_once) < 0.5
    if not one.images or not max(counts) or is_these:
        return [one.jobs * sum(seconds for _, seconds in curve.points) / len(counts)]
    few, more = min(counts), max(counts)
    by_size = {n: [max(0.0, s - curve.start_s) for m, s in curve.points if m == n] for n in (few, more)}
    found, share = [], one.at_once / more
    if few == more or not one.pairs:
        found = [high * share**power for high in by_size[more] for power in range(1, 2 + one.pairs)]
    for low, high in ((low, high) for low in by_size[few] for high in by_size[more] if few < more):
        if one.pairs:  # seconds of an image = a + b images
            b = min(max(0.0, high / more - low / few) / (more - few), high / more**2)
            found.append((high / more + b * (one.at_once - more)) * one.at_once)
        else:
            b = min(max(0.0, high - low) / (more - few), high / more)
            found.append(max(0.0, high + b * (one.at_once - more)))
    return [one.jobs * (curve.start_s + seconds * times) for seconds in found for times in {1.0, one.dearer}]


def _paces(curves: Curves) -> Iterator[tuple[Curve, float]]:
    """Seconds of an operation in every network that was run."""
    for key, known in curves.items():
        if key[0] == "features" and isinstance(key[1], Network):
            for curve in known:
                images, seconds = max(curve.points)
                yield curve, max(0.0, seconds - curve.start_s) / (images * key[1].flop)


def logged(jobs: Sequence[Jobs], config: Config, results: Path) -> dict[Like, list[Curve]]:
    """What the logs under `results` say of these jobs: the run's own, else those of other runs with jobs of the same
    names, settings and inputs. ASSUME: the quickest job of a stage did little but start.
    """
    runs = sorted((path.parent for path in results.glob("*/logs")), key=lambda run: run.name == config.run)
    found = {one: (run, points) for run in runs for one, points in _of_run(run, jobs, config)}  # its own come last
    least: dict[tuple[str, Path], float] = defaultdict(lambda: float("inf"))
    for one, (run, points) in found.items():
        least[one.stage, run] = min(least[one.stage, run], *(seconds for _, seconds in points))
    curves: dict[Like, list[Curve]] = defaultdict(list)
    for one, (run, points) in found.items():
        curve = Curve(f"logs of {run.name}", least[one.stage, run], points)
        curves[one.key].append(curve)
        curves[one.stage, one.place].append(curve)
    return curves


def _of_run(run: Path, jobs: Sequence[Jobs], config: Config) -> Iterator[tuple[Jobs, Points]]:
    others: set[At] = set()
    for one in jobs:  # each after what it reads
        if others & {*one.after} or not made_alike(run, one.stage, one.place, config):
            others.add((one.stage, one.place))
        elif found := took(run, one.stage, one.place, one.seen):
            method = config.methods[one.place[2]] if one.pairs else None
            together = method.together if isinstance(method, Joint) else float
            yield one, tuple((together(images), seconds) for images, seconds in found)


def calibrated(
    known: Known, jobs: Sequence[Jobs], curves: Curves, *, device: str, seconds: int, busy: bool = False
) -> Curves:
    """Curves of the kinds of jobs that have none, measured for at most so many seconds, a process a core; `busy` as of
    `Rehearsal`.
    """
    groups = _groups(_chosen(jobs, curves, MOST_FLOP if device == "cpu" else float("inf")), known)
    noise = {name: one.size for name, one in known.pictures.items() if one.size and (one.fetched or one.missing)}
    found: dict[Like, list[Curve]] = defaultdict(list)
    until = perf_counter() + seconds
    with TemporaryDirectory(prefix="whatwhere-plan-") as folder:
        small = Rehearsal(known.config.model_copy(update={"device": device}), Path(folder), noise, busy=busy)
        answers = rehearse(small, list(groups), at_once=cores() if device == "cpu" else 1, until=until)
        for of, timed in zip(groups.values(), progress(answers, "measuring", len(groups)), strict=True):
            for one, curve in _curves(of, timed, known):
                found[one.key].append(curve)
    return found


def _chosen(jobs: Sequence[Jobs], curves: Curves, most_flop: float) -> list[Jobs]:
    """The first jobs of each kind that has no curve, and all that they read; none of a network that is too large."""
    at = {(one.stage, one.place): one for one in jobs}
    possible: set[At] = set()
    first: dict[Like, At] = {}
    for place, one in at.items():  # each after what it reads
        is_small = one.images is not None and (one.network is None or one.network.flop <= most_flop)
        if one.stage in (*STAGES, *PAGES) and is_small and possible.issuperset(one.after):
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
    whole = {dataset for dataset, *_ in known.config.joint()}
    found: dict[tuple[str, str, str], list[Jobs]] = defaultdict(list)
    for one in chosen:
        module = "baselines" if one.stage == "vectors" and not one.on_device else module_of(one.stage)
        found[module, one.stage, known.config.backbones[one.place[1]].model if one.network else ""].append(one)
    return {
        Group(
            module, tuple(_task(one, TOGETHER if whole & {*one.seen[:1]} else FEW) for one in of if stage in STAGES)
        ): of
        for (module, stage, _), of in found.items()
    }


def _task(one: Jobs, sizes: tuple[int, int]) -> Task:
    few, more = (min(size, round(one.images or size)) for size in sizes)
    return Task(one.stage, one.place, one.after, (few, more))


def _curves(of: Sequence[Jobs], timed: Timed, known: Known) -> Iterator[tuple[Jobs, Curve]]:
    """Of a process's jobs: all start with its imports, and with what the first paid for at the first use; on a
    processor, where jobs may be forks of a warm parent, at the least with neither.
    """
    points: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for number, images, seconds in timed.tasks:
        points[number].append((images, seconds))
    start = timed.imports_s or 0.0
    if len(points[0]) > 1:
        start += max(0.0, points[0][0][1] - points[0][1][1])
        del points[0][0]
    starts = (0.0, start) if known.config.device == "cpu" else (start,)
    for number, one in enumerate(of):
        method = known.config.methods[one.place[2]] if one.pairs else None
        times = getattr(method, "batches", 1) / tried_batches(method)
        for first in starts:
            took = [(images, first + seconds * times) for images, seconds in points[number]]
            if one.stage in PAGES and timed.imports_s is not None:
                took = [(0, first)]
            if took:
                yield one, Curve("measured", first, tuple(took))
