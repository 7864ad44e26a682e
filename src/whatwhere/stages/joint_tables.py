"""Counts and errors of a whole data set -> the cells of Tables 3, 4 and 5."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from whatwhere.artifacts.store import read_json
from whatwhere.evaluate.matching import (
    accuracy,
    greedy,
    hungarian,
    mean_iou,
    resampled,
    resampled_accuracy,
    stacked_counts,
)
from whatwhere.evaluate.position import chance, resampled_errors
from whatwhere.evaluate.resampling import drawn, generator
from whatwhere.publish.tables import Cells, Number, computed_on, merged, on_dataset, write_table

#: By the names that their numbers have, in claims for instance.
MATCHINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"greedy": greedy, "Hungarian": hungarian}
#: Which of them each name of the paper's in Tables 3 and 4 stands against; a bare data set is of greedy matching.
AGAINST = {"": "greedy", "greedy": "greedy", "Hungarian": "Hungarian"}
#: Columns of Table 5 for X as it is, and for its rows at unit length.
ERROR, UNIT_ERROR = "MSE", "MSE, unit rows"
#: What matched clusters score where classes are split into left and right.
SPATIAL = {"Hungarian": "spatial", "greedy": "spatial, greedy", "accuracy": "spatial, accuracy"}
#: Of a results folder: data set, backbone, method.
Run = tuple[str, str, str]


def write_matching_table(
    csv: Path,
    given: Mapping[str, Sequence[str]],
    *,
    table: dict[str, Any],
    seed: int,
    resamples: int,
    unit_rows: bool,
    otherwise: Sequence[str] = (),
) -> None:
    """Tables 3 and 4: mIoU and pixel accuracy, in per cent, after clusters are matched to classes over the whole set.

    `given` are the counts of segments (`matching`) and of refined ones (`refined`), paths
    `…/{dataset}/{backbone}/{method}.parquet`; `unit_rows` is whether rows of X were brought to unit length for K-means,
    but of the methods `otherwise`.
    """
    counts = {kind: _by_run(given.get(kind, ())) for kind in ("matching", "refined")}
    ours, numbers = [], []
    for row in table["rows"]:
        cells: Cells = {}
        computed = {}
        for dataset in computed_on(table, row):
            found = counts["refined" if row["crf"] else "matching"][dataset, row["backbone"], row["method"]]
            what = _counted(found, "what")
            computed[dataset] = _matched(what, seed, resamples)
            cells = merged(cells, _matched_cells(computed[dataset], what, on_dataset(table, dataset)))
        ours.append(cells)
        numbers.append(computed)
    names = [name for dataset in table["datasets"] for name in _names(on_dataset(table, dataset))]
    notes = [
        f"Per cent. Ours are on {', '.join(table['datasets'])}; the paper's are on what its columns name.",
        "As many clusters as classes over the whole data set. " + _how(unit_rows, otherwise),
        "The paper's column for its own rows in Table 3 is of greedy matching; STEGO's numbers there are, by Table 4, "
        "of Hungarian matching on Cityscapes and of neither on COCO-Stuff, so their difference from ours, which is of "
        "greedy matching, mixes the two.",
        f"Mean over draws of clusters (K-means' seed); 95 % interval: over {resamples} resamples of the images and "
        "over the draws; the classes of the clusters stay. With a CRF, of the first draw alone.",
    ]
    write_table(
        csv, table, ours, names, paper="(paper)", paper_format="", notes=notes, numbers=numbers, against=AGAINST
    )


def write_position_table(
    csv: Path,
    given: Mapping[str, Sequence[str]],
    *,
    table: dict[str, Any],
    seed: int,
    resamples: int,
    unit_rows: bool,
    otherwise: Sequence[str] = (),
) -> None:
    """Table 5: error of coordinate regression, and mIoU of spatial semantic segmentation in per cent.

    `given` are `coordinates` (JSON) and `matching` (Parquet), paths `…/{dataset}/{backbone}/{method}.*`; `unit_rows` is
    whether rows of X were brought to unit length for K-means, but of the methods `otherwise`.
    """
    errors, counts = _by_run(given["coordinates"]), _by_run(given.get("matching", ()))
    ours, numbers = [], []
    for row in table["rows"]:
        cells: Cells = {}
        computed = {}
        for dataset in computed_on(table, row):
            run, on = (dataset, row["backbone"], row["method"]), on_dataset(table, dataset)
            computed[dataset] = _errors(read_json(Path(errors[run])), seed, resamples)
            cells |= _error_cells(computed[dataset], on)
            if run in counts:
                where = _counted(counts[run], "where")
                matched = _matched(where, seed, resamples)
                computed[dataset] |= {SPATIAL[name]: number for name, number in matched.items()}
                cells = merged(cells, _matched_cells(matched, where, on))
        ours.append(cells)
        numbers.append(computed)
    names = []
    for on in (on_dataset(table, dataset) for dataset in table["datasets"]):
        names += [name for kind in (ERROR, UNIT_ERROR) for name in (f"{kind}{on}", f"{kind}, 95 % interval{on}")]
        names += _names(on)
    notes = [
        f"MSE in units of a 32 × 32 grid, both coordinates; {chance():.2f} is chance. As in the paper of X as it is; "
        "unit rows: of rows of X scaled to length 1 first, as in spectral clustering after Ng, Jordan and Weiss.",
        "mIoU in per cent, of the left and right regions of each class, with twice as many clusters as classes. "
        + _how(unit_rows, otherwise),
        f"Ours are on {', '.join(table['datasets'])}; the paper's are on COCO-Stuff, its mIoU, we take it, of greedy "
        "matching as in Table 3.",
        f"95 % intervals: over {resamples} resamples of the images; the regression stays. Of mIoU also over draws of "
        "clusters (K-means' seed), whose mean it is; the classes of the clusters stay.",
    ]
    # ASSUME: the paper's mIoU is of greedy matching, for section 4.2.3 follows the protocol of "what", which is (4.2.2)
    against = {"MSE": ERROR, "mIoU": SPATIAL["greedy"]}
    write_table(
        csv, table, ours, names, paper="(paper)", paper_format="", notes=notes, numbers=numbers, against=against
    )


def _how(unit_rows: bool, otherwise: Sequence[str]) -> str:
    """How clusters are found and matched; of the methods `otherwise` the rows of X the other way."""
    rows = (
        "Rows of X are brought to unit length before K-means, but coordinates are not."
        if unit_rows
        else "Rows of X are not brought to unit length before K-means."
    )
    matched = "Greedy: every cluster to its commonest class; Hungarian: one to one. Accuracy is of Hungarian matching."
    return f"{matched} {rows}" + (f" The other way: {', '.join(otherwise)}." if otherwise else "")


def _names(on: str) -> list[str]:
    each = [name for kind in MATCHINGS for name in _heads(kind, on)]
    return [*each, f"Accuracy{on}", f"Images{on}"]


def _heads(kind: str, on: str) -> tuple[str, str]:
    return f"{kind.capitalize()} mIoU{on}", f"{kind.capitalize()}, 95 % interval{on}"


def _counted(path: str, target: str) -> pd.DataFrame:
    counts = pd.read_parquet(path)
    return counts[counts.target == target]


def _matched(found: pd.DataFrame, seed: int, resamples: int) -> dict[str, Number]:
    """mIoU after each of `MATCHINGS`, and `accuracy`, in per cent, over all draws; nothing without labels."""
    if found.empty:
        return {}
    each = [_drawn(one, seed, resamples) for _, one in found.groupby("draw")]
    return {name: Number.of(100 * np.concatenate([draw[name] for draw in each])) for name in each[0]}


def _drawn(found: pd.DataFrame, seed: int, resamples: int) -> dict[str, np.ndarray]:
    """The same of one draw of clusters, on each draw of images, as shares."""
    counts, images = stacked_counts(found), found.image.unique()
    total = counts.sum(0)
    scores = {}
    for name, match in MATCHINGS.items():
        given = match(total)
        again = resampled(counts, given, resamples=resamples, rng=generator(seed, images))
        scores[name] = drawn(mean_iou(total, given), again)
    given = hungarian(total)
    right = resampled_accuracy(counts, given, resamples=resamples, rng=generator(seed, images))
    return {**scores, "accuracy": drawn(accuracy(total, given), right)}


def _matched_cells(numbers: dict[str, Number], found: pd.DataFrame, on: str) -> Cells:
    if not numbers:
        return {"Note": f"no labels{on.replace(',', ' on')}"}
    cells: Cells = {}
    for name in MATCHINGS:
        cells |= _shown(numbers[name], *_heads(name, on))
    return {**cells, f"Accuracy{on}": f"{numbers['accuracy'].value:.1f}", f"Images{on}": str(found.image.nunique())}


def _errors(error: dict[str, Any], seed: int, resamples: int) -> dict[str, Number]:
    """Of X as it is, and of its rows at unit length; true labels have no rows of X."""
    images, numbers = error["images"], {}
    for name, one in ((ERROR, error), (UNIT_ERROR, error.get("unit"))):
        if one:
            sums = np.array(one["squares"], float), np.array(one["cells"], float)
            again = resampled_errors(*sums, resamples=resamples, rng=generator(seed, images))
            numbers[name] = Number.of(drawn(one["mse"], again))
    return numbers


def _error_cells(numbers: dict[str, Number], on: str) -> Cells:
    cells: Cells = {}
    for name, number in numbers.items():
        cells |= _shown(number, f"{name}{on}", f"{name}, 95 % interval{on}")
    return cells


def _shown(number: Number, name: str, interval: str) -> Cells:
    return {name: f"{number.value:.1f}", interval: f"{number.low:.1f}–{number.high:.1f}"}


def _by_run(paths: Sequence[str]) -> dict[Run, str]:
    return {(Path(path).parts[-3], Path(path).parts[-2], Path(path).stem): path for path in paths}
