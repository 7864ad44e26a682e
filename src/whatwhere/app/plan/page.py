"""A plan as aligned text for a terminal of 120 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from whatwhere.app.plan.machine import CPU_UTILISATION, GPU_UTILISATION
from whatwhere.app.plan.passes import FEATURES
from whatwhere.app.plan.rows import Costly, Plan, total
from whatwhere.app.plan.units import bytes_words, count_words, flop_words, time_words

WIDTH = 120
INDENT = "  "
CPU = "CPU"
#: Widest cell of words; a longer one is cut.
CELL = 44


def page(plan: Plan) -> str:
    """Sections of what a run does, their totals, and in the last line whether it can start."""
    sections = [
        f"run {plan.run}, device {plan.device}: {plan.results}",
        _section("images", _images(plan)),
        _section("networks", _networks(plan)),
        _section("solvers, image by image", _solvers(plan)),
        _section("solvers, a data set at once", _joint(plan)),
        _section("on the processor beside", _beside(plan)),
        _section("time", _time(plan)),
        _section("disk", _disk(plan)),
        _section("downloads, made by the run", _downloads(plan)),
        _section("missing: yours to do", _missing(plan)),
        _section("empty cells", _bullets(plan.unknown)),
        _last_line(plan),
    ]
    return "\n\n".join(section for section in sections if section)


def _images(plan: Plan) -> str:
    rows = [[one.name, one.kind, count_words(one.images), one.state, ", ".join(one.views)] for one in plan.data]
    return _table(["data set", "kind", "images", "files", "views"], "llrll", rows)


def _networks(plan: Plan) -> str:
    rows = []
    for one in plan.forward:
        size = " × ".join(map(str, one.size)) if one.size else ""
        costs = [*_costs(one), bytes_words(one.store_bytes)]
        rows.append([one.dataset, one.backbone, one.purpose, size, count_words(one.passes), *costs])
    stored = total(one.store_bytes for one in plan.forward if one.purpose == FEATURES)
    sums = [count_words(total(one.passes for one in plan.forward)), *_sums(plan.forward)]
    rows.append(["total", "", "", "", *sums, bytes_words(stored)])
    heads = ["data set", "backbone", "for", "size, px", "passes", "work", plan.gpu, CPU, "features"]
    return _table(heads, "lllrrrrrr", rows)


def _solvers(plan: Plan) -> str:
    rows = [[one.dataset, one.backbone, *_costs(one), ", ".join(one.methods)] for one in plan.solve]
    if len(rows) > 1:
        rows.append(["total", "", *_sums(plan.solve), ""])
    return _table(["data set", "backbone", "work", plan.gpu, CPU, "methods"], "llrrrl", rows)


def _joint(plan: Plan) -> str:
    rows = [
        [one.dataset, one.backbone, one.method, one.kind, count_words(one.locations), *_costs(one)]
        for one in plan.joint
    ]
    if len(rows) > 1:
        rows.append(["total", "", "", "", "", *_sums(plan.joint)])
    heads = ["data set", "backbone", "method", "kind", "locations", "work", plan.gpu, CPU]
    return _table(heads, "llllrrrr", rows)


def _beside(plan: Plan) -> str:
    rows = [[one.what, count_words(one.images), time_words(one.cpu_s)] for one in plan.beside]
    return _table(["step", "images", CPU], "lrr", rows)


def _time(plan: Plan) -> str:
    sums = plan.totals
    partly = "    (of what is known: cells are empty)" if plan.unknown else ""
    head = f"{plan.gpu}: {time_words(sums['gpu_s'])}    {plan.cpu}: {time_words(sums['cpu_s'])}{partly}"
    words = (
        f"Estimates: operations and memory over {GPU_UTILISATION:.0%} of the GPU's published peaks, in float32 unless "
        f"the backbone says otherwise, and {CPU_UTILISATION:.0%} of what this processor was measured at just now; both "
        "with what runs on the processor beside. A processor searches more than "
        "200,000 locations by FAISS, approximately. Left out: reading and writing, Lanczos, sparse matrices, K-means "
        "over whole sets, names, scores, tables, figures."
    )
    return "\n".join([f"{INDENT}{head}", *_wrapped(words, INDENT)])


def _disk(plan: Plan) -> str:
    rows = [[one.name, bytes_words(one.kept_bytes), bytes_words(one.peak_bytes), one.note] for one in plan.stages]
    sums = plan.totals
    rows.append(["total", bytes_words(sums["kept_bytes"]), bytes_words(sums["peak_bytes"])])
    rows[-1].append(f"{bytes_words(plan.free_bytes)} free in {plan.results.rpartition('/')[0] or '.'}")
    return _table(["stage", "in the end", "needs room", ""], "lrrl", rows)


def _downloads(plan: Plan) -> str:
    rows = [[one.what, bytes_words(one.bytes), one.into, one.terms] for one in plan.downloads]
    if len(rows) > 1:
        rows.append(["total", bytes_words(plan.totals["download_bytes"]), "", ""])
    return _table(["what", "size", "into", "terms"], "lrll", rows)


def _missing(plan: Plan) -> str:
    return _bullets(f"{one.what}: {one.how}" for one in plan.missing)


def _last_line(plan: Plan) -> str:
    if plan.missing:
        return f"not ready, missing: {'; '.join(one.what for one in plan.missing)}"
    return "ready" + (f"; downloads {bytes_words(plan.totals['download_bytes'])} first" if plan.downloads else "")


def _costs(one: Costly) -> list[str]:
    return [flop_words(one.flop), time_words(one.gpu_s), time_words(one.cpu_s)]


def _sums(rows: Sequence[Costly]) -> list[str]:
    sums = [total(getattr(one, key) for one in rows) for key in ("flop", "gpu_s", "cpu_s")]
    return [flop_words(sums[0]), time_words(sums[1]), time_words(sums[2])]


def _section(title: str, body: str) -> str:
    return f"{title}\n{body}" if body else ""


def _table(heads: Sequence[str], sides: str, rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side, `l` or `r`; a last column of words goes on below where the line is full."""
    if not rows:
        return ""
    cells = [list(heads), *(list(row) for row in rows)]
    if sides[-1] == "r":
        cells = [[_cut(cell) for cell in row] for row in cells]
        return "\n".join(_line(row, sides, _widths(cells)).rstrip() for row in cells)
    fixed = _widths([[_cut(cell) for cell in row[:-1]] for row in cells])
    start = len(INDENT) + sum(fixed) + 2 * len(fixed)
    lines = []
    for row in cells:
        first, *more = textwrap.wrap(row[-1], max(20, WIDTH - start), break_on_hyphens=False) or [""]
        lines.append((_line([_cut(cell) for cell in row[:-1]], sides, fixed) + INDENT).ljust(start) + first)
        lines += [" " * start + line for line in more]
    return "\n".join(line.rstrip() for line in lines)


def _line(row: Sequence[str], sides: str, widths: Sequence[int]) -> str:
    cells = zip(row, sides, widths, strict=False)
    return INDENT + "  ".join(cell.rjust(width) if side == "r" else cell.ljust(width) for cell, side, width in cells)


def _widths(cells: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*cells, strict=True)]


def _cut(text: str) -> str:
    return text if len(text) <= CELL else f"{text[: CELL - 1]}…"


def _bullets(texts: Iterable[str]) -> str:
    return "\n".join(line for text in texts for line in _wrapped(text, f"{INDENT}- "))


def _wrapped(text: str, first: str) -> list[str]:
    rest = " " * len(first)
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
