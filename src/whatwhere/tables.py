"""Scores to tables: rows are data from the config, the paper's number beside ours, a reason for every gap."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from whatwhere.atomic import replacing
from whatwhere.evaluate.oracle import bootstrap_interval, mean_iou
from whatwhere.seeding import seed_for
from whatwhere.store import write_json

COLUMNS = ["Model", "Affinity source", "Mask", "Operator", "mIoU (paper)", "mIoU (ours)", "95 % interval"]
COLUMNS += ["Mean K", "Images", "Note"]


def write_table(
    csv: Path,
    scores: Sequence[str],
    *,
    table: dict[str, Any],
    methods: dict[str, dict[str, Any]],
    seed: int,
    resamples: int,
) -> None:
    """Table 1's form: `csv`, and beside it Markdown, LaTeX and a `.meta.json` with title and sources.

    `scores` are paths `…/{backbone}/{method}/{shard}.parquet`; `table` the table's rows and title. A row
    without a backbone keeps the paper's number and says why ours is missing.
    """
    counts = _by_run(scores)
    rows = [_row(row, counts, methods, seed, resamples) for row in table["rows"]]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    frame = frame.drop(columns=[c for c in ("Note", "Operator") if not frame[c].astype(bool).any()])
    notes = [
        f"Ours are on data set {table['dataset']}, the paper's as named under source: not the same images.",
        f"95 % interval: bootstrap over images, {resamples} resamples.",
    ]
    stem = csv.with_suffix("")
    _write(csv, frame.to_csv(index=False))
    _write(stem.with_suffix(".md"), _markdown(frame, table["title"], notes))
    _write(stem.with_suffix(".tex"), _latex(frame, table["title"], notes))
    write_json(stem.with_suffix(".meta.json"), {"title": table["title"], "source": table["source"], "notes": notes})


def _by_run(scores: Sequence[str]) -> dict[tuple[str, str], pd.DataFrame]:
    frames: dict[tuple[str, str], list[pd.DataFrame]] = {}
    for path in map(Path, scores):
        frames.setdefault((path.parts[-3], path.parts[-2]), []).append(pd.read_parquet(path))
    return {run: pd.concat(parts, ignore_index=True) for run, parts in frames.items()}


def _row(
    row: dict[str, Any],
    counts: dict[tuple[str, str], pd.DataFrame],
    methods: dict[str, dict[str, Any]],
    seed: int,
    resamples: int,
) -> dict[str, Any]:
    cells = {
        "Model": row["model"],
        "Affinity source": row["source"],
        "Mask": row["decoding"],
        "Operator": methods.get(row["method"], {}).get("operator", ""),
        "mIoU (paper)": "" if row["paper"] is None else f"{row['paper']:.2f}",
        "Note": row["reason"],
    }
    if not row["backbone"]:
        return cells
    found = counts[row["backbone"], row["method"]]
    if found.empty:
        return cells | {"Note": "the data set has no labels"}
    rng = np.random.default_rng(seed_for(seed, "bootstrap", row["backbone"], row["method"]))
    shared = bool(found.named.all())
    low, high = bootstrap_interval(found, shared_classes=shared, resamples=resamples, rng=rng)
    return cells | {
        "mIoU (ours)": f"{mean_iou(found, shared_classes=shared):.3f}",
        "95 % interval": f"{low:.3f}–{high:.3f}",
        "Mean K": f"{found.groupby('image').clusters.first().mean():.1f}",
        "Images": str(found.image.nunique()),
    }


def _markdown(frame: pd.DataFrame, title: str, notes: list[str]) -> str:
    filled = frame.fillna("").astype(str)
    rows: list[list[str]] = [list(filled.columns), ["---"] * len(filled.columns), *filled.to_numpy().tolist()]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"**{title}**", "", *lines, "", *notes, ""])


def _latex(frame: pd.DataFrame, title: str, notes: list[str]) -> str:
    filled = frame.fillna("").astype(str)
    body = [
        " & ".join(_escape(str(cell)) for cell in row) + r" \\" for row in [list(filled), *filled.to_numpy().tolist()]
    ]
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{_escape(' '.join([f'{title}.', *notes]))}}}",
            rf"\begin{{tabular}}{{{'l' * len(filled.columns)}}}",
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
    return text.replace("–", "--")


def _write(path: Path, text: str) -> None:
    with replacing(path) as partial:
        partial.write_text(text, "utf-8")
