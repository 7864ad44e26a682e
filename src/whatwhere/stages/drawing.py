"""Stores and scores -> the paper's figures: sheets of pictures (Figures 3, 5 …), curves over K (Figure 4), bars of
classes (Figure 12), and drawings of the method (Figures 1, 2; see `method_drawing`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.seeding import seed_for
from whatwhere.evaluate.oracle import COUNTS, bootstrap_interval, mean_iou
from whatwhere.publish.figures.curves import Curve, draw_curves
from whatwhere.publish.figures.sheet import Heading, Row, draw_sheet
from whatwhere.stages.method_drawing import draw_method
from whatwhere.stages.naming_scores import draw_classes, notes, worst_first
from whatwhere.stages.shown import KINDS, Masks, Shards

#: The artifacts that columns are drawn from.
STORED = ("images", "vectors", "regions", "named", "masks")


def draw_figure(output: Path, given: Mapping[str, Sequence[str]], settings: Mapping[str, Any]) -> None:
    """One figure of the configuration by its `kind`, its `settings` with `seed`, `resamples` and `halves`; of pictures
    also with the view that crops them (`crop`, or None) and the models that know rendered scenes only (`scenes_only`).

    `given` are manifests of the stores that each column of a figure of pictures shows, under the store's kind and the
    column's number (`regions2`), for curves `scores`, the paths `…/{dataset}/{backbone}/{method}/{shard}.parquet`, and
    for drawings of the method what `draw_method` is made of.
    """
    kinds = {"pictures": _draw_pictures, "curves": _draw_curves, "classes": draw_classes, "method": draw_method}
    kinds[settings["kind"]](output, given, settings)


def _draw_pictures(output: Path, given: Mapping[str, Sequence[str]], settings: Mapping[str, Any]) -> None:
    columns = []
    for number, column in enumerate(settings["columns"]):
        said = {key: value for key, value in column.items() if value is not None}
        files = {kind: given[f"{kind}{number}"] for kind in STORED if f"{kind}{number}" in given}
        counts = given.get(f"confusion{number}")
        noted = {"notes": notes(counts)} if counts else {}
        columns.append({**said, "stores": files, "halves": settings["halves"], **noted})
    chosen = worst_first(given["worst"])[: settings["images"]] if "worst" in given else None
    there = len(Shards(next((paths for kind, paths in given.items() if kind.startswith("images")), ())))
    shown = len(chosen) if chosen else min(settings["images"], there)
    crop, new = settings.get("crop"), ", ".join(settings.get("scenes_only", ()))
    words = {
        f"{shown} of {there} images.": shown < there,
        "No image has labels: these are the first.": chosen == [],  # without labels there is no worst
        f"Of each image the square in its middle, as view {crop} cuts it.": crop,
        f"Made for rendered scenes, not for photographs: {new}.": new,
    }
    caption = " ".join(sentence for sentence, holds in words.items() if holds)
    asked: dict[str, Any] = {"images": settings["images"], "ids": chosen or None}
    draw_pictures(columns, output, title=settings["title"], caption=caption, **asked)


def _draw_curves(output: Path, given: Mapping[str, Sequence[str]], settings: Mapping[str, Any]) -> None:
    files: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for path in given["scores"]:
        files[Path(path).parts[-4:-1]].append(path)
    several = len(settings["datasets"]) > 1
    panels = {
        title + f", {dataset}" * several: {
            name: files[dataset, line["backbone"], line["method"]] for name, line in lines.items()
        }
        for dataset in settings["datasets"]
        for title, lines in settings["panels"].items()
    }
    draws = {"seed": settings["seed"], "resamples": settings["resamples"]}
    draw_score_curves(panels, output, title=settings["title"], **draws)


def draw_pictures(
    columns: Sequence[dict[str, Any]],
    output: Path,
    *,
    title: str,
    images: int,
    ids: Sequence[str] | None = None,
    caption: str = "",
) -> None:
    """A sheet of the first `images` images of the first column's shards, or of those of these `ids` (paper, Figures 3,
    5 to 11, 13 and 14).

    A column is `show` (a key of `KINDS`), `heading` and `group` (words, may be missing), `first` (of three
    eigenvectors, from 1), `clusters` (a K of the regions; by default the one chosen for the image), `halves` (which
    regions `left_right` leaves out), `notes` (by the id of an image; of named) and `stores`: manifests of all shards of
    what it shows, `images`, `vectors`, `regions` or `named`, or COCO JSONs as `masks` beside `images`. Images are
    found by their ids, whatever the order of shards. Rows have the shape, and regions the photograph, of the first
    column with images; every view must show whole images (stretched or not).

    Raises InputError for an image that a column does not have, for columns of which none has images, for a K
    that nobody clustered with, and for what `draw_sheet` refuses.
    """
    opened: dict[tuple[str, ...], Shards] = {}
    shards = [_opened(column["stores"], opened) for column in columns]
    photos = next((stores["images"] for stores in shards if "images" in stores), None)
    if photos is None:
        raise InputError(f"figure {output}: expected a column with images, got none; add one with `show: image`")
    shown = shards[0][KINDS[columns[0]["show"]][0]].first(images) if ids is None else ids
    rows = [_row(name, photos, columns, shards) for name in shown]
    headings = [Heading(column.get("heading") or _heading(column), column.get("group", "")) for column in columns]
    draw_sheet(rows, output, title=title, headings=headings, caption=caption)


def _opened(files: Mapping[str, Sequence[str]], opened: dict[tuple[str, ...], Shards]) -> dict[str, Any]:
    """What a column reads by kind; a store that another column reads is opened once."""
    stores: dict[str, Any] = {
        kind: opened.setdefault(tuple(paths), Shards(paths)) for kind, paths in files.items() if kind != "masks"
    }
    return stores | ({"masks": Masks(files["masks"], stores["images"])} if "masks" in files else {})


def _row(name: str, photos: Shards, columns: Sequence[dict[str, Any]], shards: Sequence[dict[str, Any]]) -> Row:
    store, index = photos.find(name)
    cells = []
    for column, stores in zip(columns, shards, strict=True):
        kind, cell = KINDS[column["show"]]
        shown, place = stores[kind].find(name)
        cells.append(cell(shown, place, column))
    return Row(name, store.read("rgb", index), tuple(cells))


def _heading(column: Mapping[str, Any]) -> str:
    first = column.get("first", 1)
    words = {
        "image": "Image",
        "regions": "Regions",
        "truth": "Ground truth",
        "halves": "Left and right",
        "named": "Names",
        "proposals": "Objects",
        "objects": "True objects",
    }
    return words.get(column["show"], f"Eigenvectors {first}–{first + 2}")


def draw_score_curves(
    panels: Mapping[str, Mapping[str, Sequence[str]]],
    output: Path,
    *,
    title: str,
    seed: int,
    resamples: int,
) -> None:
    """`score_curves` as a figure (paper, Figure 4), with a sentence on what its bands and marks are."""
    curves = score_curves(panels, seed=seed, resamples=resamples)
    caption = f"Bands: 95 % intervals, bootstrap over images ({resamples} resamples)."
    if any(curve.level for methods in curves.values() for curve in methods.values()):
        caption += " Dashed: one score at a method's own K; the mark stands at its mean over images."
    draw_curves(curves, output, title=title, x_label="number of regions K", y_label="mIoU", caption=caption)


def score_curves(
    panels: Mapping[str, Mapping[str, Sequence[str]]], *, seed: int, resamples: int
) -> dict[str, dict[str, Curve]]:
    """mIoU after oracle decoding over K, with 95 % intervals: panel (backbone) -> method -> curve.

    `panels` name the Parquet files of all shards of a method's scores. A method whose every score is of the
    chosen K (one for all images, or each image's own) is one score, at its mean K over images.

    Raises InputError for files without scores or without what scores have since partitions are scored.
    """
    return {
        panel: {
            method: _curve(_counts(paths), seed_for(seed, "bootstrap", panel, method), resamples)
            for method, paths in methods.items()
        }
        for panel, methods in panels.items()
    }


def _counts(paths: Sequence[str]) -> pd.DataFrame:
    frames = [pd.read_parquet(path) for path in paths]
    for path, frame in zip(paths, frames, strict=True):
        missing = {*COUNTS, "clusters", "chosen", "named"} - set(frame.columns)
        if missing:
            raise InputError(f"{path}: expected counts of every partition, got none of {sorted(missing)}; score again")
    filled = [frame for frame in frames if len(frame)]
    if not filled:
        raise InputError(f"scores {', '.join(paths)}: expected counts, got none; the data set needs labels")
    return pd.concat(filled, ignore_index=True)


def _curve(counts: pd.DataFrame, seed: int, resamples: int) -> Curve:
    if counts.chosen.all():
        x, parts = [counts.groupby("image").clusters.first().mean()], [counts]
    else:
        x = sorted(counts.clusters.unique())
        parts = [counts[counts.clusters == K] for K in x]
    shared = bool(counts.named.all())
    # every K sees the same resamples, so that its neighbours' intervals differ by K alone
    draws = [np.random.default_rng(seed) for _ in parts]
    ends = [
        bootstrap_interval(part, shared_classes=shared, resamples=resamples, rng=rng)
        for part, rng in zip(parts, draws, strict=True)
    ]
    low, high = np.array(ends).T
    return Curve(np.array(x, float), np.array([mean_iou(p, shared_classes=shared) for p in parts]), low, high)
