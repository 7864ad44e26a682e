"""Counts and errors of a whole data set -> the cells of Tables 3, 4 and 5."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from whatwhere.evaluate.matching import accuracy, bootstrap_interval, greedy, hungarian, mean_iou, stacked_counts
from whatwhere.evaluate.position import chance
from whatwhere.seeding import seed_for
from whatwhere.store import read_json
from whatwhere.tables import Cells, computed_on, merged, write_table

MATCHINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"Greedy": greedy, "Hungarian": hungarian}
#: Columns of Table 5 for X as it is, and for its rows at unit length.
ERROR, UNIT_ERROR = "MSE", "MSE, unit rows"
#: Of a results folder: data set, backbone, method.
Run = tuple[str, str, str]


def write_matching_table(
    csv: Path, given: Mapping[str, Sequence[str]], *, table: dict[str, Any], seed: int, resamples: int, unit_rows: bool
) -> None:
    """Tables 3 and 4: mIoU and pixel accuracy, in per cent, after clusters are matched to classes over the whole set.

    `given` are the counts of segments (`matching`) and of refined ones (`refined`), paths
    `…/{dataset}/{backbone}/{method}.parquet`; `unit_rows` is whether rows of X were brought to unit length for K-means.
    """
    counts = {kind: _by_run(given.get(kind, ())) for kind in ("matching", "refined")}
    ours = []
    for row in table["rows"]:
        cells: Cells = {}
        for dataset in computed_on(table, row):
            found = counts["refined" if row["crf"] else "matching"][dataset, row["backbone"], row["method"]]
            what = pd.read_parquet(found)
            what = what[what.target == "what"]
            cells = merged(cells, _matched(what, _on(table, dataset), row, seed, resamples))
        ours.append(cells)
    names = [name for dataset in table["datasets"] for name in _names(_on(table, dataset))]
    notes = [
        f"Per cent. Ours are on {', '.join(table['datasets'])}; the paper's are on what its columns name.",
        "As many clusters as classes over the whole data set. " + _how(unit_rows),
        "The paper's column for its own rows in Table 3 is of greedy matching.",
        f"95 % interval: bootstrap over images, {resamples} resamples; the clusters and their classes stay.",
    ]
    write_table(csv, table, ours, names, paper="(paper)", paper_format="", notes=notes)


def write_position_table(
    csv: Path, given: Mapping[str, Sequence[str]], *, table: dict[str, Any], seed: int, resamples: int, unit_rows: bool
) -> None:
    """Table 5: error of coordinate regression, and mIoU of spatial semantic segmentation in per cent.

    `given` are `coordinates` (JSON) and `matching` (Parquet), paths `…/{dataset}/{backbone}/{method}.*`; `unit_rows` is
    whether rows of X were brought to unit length for K-means.
    """
    errors, counts = _by_run(given["coordinates"]), _by_run(given.get("matching", ()))
    ours = []
    for row in table["rows"]:
        cells: Cells = {}
        for dataset in computed_on(table, row):
            run, on = (dataset, row["backbone"], row["method"]), _on(table, dataset)
            error = read_json(Path(errors[run]))
            cells |= _errors(error, ERROR, on)
            if "unit" in error:  # true labels have no rows of X
                cells |= _errors(error["unit"], UNIT_ERROR, on)
            if run in counts:
                where = pd.read_parquet(counts[run])
                where = where[where.target == "where"]
                cells = merged(cells, _matched(where, on, row, seed, resamples))
        ours.append(cells)
    names = []
    for on in (_on(table, dataset) for dataset in table["datasets"]):
        names += [name for kind in (ERROR, UNIT_ERROR) for name in (f"{kind}{on}", f"{kind}, 95 % interval{on}")]
        names += _names(on)
    notes = [
        f"MSE in units of a 32 × 32 grid, both coordinates; {chance():.2f} is chance. As in the paper of X as it is; "
        "unit rows: of rows of X scaled to length 1 first, as in spectral clustering after Ng, Jordan and Weiss.",
        "mIoU in per cent, of the left and right regions of each class, with twice as many clusters as classes. "
        + _how(unit_rows),
        f"Ours are on {', '.join(table['datasets'])}; the paper's are on COCO-Stuff.",
        f"95 % intervals: bootstrap over images, {resamples} resamples; the regression, the clusters and their classes "
        "stay.",
    ]
    write_table(csv, table, ours, names, paper="(paper)", paper_format="", notes=notes)


def _how(unit_rows: bool) -> str:
    """How clusters are found and matched."""
    rows = (
        "Rows of X are brought to unit length before K-means, but coordinates are not."
        if unit_rows
        else "Rows of X are not brought to unit length before K-means."
    )
    matched = "Greedy: every cluster to its commonest class; Hungarian: one to one. Accuracy is of Hungarian matching."
    return f"{matched} {rows}"


def _on(table: dict[str, Any], dataset: str) -> str:
    return f", {dataset}" if len(table["datasets"]) > 1 else ""


def _names(on: str) -> list[str]:
    each = [name for kind in MATCHINGS for name in (f"{kind} mIoU{on}", f"{kind}, 95 % interval{on}")]
    return [*each, f"Accuracy{on}", f"Images{on}"]


def _matched(found: pd.DataFrame, on: str, row: dict[str, Any], seed: int, resamples: int) -> Cells:
    if found.empty:
        return {"Note": f"no labels{on.replace(',', ' on')}"}
    counts = stacked_counts(found)
    total = counts.sum(0)
    cells = {}
    for name, match in MATCHINGS.items():
        given = match(total)
        rng = np.random.default_rng(seed_for(seed, "bootstrap", row["backbone"], row["method"]))
        cells[f"{name} mIoU{on}"] = f"{100 * mean_iou(total, given):.1f}"
        low, high = bootstrap_interval(counts, given, resamples=resamples, rng=rng)
        cells[f"{name}, 95 % interval{on}"] = _interval(100 * low, 100 * high)
    cells[f"Accuracy{on}"] = f"{100 * accuracy(total, hungarian(total)):.1f}"
    return {**cells, f"Images{on}": str(len(counts))}


def _errors(error: dict[str, Any], name: str, on: str) -> Cells:
    interval = _interval(error["low"], error["high"])
    return {f"{name}{on}": f"{error['mse']:.1f}", f"{name}, 95 % interval{on}": interval}


def _interval(low: float, high: float) -> str:
    return f"{low:.1f}–{high:.1f}"


def _by_run(paths: Sequence[str]) -> dict[Run, str]:
    return {(Path(path).parts[-3], Path(path).parts[-2], Path(path).stem): path for path in paths}
