"""Scores to tables: rows are data from the config, the paper's number beside ours, a reason for every gap."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from whatwhere.atomic import replacing
from whatwhere.store import write_json

Cells = dict[str, str]


def write_table(
    csv: Path,
    table: dict[str, Any],
    ours: Sequence[Cells],
    columns: Sequence[str],
    *,
    paper: str,
    paper_format: str,
    notes: Sequence[str],
) -> None:
    """`csv`, and beside it Markdown, LaTeX and a `.meta.json` with title, source and notes.

    `table` has `title`, `source`, `columns` (of the rows' names) and `rows`; `ours` the cells that were computed
    for each row, under the names in `columns`. `paper` heads the column of the paper's numbers, written as
    `paper_format` says; where a row has several, by the name of each, each has a column, with that name first.
    A column that would be empty is left out.
    """
    known = [_of_paper(row["paper"], paper, paper_format) for row in table["rows"]]
    rows = [
        _row(row, table["columns"], theirs, cells)
        for row, theirs, cells in zip(table["rows"], known, ours, strict=True)
    ]
    papers = dict.fromkeys(name for cells in known for name in cells)
    frame = pd.DataFrame(rows, columns=[*table["columns"], *papers, *columns, "Note"], dtype=object).fillna("")
    frame = frame.drop(columns=[c for c in frame if c not in table["columns"] and not frame[c].astype(bool).any()])
    _write(csv, frame.to_csv(index=False))
    _write(csv.with_suffix(".md"), _markdown(frame, table["title"], notes))
    _write(csv.with_suffix(".tex"), _latex(frame, table["title"], notes))
    described = {"title": table["title"], "source": table["source"], "notes": list(notes)}
    write_json(csv.with_suffix(".meta.json"), described)


def computed_on(table: dict[str, Any], row: dict[str, Any]) -> Sequence[str]:
    """The data sets that a row is computed on; none for a row of the paper alone."""
    return (row["datasets"] or table["datasets"]) if row["backbone"] else ()


def merged(cells: Cells, more: Cells) -> Cells:
    """A row's cells on several data sets; what is noted of each of them stays."""
    notes = [part["Note"] for part in (cells, more) if "Note" in part]
    return {**cells, **more, **({"Note": "; ".join(notes)} if notes else {})}


def _row(row: dict[str, Any], names: Sequence[str], paper: Cells, cells: Cells) -> Cells:
    named = dict(zip(names, row["labels"], strict=True))
    note = f"reported: {row['reported']}" if row["reported"] else row["reason"]
    return {**named, **paper, "Note": note, **cells}


def _of_paper(known: Any, heading: str, paper_format: str) -> Cells:
    """The paper's cells of a row: one number under the heading, or several, each with its own name before it."""
    numbers = known if isinstance(known, dict) else {} if known is None else {"": known}
    return {f"{name} {heading}".strip(): format(number, paper_format) for name, number in numbers.items()}


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
    return text.replace("–", "--").replace("×", r"$\times$")


def _write(path: Path, text: str) -> None:
    with replacing(path) as partial:
        partial.write_text(text, "utf-8")
