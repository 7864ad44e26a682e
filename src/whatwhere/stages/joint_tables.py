"""Counts and errors of a whole data set -> the cells of Tables 3, 4 and 5."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from whatwhere.evaluate.matching import accuracy, bootstrap_interval, greedy, hungarian, mean_iou
from whatwhere.evaluate.position import chance
from whatwhere.seeding import seed_for
from whatwhere.store import read_json
from whatwhere.tables import Cells, computed_on, merged, write_table

MATCHINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"Greedy": greedy, "Hungarian": hungarian}
#: Of a results folder: data set, backbone, method.
Run = tuple[str, str, str]


def write_matching_table(
    csv: Path, given: Mapping[str, Sequence[str]], *, table: dict[str, Any], seed: int, resamples: int
) -> None:
    """Tables 3 and 4: mIoU and pixel accuracy, in per cent, after clusters are matched to classes over the whole set.

    `given` are the counts of segments (`matching`) and of refined ones (`refined`), paths
    `…/{dataset}/{backbone}/{method}.parquet`.
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
        "As many clusters as classes over the whole data set; greedy: every cluster to its commonest class; Hungarian: "
        "one to one.",
        f"95 % interval: bootstrap over images, matched anew, {resamples} resamples; the clusters stay.",
    ]
    write_table(csv, table, ours, names, paper="(paper)", paper_format="", notes=notes)


def write_position_table(
    csv: Path, given: Mapping[str, Sequence[str]], *, table: dict[str, Any], seed: int, resamples: int
) -> None:
    """Table 5: error of coordinate regression, and mIoU of spatial semantic segmentation in per cent.

    `given` are `coordinates` (JSON) and `matching` (Parquet), paths `…/{dataset}/{backbone}/{method}.*`.
    """
    errors, counts = _by_run(given["coordinates"]), _by_run(given.get("matching", ()))
    ours = []
    for row in table["rows"]:
        cells: Cells = {}
        for dataset in computed_on(table, row):
            run, on = (dataset, row["backbone"], row["method"]), _on(table, dataset)
            error = read_json(Path(errors[run]))
            cells |= {
                f"MSE{on}": f"{error['mse']:.1f}",
                f"MSE, 95 % interval{on}": _interval(error["low"], error["high"]),
            }
            if run in counts:
                where = pd.read_parquet(counts[run])
                where = where[where.target == "where"]
                cells = merged(cells, _matched(where, on, row, seed, resamples))
        ours.append(cells)
    names = []
    for on in (_on(table, dataset) for dataset in table["datasets"]):
        names += [f"MSE{on}", f"MSE, 95 % interval{on}", *_names(on)]
    notes = [
        f"MSE in units of a 32 × 32 grid, both coordinates; {chance():.2f} is chance. mIoU in per cent, of the left "
        "and right regions of each class, with twice as many clusters as classes.",
        f"Ours are on {', '.join(table['datasets'])}; the paper's are on COCO-Stuff.",
        f"95 % intervals: bootstrap over images, {resamples} resamples; regression and clusters stay.",
    ]
    write_table(csv, table, ours, names, paper="(paper)", paper_format="", notes=notes)


def _on(table: dict[str, Any], dataset: str) -> str:
    return f", {dataset}" if len(table["datasets"]) > 1 else ""


def _names(on: str) -> list[str]:
    each = [name for kind in MATCHINGS for name in (f"{kind} mIoU{on}", f"{kind}, 95 % interval{on}")]
    return [*each, f"Accuracy{on}", f"Images{on}"]


def _matched(found: pd.DataFrame, on: str, row: dict[str, Any], seed: int, resamples: int) -> Cells:
    if found.empty:
        return {"Note": f"no labels{on.replace(',', ' on')}"}
    counts = _stacked(found)
    total = counts.sum(0)
    cells = {}
    for name, match in MATCHINGS.items():
        rng = np.random.default_rng(seed_for(seed, "bootstrap", row["backbone"], row["method"]))
        cells[f"{name} mIoU{on}"] = f"{100 * mean_iou(total, match(total)):.1f}"
        low, high = bootstrap_interval(counts, match, resamples=resamples, rng=rng)
        cells[f"{name}, 95 % interval{on}"] = _interval(100 * low, 100 * high)
    cells[f"Accuracy{on}"] = f"{100 * accuracy(total, hungarian(total)):.1f}"
    return {**cells, f"Images{on}": str(len(counts))}


def _stacked(found: pd.DataFrame) -> np.ndarray:
    """`[image, cluster, label]`."""
    images, places = np.unique(found.image, return_inverse=True)
    counts = np.zeros((len(images), int(found.clusters.iloc[0]), int(found.classes.iloc[0])), np.int64)
    np.add.at(counts, (places, found.cluster.to_numpy(int), found.label.to_numpy(int)), found.pixels.to_numpy(int))
    return counts


def _interval(low: float, high: float) -> str:
    return f"{low:.1f}–{high:.1f}"


def _by_run(paths: Sequence[str]) -> dict[Run, str]:
    return {(Path(path).parts[-3], Path(path).parts[-2], Path(path).stem): path for path in paths}
