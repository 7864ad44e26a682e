"""What jobs took, and from it what others will: by the logs of earlier runs where there are any."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whatwhere.app.plan.jobs import Jobs, together
from whatwhere.config import Config
from whatwhere.stages.earlier import made_alike, took


@dataclass(frozen=True)
class Curve:
    """(Images, seconds) of jobs of one kind, each of which spent `start_s` before its first image; and whence."""

    source: str
    start_s: float
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Cost:
    """Seconds of a clock that jobs take one after the other, at least and at most; and whence."""

    low_s: float
    high_s: float
    source: str


#: By `Jobs.key`.
Curves = Mapping[tuple[Any, ...], Sequence[Curve]]


def cost(one: Jobs, curves: Curves) -> Cost | None:
    """What jobs will take, by all that is known of their kind; where a network was not run, by its operations at the
    rates of those that were. None where nothing is known.
    """
    found = [(curve.source, seconds) for curve in curves.get(one.key, ()) for seconds in _estimates(one, curve)]
    if not found and one.stage == "features" and one.flop:
        found = [("by operations", one.jobs * curve.start_s + one.flop * pace) for curve, pace in _paces(curves)]
    if not found:
        return None
    seconds = [seconds for _, seconds in found]
    return Cost(min(seconds), max(seconds), ", ".join(dict.fromkeys(source for source, _ in found)))


def _estimates(one: Jobs, curve: Curve) -> list[float]:
    """The sum of the very jobs, if they are those; else by the largest handful alone, and with a smaller one.

    Seconds beside the start grow in a straight line; those of a joint solve with the square of its images as well,
    which by one size alone may be none of it or all.
    """
    counts = [images for images, _ in curve.points]
    if not one.images or (len(counts) == one.jobs and abs(sum(counts) - one.jobs * one.at_once) < 0.5):
        return [one.jobs * sum(seconds for _, seconds in curve.points) / len(counts)]
    few, more = min(counts), max(counts)
    by_size = {n: [max(0.0, s - curve.start_s) for m, s in curve.points if m == n] for n in (few, more)}
    pairs = [(low, high) for low in by_size[few] for high in by_size[more]] if few < more else []
    share, found = one.at_once / more, []
    if not one.pairs or not pairs:
        found = [high * share**power for high in by_size[more] for power in ((1, 2) if one.pairs else (1,))]
    for low, high in pairs:
        if one.pairs:  # seconds an image = a + b images
            b = min(max(0.0, high / more - low / few) / (more - few), high / more**2)
            found.append((high / more + b * (one.at_once - more)) * one.at_once)
        else:
            b = min(max(0.0, high - low) / (more - few), high / more)
            found.append(max(0.0, high + b * (one.at_once - more)))
    return [one.jobs * (curve.start_s + seconds) for seconds in found]


def _paces(curves: Curves) -> Iterator[tuple[Curve, float]]:
    """Seconds of an operation in every network that was run."""
    for key, known in curves.items():
        for curve in known if key[0] == "features" and hasattr(key[1], "flop") else ():
            images, seconds = max(curve.points)
            yield curve, max(0.0, seconds - curve.start_s) / (images * key[1].flop)


def logged(jobs: Sequence[Jobs], config: Config, results: Path) -> dict[tuple[Any, ...], list[Curve]]:
    """What the logs under `results` say of these jobs: the run's own, else those of other runs with jobs of the same
    names, settings and inputs. ASSUME: the quickest job of a stage did little but start.
    """
    runs = sorted((path.parent for path in results.glob("*/logs")), key=lambda run: run.name == config.run)
    found = {one: (run, points) for run in runs for one, points in _of_run(run, jobs, config)}  # its own come last
    curves: dict[tuple[Any, ...], list[Curve]] = defaultdict(list)
    for one, (run, points) in found.items():
        started = [s for other, (where, of) in found.items() if (other.stage, where) == (one.stage, run) for _, s in of]
        curves[one.key].append(Curve(f"logs of {run.name}", min(started), points))
    return curves


def _of_run(run: Path, jobs: Sequence[Jobs], config: Config) -> Iterator[tuple[Jobs, tuple[tuple[float, float], ...]]]:
    alike: dict[Any, bool] = {}
    for one in jobs:  # each after what it reads
        same = made_alike(run, one.stage, one.place, config)
        alike[one.stage, one.place] = same and all(alike.get(before, True) for before in one.after)
        if alike[one.stage, one.place]:
            points = took(run, one.stage, one.place, one.seen)
            if one.pairs:
                points = [(together(config.methods[one.place[2]], images), seconds) for images, seconds in points]
            if points:
                yield one, tuple(points)
