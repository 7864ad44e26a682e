"""Scores and timings of all shards -> the cells of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.store import read_json
from whatwhere.evaluate.oracle import mean_iou, resampled
from whatwhere.evaluate.resampling import drawn, generator, times
from whatwhere.publish.tables import Cells, Number, computed_on, merged, on_dataset, write_table

PHASES = ("forward", "fold", "solve", "cluster")
#: A graph with edges between so many of all pairs of tokens, or all but so many, is complete, or empty.
COMPLETE = 0.999
#: What the numbers of these tables are called, by claims for instance.
SCORE, MEAN_CLUSTERS, SECONDS = "mIoU", "mean K", "seconds"


def write_oracle_table(
    csv: Path,
    given: Mapping[str, Sequence[str]],
    *,
    table: dict[str, Any],
    methods: dict[str, dict[str, Any]],
    chosen: int | Literal["auto"],
    seed: int,
    resamples: int,
) -> None:
    """Tables 1 and 2: mIoU after oracle decoding, with the K of each image's own and, if asked for, with one K.

    `given` are `scores`, paths `…/{dataset}/{backbone}/{method}/{shard}.parquet`; `chosen` is how K was.
    """
    counts = _by_run(given["scores"])
    ours, numbers = [], []
    for row in table["rows"]:
        method, why = _chosen(row, counts)
        cells = {"Operator": methods.get(method or "", {}).get("operator", ""), **({"Note": why} if why else {})}
        computed = {}
        for dataset in computed_on(table, row):
            found = counts[dataset, row["backbone"], method]
            computed[dataset] = _oracle_numbers(found, table["clusters"], resamples, seed)
            cells = merged(cells, _oracle_cells(found, computed[dataset], table, dataset))
        ours.append(cells)
        numbers.append(computed)
    columns = ["Operator", *(c for dataset in table["datasets"] for c in _names(table, dataset).values())]
    notes = [
        f"Ours are on {', '.join(table['datasets'])}; the paper's are on what is named as the source.",
        f"95 % interval: bootstrap over images, {resamples} resamples. K is "
        + ("chosen for each image by silhouette" if chosen == "auto" else f"{chosen}")
        + (f"; beside it the same with K = {table['clusters']} throughout." if table["clusters"] else "."),
        "Labels are scored at the size of each backbone's view."
        + " MaskCut without its CRF." * any(method["kind"] == "maskcut" for method in methods.values()),
    ]
    write_table(
        csv,
        table,
        ours,
        columns,
        paper="mIoU (paper)",
        paper_format=".2f",
        notes=notes,
        numbers=numbers,
        against={"": SCORE},
    )


def _chosen(row: dict[str, Any], counts: Mapping[tuple[str, str, str], pd.DataFrame]) -> tuple[Any, str]:
    """The method of a row, and why where it was chosen: the best of several on images that the row is not scored on."""
    if not row.get("among"):
        return row["method"], ""
    each = {}
    for method in row["among"]:
        found = counts[row["chosen_on"], row["backbone"], method]
        clusters = row.get("chosen_clusters")
        own = found[found.clusters == clusters if clusters else found.chosen.astype(bool)]
        each[method] = mean_iou(own, shared_classes=bool(own.named.all())) if len(own) else -1.0
    best = max(each, key=lambda method: each[method])  # the first of equals
    if each[best] < 0:
        raise InputError(
            f"row {row['labels']}: expected a score on {row['chosen_on']} to choose by, got none; choose others"
        )
    return best, f"{best}, the best of {len(each)} on {row['chosen_on']}"


def _names(table: dict[str, Any], dataset: str) -> dict[str, str]:
    on = on_dataset(table, dataset)
    names = {"iou": f"mIoU (ours{on})", "interval": f"95 % interval{on}", "k": f"Mean K{on}"}
    if table["clusters"]:
        fixed = f"K = {table['clusters']}"
        names |= {"fixed": f"mIoU, {fixed}{on}", "fixed_interval": f"95 % interval, {fixed}{on}"}
    if table["graphs"]:
        names["graphs"] = f"Graphs{on}"
    return {**names, "images": f"Images{on}"}


def _oracle_numbers(found: pd.DataFrame, clusters: int | None, resamples: int, seed: int) -> dict[str, Number]:
    """`mIoU`, `mean K` and, for what can have any K, the mIoU at the table's own."""
    if found.empty:
        return {}
    own = found[found.chosen]
    numbers = {SCORE: _scored(own, resamples, seed), MEAN_CLUSTERS: _mean_clusters(own, resamples, seed)}
    if clusters and not found.chosen.all():  # a method with a K of its own has no other
        numbers[_at(clusters)] = _scored(found[found.clusters == clusters], resamples, seed)
    return numbers


