"""A plan as aligned text for a terminal of 120 columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from whatwhere.app.plan.gpus import UTILISATION
from whatwhere.app.plan.jobs import Jobs, by_stage
from whatwhere.app.plan.known import Number, total
from whatwhere.app.plan.planning import Plan
from whatwhere.app.plan.renting import partly, rented
from whatwhere.artifacts.words import aligned, bytes_words, time_words, wrapped


def page(plan: Plan) -> str:
    """Sections of what a run does, their totals, and in the last line whether it can start."""
    data = [[name, kind, _count(images), state] for name, (kind, images, state) in plan.data.items()]
    downloads = [[one.what, bytes_words(one.bytes), one.into, one.terms] for one in plan.downloads]
    sections = {
        "images": _table(["data set", "kind", "images", "files"], "llrl", data),
        "networks": _table(["data set", "backbone", "for", "passes", "GFLOP"], "lllrr", _networks(plan)),
        "time": "\n".join([_table(["stage", "jobs", "at least", "at most", "by"], "lrrrl", _time(plan)), *_said(plan)]),
        "to rent": _table(["what", "at least", "at most", ""], "lrrl", _rent(plan)),
        "disk": _table(["stage", "in the end", "needs room", ""], "lrrl", _disk(plan)),
        "room for stages that are not kept": _bullets(f"{one.stage}: {one.note}" for one in plan.stored if one.note),
        "downloads, made by the run": _table(["what", "size", "into", "terms"], "lrll", downloads),
        "missing: yours to do": _bullets(f"{one.what}: {one.how}" for one in plan.missing),
        "unknown": _bullets(plan.unknown),
        "to know": _bullets(plan.cautions),
    }
    titled = [f"{title}\n{body}" for title, body in sections.items() if body]
    last = f"ready; downloads {bytes_words(plan.totals['download_bytes'])} first" if plan.downloads else "ready"
    if plan.missing:
        last = f"not ready, missing: {'; '.join(one.what for one in plan.missing)}"
    return "\n\n".join([f"run {plan.run}, device {plan.device}: {plan.results}", *titled, last])


def _rent(plan: Plan) -> list[list[str]]:
    """For a run that is larger than this machine, or on a GPU that is not here."""
    return [[one.what, one.low, one.high, one.note] for one in rented(plan)] if plan.supposed or plan.gpu else []


def _disk(plan: Plan) -> list[list[str]]:
    rows = [[one.stage, bytes_words(one.kept_bytes), bytes_words(one.peak_bytes), ""] for one in plan.stored]
    room, free = bytes_words(total(one.room for one in plan.downloads)), bytes_words(plan.free_bytes)
    rows += [["downloads", room, room, ""]] if plan.downloads else []
    sums = [bytes_words(plan.totals[key]) for key in ("kept_bytes", "peak_bytes")]
    return [*rows, ["total", *sums, f"{free} free in {plan.results.rpartition('/')[0] or '.'}"]]


def _networks(plan: Plan) -> list[list[str]]:
    run = [one for one in plan.jobs if one.stage == "features" or one.network]
    rows = [[*one.place[:2], (*one.place, "features")[2], _count(one.passes), _gflop(one.flop)] for one in run]
    return [*rows, ["total", "", "", _count(plan.totals["passes"]), _gflop(plan.totals["flop"])]]


def _time(plan: Plan) -> list[list[str]]:
    lines = [[stage, *_seconds(rows)] for stage, rows in by_stage(plan.jobs).items()]
    return [*lines, ["total", *_seconds(plan.jobs)[:3], ""]]


def _seconds(rows: Sequence[Jobs]) -> list[str]:
    """Jobs, time at least and at most, and by what that is known."""
    low, high = ([getattr(row, key) for row in rows] for key in ("low_s", "high_s"))
    times = ["", ""] if not any(low) else [time_words(total(low)), time_words(total(high))]
    return [_count(sum(row.jobs for row in rows)), *times, ", ".join(dict.fromkeys(row.source for row in rows))]


def _said(plan: Plan) -> list[str]:
    """What the times mean, in sentences."""
    low, high = plan.totals["low_s"], plan.totals["high_s"]
    said = ["No log tells how long jobs take, and nothing was measured."]
    if high:
        said = [
            f"Jobs one after the other, as their logs count: {_range(low, high)}{partly(plan.jobs)}; by the clock, on "
            f"{plan.cores} cores, at least {_range(low / plan.cores, high / plan.cores)}, beside what Snakemake takes "
            "to start them.",
            "Measured: a few images by the run's own stages, then in proportion (joint solves also with the square); "
            "of tables, figures and the report their imports alone.",
        ]
    if plan.gpu:
        rest = _seconds([row for row in plan.jobs if row.on_device and not row.network])
        here = _seconds([row for row in plan.jobs if not row.on_device])
        beside = (
            f"; the processor beside it {' to '.join(here[1:3])}, as here; solvers, texts and timings unknown "
            f"({' to '.join(rest[1:3])} here)"
        )
        said.append(
            f"On one {plan.gpu}: networks {time_words(plan.totals['gpu_s'])}, by their operations at "
            f"{UTILISATION:.0%} of its published peak{beside if high else ''}."
        )
    return ["", *(wrapped(text, "  ") for text in said)]


def _range(low: Number, high: Number) -> str:
    return " to ".join(dict.fromkeys((time_words(low), time_words(high))))


def _count(count: Number | None) -> str:
    return "" if count is None else f"{count:,.0f}"


def _gflop(flop: Number | None) -> str:
    return "" if flop is None else f"{flop / 1e9:,.1f}"


def _table(heads: Sequence[str], sides: str, rows: Sequence[Sequence[str]]) -> str:
    return aligned([heads, *rows], sides) if rows else ""


def _bullets(texts: Iterable[str]) -> str:
    return "\n".join(wrapped(text, "  - ") for text in texts)
