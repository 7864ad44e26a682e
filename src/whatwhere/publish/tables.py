"""Scores to tables: rows are data from the config, the paper's number beside ours, a reason for every gap."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from whatwhere.artifacts.atomic import replacing
from whatwhere.artifacts.store import write_json
from whatwhere.evaluate.resampling import interval, value_of

Cells = dict[str, str]
#: Ends the heading of a number of the paper; in the heading of a difference, `LESS_PAPER` stands in its place.
OF_PAPER, LESS_PAPER = "(paper)", "(ours − paper)"
MODEL_OF_PAPER = "Paper's model"
OF_DIFFERENCES = (
    f"{LESS_PAPER[1:-1].capitalize()}: in the paper's digits; between what the source names and what ours are on, and "
    f'between models where one is named under "{MODEL_OF_PAPER}".'
)
#: End the headings of the CSV file's last columns, ours as plain numbers: the value and the ends of its interval.
AS_NUMBERS = (" [value]", " [low]", " [high]")
#: What LaTeX has a command for.
SIGNS = {"–": "--", "−": "$-$", "×": r"$\times$", "±": r"$\pm$"}


class Number(NamedTuple):
    """A number of ours, and the ends of its 95 % interval where it has one."""

    value: float
    low: float | None = None
    high: float | None = None
    draws: np.ndarray | None = None
    """What it came to on each draw of images (`evaluate.resampling`)."""

    @classmethod
    def of(cls, draws: np.ndarray) -> Number:
        """The number that was drawn so."""
        return cls(value_of(draws), *interval(draws), draws)

    @property
    def ends(self) -> tuple[float, float | None, float | None]:
        """Value, low and high."""
        return self.value, self.low, self.high


#: What was computed for a row: data set -> quantity (`mIoU`, `seconds` ...) -> number; a data set that gave none is {}.
Numbers = Mapping[str, Mapping[str, Number]]


def write_table(
    csv: Path,
    table: dict[str, Any],
    ours: Sequence[Cells],
    columns: Sequence[str],
    *,
    paper: str,
    paper_format: str,
    notes: Sequence[str],
    numbers: Sequence[Numbers] = (),
    against: Mapping[str, str] | None = None,
    beside: Mapping[str, str] | None = None,
) -> None:
    """`csv`, and beside it Markdown, LaTeX and a `.meta.json` with title, source, notes and `numbers`.

    `table` has `title`, `source`, `columns` (of the rows' names), `datasets` and `rows`; `ours` the cells that were
    computed for each row, under the names in `columns`. `paper`, which ends in "(paper)", heads the column of the
    paper's numbers, written as `paper_format` says; where a row has several, by the name of each, each has a column,
    with that name first. A column that would be empty is left out.

    `numbers` are each row's own, at full precision: `.meta.json` has them as `rows`, an entry for each row and data
    set, and `.draws.parquet` what they came to on each draw of images; to six digits the CSV file alone has them as
    last columns, `mIoU [value]`, `mIoU [low]`, `mIoU [high]`.
    `against` says which quantity of ours each of the paper's names stands against ("" is that of a single number);
    where a row has both, a column with ours less the paper's follows the paper's. A name may begin with one of the
    paper's data sets, as `table["compared"]` has them; one that does not is held against the first of those of ours,
    or the table's first data set. The paper's columns come first, but for those that stand `beside` (by name) one
    of `columns`.
    """
    rows, numbers = table["rows"], numbers or [{}] * len(table["rows"])
    known = [_of_paper(row["paper"], paper, paper_format) for row in rows]
    lines = [
        {**_row(row, table["columns"], theirs, cells), **_differences(row, theirs, found, table, against or {}, paper)}
        for row, theirs, cells, found in zip(rows, known, ours, numbers, strict=True)
    ]
    headings = dict.fromkeys(name for cells in known for name in cells)
    placed = {f"{name} {paper}": column for name, column in (beside or {}).items() if column in columns}
    front = [name for name in headings if name not in placed]
    pairs = {column: [name for name in headings if placed.get(name) == column] for column in columns}
    names = [
        *(*table["columns"], MODEL_OF_PAPER, *_with_differences(front)),
        *(name for column in columns for name in (column, *_with_differences(pairs[column]))),
        "Note",
    ]
    frame = pd.DataFrame(lines, columns=names, dtype=object).fillna("")
    frame = frame.drop(columns=[c for c in frame if c not in table["columns"] and not frame[c].astype(bool).any()])
    notes = [*notes, *([OF_DIFFERENCES] if any(LESS_PAPER in str(name) for name in frame) else [])]
    _write(csv, pd.concat([frame, _as_numbers(table, numbers)], axis=1).to_csv(index=False))
    _write(csv.with_suffix(".md"), _markdown(frame, table["title"], notes))
    _write(csv.with_suffix(".tex"), _latex(frame, table["title"], notes))
    described = {"title": table["title"], "source": table["source"], "notes": notes}
    write_json(csv.with_suffix(".meta.json"), described | {"rows": _described(rows, numbers)})
    write_draws(csv.with_suffix(".draws.parquet"), numbers)


def write_draws(path: Path, numbers: Sequence[Numbers]) -> None:
    """Every draw of every number, a column for each: `entry/draw/quantity`, the entry being that of `rows`."""
    entries = [quantities for found in numbers for quantities in found.values()]
    columns = {
        f"{entry}/{draw}/{quantity}": scores.astype(np.float32)
        for entry, quantities in enumerate(entries)
        for quantity, number in quantities.items()
        if number.draws is not None and math.isfinite(number.value)
        for draw, scores in enumerate(number.draws)
    }
    with replacing(path) as partial:
        pd.DataFrame(columns).to_parquet(partial, index=False)


def read_draws(path: Path) -> dict[int, dict[str, np.ndarray]]:
    """What `write_draws` wrote: of each entry its quantities' draws; nothing where there is no such file."""
    if not path.is_file():
        return {}
    found: dict[int, dict[str, list[np.ndarray]]] = {}
    for name, scores in pd.read_parquet(path).items():
        entry, _, quantity = str(name).split("/", 2)
        found.setdefault(int(entry), {}).setdefault(quantity, []).append(scores.to_numpy(float))
    return {e: {name: np.stack(rows) for name, rows in quantities.items()} for e, quantities in found.items()}


def is_number(heading: str) -> bool:
    """Whether a column of a CSV file repeats what others show as words."""
    return heading.endswith(AS_NUMBERS)


def _as_numbers(table: dict[str, Any], numbers: Sequence[Numbers]) -> pd.DataFrame:
    """Every number of ours in columns of its own; none for an end that no row has."""
    cells = [
        {
            f"{quantity}{on_dataset(table, dataset)}{part}": f"{end:.6g}"
            for dataset, quantities in found.items()
            for quantity, number in quantities.items()
            for part, end in zip(AS_NUMBERS, number.ends, strict=True)
            if end is not None and math.isfinite(end)
        }
        for found in numbers
    ]
    return pd.DataFrame(cells, index=range(len(cells)), dtype=object).fillna("")


def computed_on(table: dict[str, Any], row: dict[str, Any]) -> Sequence[str]:
    """The data sets that a row is computed on; none for a row of the paper alone."""
    return (row["datasets"] or table["datasets"]) if row["backbone"] else ()


def on_dataset(table: dict[str, Any], dataset: str) -> str:
    """What a heading ends in: `, dataset` where the table has several, nothing where it has one."""
    return f", {dataset}" if len(table["datasets"]) > 1 else ""


def merged(cells: Cells, more: Cells) -> Cells:
    """A row's cells on several data sets; what is noted of each of them stays."""
    notes = [part["Note"] for part in (cells, more) if "Note" in part]
    return {**cells, **more, **({"Note": "; ".join(notes)} if notes else {})}


def _row(row: dict[str, Any], names: Sequence[str], paper: Cells, cells: Cells) -> Cells:
    named = dict(zip(names, row["labels"], strict=True))
    note = f"reported: {row['reported']}" if row["reported"] else row["reason"]
    return {**named, MODEL_OF_PAPER: row.get("of", ""), **paper, "Note": note, **cells}


def _of_paper(known: Any, heading: str, paper_format: str) -> Cells:
    """The paper's cells of a row: one number under the heading, or several, each with its own name before it."""
    return {f"{name} {heading}".strip(): _shown(name, number, paper_format) for name, number in _by_name(known).items()}


def _shown(name: str, number: int | float, paper_format: str) -> str:
    return f"{number:.0f}" if name.startswith("#") else format(number, paper_format)  # "#…" counts something


def _by_name(known: Any) -> dict[str, int | float]:
    return known if isinstance(known, dict) else {} if known is None else {"": known}


def _with_differences(headings: Sequence[str]) -> list[str]:
    return [column for name in headings for column in (name, _less(name))]


def _less(heading: str) -> str:
    return heading.replace(OF_PAPER, LESS_PAPER)


def _differences(
    row: dict[str, Any], paper: Cells, ours: Numbers, table: dict[str, Any], against: Mapping[str, str], heading: str
) -> Cells:
    """Ours less the paper's, with as many digits as `paper` shows, for what a row has both of."""
    cells = {}
    for name, number in _by_name(row["paper"]).items():
        dataset, quantity = _held_against(name, table, against)
        found = ours.get(dataset, {}).get(quantity or "")
        shown = f"{name} {heading}".strip()
        if found is not None and math.isfinite(found.value):
            cells[_less(shown)] = _signed(found.value - number, len(paper[shown].partition(".")[2]))
    return cells


def _held_against(name: str, table: dict[str, Any], against: Mapping[str, str]) -> tuple[str, str | None]:
    """The data set and the quantity of ours that a number of the paper's stands against."""
    compared: dict[str, str] = table.get("compared") or {}
    first = next(iter(compared.values()), table["datasets"][0])
    begins = max((theirs for theirs in compared if f"{name} ".startswith(f"{theirs} ")), key=len, default="")
    return compared.get(begins, first), against.get(name.removeprefix(begins).strip())


def _signed(difference: int | float, digits: int) -> str:
    text = f"{difference:+.{digits}f}"
    return text.replace("-", "−") if float(text) else f"±{0:.{digits}f}"


def _described(rows: Sequence[dict[str, Any]], numbers: Sequence[Numbers]) -> list[dict[str, Any]]:
    """For programs: an entry for each row and data set, numbers as [value, low, high]; no number that is not finite."""
    return [
        {
            **{key: row.get(key) for key in ("labels", "backbone", "method", "naming")},
            "chosen": bool(row.get("among")),
            "crf": bool(row.get("crf")),
            "dataset": dataset,
            "numbers": {
                quantity: [_finite(end) for end in number.ends]
                for quantity, number in quantities.items()
                if math.isfinite(number.value)
            },
        }
        for row, found in zip(rows, numbers, strict=True)
        for dataset, quantities in found.items()
    ]


def _finite(end: float | None) -> float | None:
    return None if end is None or not math.isfinite(end) else float(end)


def _markdown(frame: pd.DataFrame, title: str, notes: Sequence[str]) -> str:
    rows: list[list[str]] = [list(frame.columns), ["---"] * len(frame.columns), *frame.astype(str).to_numpy().tolist()]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"**{title}**", "", *lines, "", *notes, ""])


def _latex(frame: pd.DataFrame, title: str, notes: Sequence[str]) -> str:
    lines = [list(frame), *frame.astype(str).to_numpy().tolist()]
    body = [" & ".join(_escape(str(cell)) for cell in row) + r" \\" for row in lines]
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{_escape(' '.join([f'{title}.', *notes]))}}}",
            rf"\begin{{tabular}}{{{'l' * len(frame.columns)}}}",
            r"\toprule",
            body[0],
            r"\midrule",
            *body[1:],
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _escape(text: str) -> str:
    for sign in "&%_#$":
        text = text.replace(sign, f"\\{sign}")
    for sign, command in SIGNS.items():
        text = text.replace(sign, command)
    return text


def _write(path: Path, text: str) -> None:
    with replacing(path) as partial:
        partial.write_text(text, "utf-8")