def _oracle_cells(found: pd.DataFrame, numbers: dict[str, Number], table: dict[str, Any], dataset: str) -> Cells:
    if not numbers:
        return {"Note": f"{dataset} has no labels"}
    names = _names(table, dataset)
    own, clusters = found[found.chosen], numbers[MEAN_CLUSTERS]
    cells = _shown(numbers[SCORE], names["iou"], names["interval"])
    cells[names["k"]] = f"{clusters.value:.1f}"
    if (clusters.high or 0) > (clusters.low or 0):
        cells[names["k"]] += f" ({clusters.low:.1f}–{clusters.high:.1f})"
    cells[names["images"]] = str(own.image.nunique())
    if table["graphs"]:
        cells[names["graphs"]] = str(own.graphs.iloc[0])
    if note := _broken(own):
        cells["Note"] = f"{dataset}: {note}"
    if _at(table["clusters"]) in numbers:
        cells |= _shown(numbers[_at(table["clusters"])], names["fixed"], names["fixed_interval"])
    return cells


def _broken(own: pd.DataFrame) -> str:
    """Of a row whose baseline cuts graphs, how many are complete or empty, so that nothing is there to cut."""
    if "joined" not in own or own.joined.isna().all():
        return ""
    each = own.groupby("image").joined.first()
    parts = [(int((each >= COMPLETE).sum()), "complete"), (int((each <= 1 - COMPLETE).sum()), "empty")]
    said = [f"graph {what} in {count} of {len(each)} images" for count, what in parts if count]
    return ", ".join(said)


def _at(clusters: int | None) -> str:
    return f"{SCORE}, K = {clusters}"


def _mean_clusters(own: pd.DataFrame, resamples: int, seed: int) -> Number:
    each = own.groupby("image").clusters.first()
    often = times(len(each), resamples, generator(seed, each.index))
    return Number.of(drawn(each.mean(), often @ each.to_numpy(float) / len(each)))


def _scored(counts: pd.DataFrame, resamples: int, seed: int) -> Number:
    shared = bool(counts.named.all())
    rng = generator(seed, counts.image.unique())
    scores = resampled(counts, shared_classes=shared, resamples=resamples, rng=rng)
    return Number.of(drawn(mean_iou(counts, shared_classes=shared), scores))


def _shown(number: Number, name: str, interval: str) -> Cells:
    return {name: f"{number.value:.3f}", interval: f"{number.low:.3f}–{number.high:.3f}"}


def _by_run(scores: Sequence[str]) -> dict[tuple[str, str, str], pd.DataFrame]:
    frames: dict[tuple[str, str, str], list[pd.DataFrame]] = {}
    for path in map(Path, scores):
        frames.setdefault((path.parts[-4], path.parts[-3], path.parts[-2]), []).append(pd.read_parquet(path))
    return {run: pd.concat(parts, ignore_index=True) for run, parts in frames.items()}


def write_seconds_table(csv: Path, given: Mapping[str, Sequence[str]], *, table: dict[str, Any]) -> None:
    """Table 6: seconds of each phase on one image; `given` are `timings`, files of `stages.timings.time_methods`."""
    measured = [read_json(Path(path)) for path in given["timings"]]
    found = {
        (m["dataset"], m["backbone"], name): (m, seconds) for m in measured for name, seconds in m["methods"].items()
    }
    heads = {phase: f"{phase.capitalize()} (s)" for phase in PHASES}
    ours, numbers = [], []
    for row in table["rows"]:
        cells: Cells = {}
        computed = {}
        if row["backbone"]:
            dataset = table["datasets"][0]
            about, seconds = found[dataset, row["backbone"], row["method"]]
            total = sum(seconds[phase] for phase in PHASES)
            cells = {head: f"{seconds[phase]:.3g}" for phase, head in heads.items()}
            cells["Total, ours (s)"] = f"{total:.3g}"
            cells |= {"Image (px)": about["image_px"], "Graphs": seconds["graphs"], "How": seconds["status"]}
            each = {f"{SECONDS}, {phase}": Number(seconds[phase]) for phase in PHASES}
            computed = {dataset: {SECONDS: Number(total), **each}}
        ours.append(cells)
        numbers.append(computed)
    machines = sorted({m["machine"] for m in measured})
    notes = [
        f"Ours on {'; '.join(machines)}." if machines else "Nothing was timed on this run.",
        "One image; the median of three for what takes under a second. A solver's steps are alike: where How says so, "
        "the seconds of all of them are reckoned from some.",
    ]
    columns = ["Total, ours (s)", *heads.values(), "Image (px)", "Graphs", "How"]
    write_table(
        csv,
        table,
        ours,
        columns,
        paper="Seconds (paper)",
        paper_format="g",
        notes=notes,
        numbers=numbers,
        against={"": SECONDS},
    )
