"""A plan as machines: hours of cores and of a GPU, a disk that all of them see, and what bounds their number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from whatwhere.app.plan.jobs import Jobs
from whatwhere.app.plan.known import Number, total
from whatwhere.app.plan.planning import Plan
from whatwhere.artifacts.atomic import replacing
from whatwhere.artifacts.clock import machine
from whatwhere.artifacts.words import bytes_words

#: Columns of what `write_plan` writes.
STAGES = ("stage", "jobs", "images", "core hours at least", "core hours at most", "on the disk", "known by")
RENT = ("what", "at least", "at most", "note")


@dataclass(frozen=True)
class Rent:
    """One thing that a run wants, from `low` to `high` in words, and what is to be known of it."""

    what: str
    low: str
    high: str
    note: str = ""


def rented(plan: Plan) -> list[Rent]:
    """What to rent: cores with the networks on them, or cores and a GPU for these; disk; and how far many cores help.

    Only what the plan knows is in it: empty where it knows no hours.
    """
    if not plan.totals["high_s"]:
        return []
    networks = [one for one in plan.jobs if one.network]
    rest = [one for one in plan.jobs if not one.network]
    found = [_hours("cores, the networks on them as well", plan.jobs, "one after the other, each job on one core")]
    if plan.gpu:
        passes = f"{total(one.passes for one in networks):,.0f} passes, by their operations"
        spent = hours_words(plan.totals["gpu_s"])
        found = [
            Rent(f"one {plan.gpu}", spent, spent, passes),
            _hours("cores beside it", rest, "what is not a network"),
            _hours("instead of the GPU, cores for the networks", networks, "one after the other"),
        ]
    longest = max(rest, key=lambda one: (one.high_s or 0) / one.jobs)
    found.append(_hours("the longest job", [longest], f"{longest.stage}, of {longest.jobs:,}", each=True))
    ends = [
        math.ceil(all_of / one)
        for all_of, one in zip(_span(plan.jobs), _span([longest], each=True), strict=True)
        if one
    ]
    if ends:
        found.append(
            Rent("cores that have work until it ends", f"{min(ends):,}", f"{max(ends):,}", "with more, most wait")
        )
    found.append(Rent("a core is one of", machine("cpu"), "", "this machine, where the hours were measured"))
    kept, peak = (bytes_words(plan.totals[key]) for key in ("kept_bytes", "peak_bytes"))
    return [*found, Rent("disk that all machines see", kept, peak, f"in {sum(one.jobs for one in plan.jobs):,} jobs")]


def write_plan(plan: Plan, folder: Path) -> None:
    """`stages.csv` (`STAGES`) and `rent.csv` (`RENT`) in a folder, for a page to show."""
    import pandas as pd

    by_stage: dict[str, list[Jobs]] = {}
    for one in plan.jobs:
        by_stage.setdefault(one.stage, []).append(one)
    room = {one.stage: bytes_words(one.peak_bytes) for one in plan.stored}
    stages = [
        (
            stage,
            f"{sum(one.jobs for one in jobs):,}",
            f"{total(one.images for one in jobs):,.0f}",
            *map(hours_words, _span(jobs)),
            room.get(stage, ""),
            ", ".join(dict.fromkeys(one.source for one in jobs)),
        )
        for stage, jobs in by_stage.items()
    ]
    rent = [(one.what, one.low, one.high, one.note) for one in rented(plan)]
    folder.mkdir(parents=True, exist_ok=True)
    for name, columns, rows in (("stages", STAGES, stages), ("rent", RENT, rent)):
        with replacing(folder / f"{name}.csv") as partial:
            pd.DataFrame(rows, columns=list(columns)).to_csv(partial, index=False)


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
    low, high = (hours_words(seconds) for seconds in _span(jobs, each))
    return Rent(what, low, high, note)
