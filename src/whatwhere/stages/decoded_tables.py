"""Counts of names, and masks matched to objects -> the cells of Tables 7 and 8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from whatwhere.evaluate import instances
from whatwhere.evaluate.matching import accuracy, mean_iou, resampled, resampled_accuracy
from whatwhere.evaluate.resampling import drawn, generator
from whatwhere.evaluate.zeroshot import TEMPLATES
from whatwhere.publish.tables import Cells, Number, computed_on, merged, on_dataset, write_table
from whatwhere.stages.naming_scores import counts_of

#: What the numbers of Table 7 are called, by claims for instance.
SCORE, OF_NAMES, ACCURACY = "mIoU", "mIoU of names", "accuracy"
#: Table 8: kinds of COCO's protocol, and the numbers of each, in the paper's order.
KINDS, MEASURES = {"box": "bbox", "mask": "segm"}, ("AP50", "AP", "AR100")
MASKS = "#Masks"


def write_zeroshot_table(
    csv: Path,
    given: Mapping[str, Sequence[str]],
    *,
    table: dict[str, Any],
    seed: int,
    resamples: int,
    namings: Mapping[str, dict[str, Any]] | None = None,
) -> None:
    """Table 7: mIoU over the names and the background, and over the names alone.

    `given` are `confusion`, paths `…/{dataset}/{backbone}/{method}/{naming}/{shard}.parquet`; `namings` those of the
    rows as values (`config.decoding.Naming`), by name, for the notes to say how each decides.
    """
    files: dict[tuple[str, ...], list[str]] = {}
    for path in given.get("confusion", ()):
        files.setdefault(Path(path).parts[-5:-1], []).append(path)
    ours, numbers = [], []
    for row in table["rows"]:
        cells: Cells = {}
        computed = {}
        for dataset in computed_on(table, row):
            run = (dataset, row["backbone"], row["method"], row["naming"])
            images, counts = counts_of(files[run])
            computed[dataset] = _agreement(images, counts, resamples, seed)
            cells = merged(cells, _zeroshot_cells(computed[dataset], len(images), table, dataset))
        ours.append(cells)
        numbers.append(computed)
    columns = [name for dataset in table["datasets"] for name in _zeroshot_names(table, dataset)]
    notes = [
        f"Ours are on {', '.join(table['datasets'])}. The mean is over the names asked about and the background.",
        "Names only: the mean without the background, which can by itself decide the other; its interval in brackets.",
        f"95 % interval: bootstrap over images, {resamples} resamples.",
    ]
    used = dict.fromkeys(row["naming"] for row in table["rows"] if computed_on(table, row))
    notes += [_decides(name, namings[name]) for name in used] if namings else []
    compared: dict[str, Any] = {"paper": "mIoU (paper)", "paper_format": ".2f", "against": {"": SCORE}}
    write_table(csv, table, ours, columns, notes=notes, numbers=numbers, **compared)


def _decides(name: str, naming: dict[str, Any]) -> str:
    """How a naming gives a region its name, in a sentence."""
    prompts = len(naming["templates"] or TEMPLATES)
    most = f" (the {naming['most']} most probable of the image compete)" if naming["most"] else ""
    return (
        f"Naming {name}: a region has the name of its best class{most} where the {naming['measure']} is above "
        f"{naming['threshold']:g}, and is background elsewhere; {prompts} prompt{'s' * (prompts > 1)} a class."
    )


def _agreement(images: Sequence[str], counts: np.ndarray, resamples: int, seed: int) -> dict[str, Number]:
    if not len(counts):
        return {}
    same, whole = np.arange(counts.shape[1]), counts.sum(0)
    numbers = {}
    for name, first in ((SCORE, 0), (OF_NAMES, 1)):  # the background is the first class
        scores = resampled(counts, same, resamples=resamples, rng=generator(seed, images), first=first)
        numbers[name] = Number.of(drawn(mean_iou(whole, same, first=first), scores))
    right = resampled_accuracy(counts, same, resamples=resamples, rng=generator(seed, images))
    return {**numbers, ACCURACY: Number.of(drawn(accuracy(whole, same), right))}


def _zeroshot_names(table: dict[str, Any], dataset: str) -> tuple[str, ...]:
    on = on_dataset(table, dataset)
    return f"mIoU (ours{on})", f"95 % interval{on}", f"Names only (ours{on})", f"Pixel accuracy{on}", f"Images{on}"


def _zeroshot_cells(found: Mapping[str, Number], images: int, table: dict[str, Any], dataset: str) -> Cells:
    if not found:
        return {"Note": f"{dataset} has no labels with names"}
    score, names, right = found[SCORE], found[OF_NAMES], found[ACCURACY]
    only = _cell(names, 3) if np.isfinite(names.value) else ""
    cells = (f"{score.value:.3f}", f"{score.low:.3f}–{score.high:.3f}", only, f"{right.value:.3f}", str(images))
    return dict(zip(_zeroshot_names(table, dataset), cells, strict=True))


def write_instance_table(
    csv: Path, given: Mapping[str, Sequence[str]], *, table: dict[str, Any], seed: int, resamples: int
) -> None:
    """Table 8: average precision and recall of boxes and of masks in per cent, and masks an image.

    `given` are `matches`, paths `…/{dataset}/{backbone}/{method}.parquet`.
    """
    files = {(Path(path).parts[-3], Path(path).parts[-2], Path(path).stem): path for path in given.get("matches", ())}
    ours, numbers = [], []
    for row in table["rows"]:
        cells: Cells = {}
        computed = {}
        for dataset in computed_on(table, row):
            run = (dataset, row["backbone"], row["method"])
            computed[dataset] = _detected(pd.read_parquet(files[run]), resamples, seed)
            cells = merged(cells, _instance_cells(computed[dataset], table, dataset))
        ours.append(cells)
        numbers.append(computed)
    quantities = [MASKS, *(f"{measure} {kind}" for kind in KINDS for measure in MEASURES)]
    columns = [f"{name} (ours{on_dataset(table, dataset)})" for dataset in table["datasets"] for name in quantities]
    notes = [
        f"Per cent, class-agnostic, by COCO's protocol. Ours are on {', '.join(table['datasets'])}.",
        f"In brackets 95 % intervals: bootstrap over images, {resamples} resamples.",
        "Masks that have no score of their own (TokenCut, MaskCut) all count as 1.",
    ]
    against = {name: name for name in quantities}
    beside = {name: f"{name} (ours{on_dataset(table, table['datasets'][0])})" for name in quantities}
    compared: dict[str, Any] = {"paper": "(paper)", "paper_format": "", "against": against, "beside": beside}
    write_table(csv, table, ours, columns, notes=notes, numbers=numbers, **compared)


def _detected(matches: pd.DataFrame, resamples: int, seed: int) -> dict[str, Number]:
    found: dict[str, Number] = {}
    for kind, coco in KINDS.items():
        own = matches[matches.kind == coco].drop(columns="kind")
        scores = instances.detection_scores(own)
        each = instances.resampled(own, resamples=resamples, rng=generator(seed, own.image.unique()))
        numbers = {name: Number.of(drawn(scores[name], each[name])) for name in each}
        found |= {f"{measure} {kind}": numbers[measure] for measure in MEASURES}
        found[MASKS] = numbers["masks per image"]
    return found


def _instance_cells(found: Mapping[str, Number], table: dict[str, Any], dataset: str) -> Cells:
    on = on_dataset(table, dataset)
    cells = {f"{name} (ours{on})": _cell(number) for name, number in found.items() if np.isfinite(number.value)}
    missing = len(cells) < len(found)  # masks are counted all the same
    return {**cells, "Note": f"{dataset} has no objects"} if missing else cells


def _cell(number: Number, digits: int = 1) -> str:
    value, low, high = (f"{end:.{digits}f}" for end in number.ends)
    return f"{value} ({low}–{high})"
