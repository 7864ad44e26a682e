"""A plan as machines: hours of cores and of a GPU, a disk that all of them see, and what bounds their number."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from whatwhere.app.plan.jobs import Jobs, by_stage
from whatwhere.app.plan.known import Number, total
from whatwhere.app.plan.planning import Plan
from whatwhere.artifacts.atomic import replacing
from whatwhere.artifacts.clock import machine
from whatwhere.artifacts.words import bytes_words
from whatwhere.stages.task import At

#: Columns of what `write_plan` writes.
STAGES = ("stage", "jobs", "images", "core hours at least", "core hours at most", "on the disk", "known by")
RENT = ("what", "at least", "at most", "note")
#: Said of a sum that leaves something out.
KNOWN_ONLY = " (of what is known)"


@dataclass(frozen=True)
class Rent:
    """One thing that a run wants, from `low` to `high` in words, and what is to be known of it."""

    what: str
    low: str
    high: str
    note: str = ""


def rented(plan: Plan) -> list[Rent]:
    """What to rent: cores with the networks on them, or cores and a GPU for these; disk; and the shortest time.

    Only what the plan knows is in it: empty where it knows no hours.
    """
    if not plan.totals["high_s"]:
        return []
    networks = [one for one in plan.jobs if one.network]
    rest = [one for one in plan.jobs if not one.network]
    found = [_hours("cores, the networks on them as well", plan.jobs, "one after the other, each job on one core")]
    if plan.gpu:
        passes = f"{total(one.passes for one in networks):,.0f} passes, by their operations"
        passes += KNOWN_ONLY if plan.unknown else ""
        spent = hours_words(plan.totals["gpu_s"])
        found = [
            Rent(f"one {plan.gpu}", spent, spent, passes),
            _hours("cores beside it", rest, "what is not a network"),
            _hours("instead of the GPU, cores for the networks", networks, "one after the other"),
        ]
    if known := [one for one in (rest if plan.gpu else plan.jobs) if one.high_s is not None]:
        longest = max(known, key=lambda one: (one.high_s or 0) / one.jobs)
        found.append(_hours("the longest job", [longest], f"{longest.stage}, of {longest.jobs:,}", each=True))
    waits = f"each waits for what it reads{partly(plan.jobs)}"
    low, high = map(hours_words, _shortest(plan))
    found += [Rent("shortest time, with any number of cores", low, high, waits), _core(plan.jobs)]
    kept, peak = (bytes_words(plan.totals[key]) for key in ("kept_bytes", "peak_bytes"))
    return [*found, Rent("disk that all machines see", kept, peak, f"in {sum(one.jobs for one in plan.jobs):,} jobs")]


def write_plan(plan: Plan, folder: Path) -> None:
    """`stages.csv` (`STAGES`) and `rent.csv` (`RENT`) in a folder, for a page to show."""
    import pandas as pd

    room = {one.stage: bytes_words(one.peak_bytes) for one in plan.stored}
    stages = [
        (
            stage,
            f"{sum(one.jobs for one in jobs):,}",
            f"{total(one.images for one in jobs):,.0f}",
            *_ends(jobs),
            room.get(stage, ""),
            ", ".join(dict.fromkeys(one.source for one in jobs)),
        )
        for stage, jobs in by_stage(plan.jobs).items()
    ]
    rent = [(one.what, one.low, one.high, one.note) for one in rented(plan)]
    folder.mkdir(parents=True, exist_ok=True)
    for name, columns, rows in (("stages", STAGES, stages), ("rent", RENT, rent)):
        with replacing(folder / f"{name}.csv") as partial:
            pd.DataFrame(rows, columns=list(columns)).to_csv(partial, index=False)


def partly(jobs: Iterable[Jobs]) -> str:
    """`KNOWN_ONLY`, where nobody knows what some of them take."""
    return KNOWN_ONLY if any(one.low_s is None for one in jobs) else ""


def hours_words(seconds: Number) -> str:
    """Hours to two digits: `0.0038 h`, `1.3 h`, `1,300 h`."""
    hours = seconds / 3600
    digits = 1 - math.floor(math.log10(hours)) if hours else 0
    return f"{round(hours, digits):,.{max(0, digits)}f} h"


def _span(jobs: Sequence[Jobs], each: bool = False) -> tuple[Number, Number]:
    """Least and most seconds of jobs together, or of `each` of them."""
    low, high = (
        total((getattr(one, key) or 0) / (one.jobs if each else 1) for one in jobs) for key in ("low_s", "high_s")
    )
    return low, high


def _hours(what: str, jobs: Sequence[Jobs], note: str, each: bool = False) -> Rent:
    return Rent(what, *_ends(jobs, each), note + partly(jobs))


def _ends(jobs: Sequence[Jobs], each: bool = False) -> tuple[str, str]:
    """Hours at least and at most, of jobs or of `each`; nothing where of none of them any are known."""
    if all(one.high_s is None for one in jobs):
        return "", ""
    low, high = _span(jobs, each)
    return hours_words(low), hours_words(high)


def _shortest(plan: Plan) -> tuple[Number, Number]:
    """Least and most seconds until all has ended, with a core for every job, of which each waits for what it reads.

    A network on a GPU counts as nothing.
    """
    ends: dict[At, tuple[Number, Number]] = {}
    for one in plan.jobs:  # each after what it reads
        before = [(0.0, 0.0), *(ends[at] for at in one.after if at in ends)]
        low, high = (0, 0) if plan.gpu and one.network else _span([one], each=True)
        ends[one.stage, one.place] = (max(end for end, _ in before) + low, max(end for _, end in before) + high)
    return max(low for low, _ in ends.values()), max(high for _, high in ends.values())


def _core(jobs: Sequence[Jobs]) -> Rent:
    """What an hour is one of: of this machine where it was measured, else of the machines whose logs tell it."""
    from_logs = {"logs of" in one.source for one in jobs if one.high_s is not None}
    if from_logs == {True}:
        return Rent("a core is one of", "", "", "the machines that the logs are of")
    where = (
        "this machine, or those that logs are of"
        if True in from_logs
        else "this machine, where the hours were measured"
    )
    return Rent("a core is one of", machine("cpu"), "", where)
