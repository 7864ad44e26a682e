"""A plan as aligned text for a terminal of 120 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from whatwhere.app.plan.gpus import UTILISATION
from whatwhere.app.plan.known import Number, total
from whatwhere.app.plan.planning import Plan, Row
from whatwhere.artifacts.words import bytes_words, time_words

WIDTH = 120
INDENT = "  "
#: Widest cell of words; a longer one is cut.
CELL = 60


def page(plan: Plan) -> str:
    """Sections of what a run does, their totals, and in the last line whether it can start."""
    sums = plan.totals
    downloaded = [[one.what, _bytes(one.bytes), one.into, one.terms] for one in plan.downloads]
    sections = {
        "images": _table(["data set", "kind", "images", "files"], "llrl", _data(plan)),
        "networks": _table(["data set", "backbone", "for", "passes", "work", "writes"], "lllrrr", _networks(plan)),
        "time": _time(plan),
        "disk": _table(["stage", "in the end", "needs room", ""], "lrrl", _disk(plan)),
        "downloads, made by the run": _table(["what", "size", "into", "terms"], "lrll", downloaded),
        "missing: yours to do": _bullets(f"{one.what}: {one.how}" for one in plan.missing),
        "unknown": _bullets(plan.unknown),
    }
    titled = [f"{title}\n{body}" for title, body in sections.items() if body]
    last = f"ready; downloads {_bytes(sums['download_bytes'])} first" if plan.downloads else "ready"
    if plan.missing:
        last = f"not ready, missing: {'; '.join(one.what for one in plan.missing)}"
    return "\n\n".join([f"run {plan.run}, device {plan.device}: {plan.results}", *titled, last])


def _data(plan: Plan) -> list[list[str]]:
    return [[name, one.kind, _count(one.images), one.state] for name, one in plan.data.items()]


def _networks(plan: Plan) -> list[list[str]]:
    rows = [row for row in plan.rows if row.jobs.stage == "features" or row.jobs.passes]
    found = []
    for row in rows:
        dataset, backbone, *method = row.jobs.place
        work = [_count(row.jobs.passes), _flop(row.jobs.flop), _bytes(row.bytes)]
        found.append([dataset, backbone, *(method or ["features"]), *work])
    return [*found, ["total", "", "", _count(plan.totals["passes"]), _flop(plan.totals["flop"]), ""]]


def _time(plan: Plan) -> str:
    """Seconds by stage, and in sentences all together."""
    stages: dict[str, list[Row]] = {}
    for row in plan.rows:
        stages.setdefault(row.jobs.stage, []).append(row)
    rows = [[stage, _count(sum(row.jobs.jobs for row in of)), *_seconds(of)] for stage, of in stages.items()]
    rows.append(["total", _count(plan.totals["jobs"]), *_seconds(plan.rows)[:2], ""])
    heads = ["stage", "jobs", "at least", "at most", "by"]
    return "\n".join([_table(heads, "lrrrl", rows), "", *(_wrapped(text, INDENT) for text in _sentences(plan))])


def _sentences(plan: Plan) -> list[str]:
    low, high = plan.totals["low_s"], plan.totals["high_s"]
    partly = " of what is known" if any(row.cost is None for row in plan.rows) else ""
    said = [
        f"Jobs one after the other, as their logs count: {_range(low, high)}{partly}; on the {plan.cores} cores here by "
        f"the clock at least {_range(low / plan.cores, high / plan.cores)}. Left out: downloads, and what Snakemake and "
        "Python take to start a job.",
        "Measured: a few images by the run's own stages, each job's start once and the rest in proportion; joint solves "
        "by a part in proportion to the images and one to their square; tables and figures: their imports alone.",
    ]
    if plan.gpu:
        rest = [row for row in plan.rows if not row.jobs.on_device]
        other = [row.cost for row in plan.rows if row.jobs.on_device and not row.jobs.flop and row.cost]
        there = f"(here {_range(total(one.low_s for one in other), total(one.high_s for one in other))})"
        said.append(
            f"On one {plan.gpu}: networks {time_words(plan.totals['gpu_forward_s'])}, by their operations at "
            f"{UTILISATION:.0%} of its published peak; on the processor beside, as here, {' to '.join(_seconds(rest)[:2])}; "
            f"solvers, texts and timings: unknown {there}."
        )
    return said


def _seconds(rows: Sequence[Row]) -> list[str]:
    """At least, at most, and by what."""
    costs = [row.cost for row in rows if row.cost]
    unknown = sum(row.jobs.jobs for row in rows if not row.cost)
    sources = list(dict.fromkeys(one.source for one in costs)) + [f"{unknown} unknown"] * bool(unknown)
    sums = [total(one.low_s for one in costs), total(one.high_s for one in costs)] if costs else []
    return [*(map(time_words, sums) if costs else ("", "")), ", ".join(sources)]


def _disk(plan: Plan) -> list[list[str]]:
    rows = [[one.stage, _bytes(one.kept_bytes), _bytes(one.peak_bytes), one.note] for one in plan.stored]
    rooms = _bytes(total(one.room for one in plan.downloads))
    rows += [["downloads", rooms, rooms, ""]] if plan.downloads else []
    free = f"{_bytes(plan.free_bytes)} free in {plan.results.rpartition('/')[0] or '.'}"
    return [*rows, ["total", _bytes(plan.totals["kept_bytes"]), _bytes(plan.totals["peak_bytes"]), free]]


def _range(low: Number, high: Number) -> str:
    words = list(dict.fromkeys((time_words(low), time_words(high))))
    return " to ".join(words)


def _count(count: Number | None) -> str:
    return "" if count is None else f"{count:,.0f}"


def _bytes(size: Number | None) -> str:
    return "" if size is None else bytes_words(size)


def _flop(flop: Number | None) -> str:
    return "" if flop is None else f"{flop / 1e12:,.3g} TFLOP"


def _table(heads: Sequence[str], sides: str, rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side, `l` or `r`; nothing without rows."""
    cells = [[textwrap.shorten(cell, CELL, placeholder=" …") for cell in row] for row in (heads, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        INDENT.join(
            cell.rjust(width) if side == "r" else cell.ljust(width)
            for cell, side, width in zip(row, sides, widths, strict=True)
        )
        for row in cells
    ]
    return "\n".join(f"{INDENT}{line}".rstrip() for line in lines) if rows else ""


def _bullets(texts: Iterable[str]) -> str:
    return "\n".join(_wrapped(text, f"{INDENT}- ") for text in texts)


def _wrapped(text: str, first: str) -> str:
    rest = " " * len(first)
    return textwrap.fill(
        text, WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
