"""Counts of names -> how often they are right: by image (Figures 11 and 13), and by class (Figure 12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from whatwhere.artifacts.seeding import seed_for
from whatwhere.artifacts.store import Store
from whatwhere.evaluate.matching import bootstrap_interval, class_intervals, class_iou, mean_iou, stacked_counts
from whatwhere.evaluate.names import BACKGROUND
from whatwhere.publish.figures.bars import Bar, draw_bars


def counts_of(paths: Sequence[str]) -> tuple[list[str], Int[np.ndarray, "image name name"]]:
    """Images by name, and the pixels of every name in every true one, of all shards."""
    found = pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)
    if found.empty:
        return [], np.zeros((0, 0, 0), np.int64)
    return sorted(found.image.unique()), stacked_counts(found)


def by_image(paths: Sequence[str]) -> dict[str, float]:
    """mIoU of each image by itself, over the names that are in it or were given to it."""
    images, counts = counts_of(paths)
    return {name: mean_iou(one, np.arange(len(one))) for name, one in zip(images, counts, strict=True)}


def notes(paths: Sequence[str]) -> dict[str, str]:
    """What a picture of an image's names says of them; nothing for images without labels."""
    return {name: f"mIoU {score:.2f}" for name, score in by_image(paths).items()}


def worst_first(paths: Sequence[str]) -> list[str]:
    """Images by increasing mIoU."""
    scores = by_image(paths)
    return sorted(scores, key=lambda name: (scores[name], name))


def draw_classes(output: Path, given: Mapping[str, Sequence[str]], settings: Mapping[str, Any]) -> None:
    """IoU of every class and their mean, with 95 % intervals, a bar a naming (Figure 12).

    `given` are for the n-th naming `bar<n>`, its counts, and `texts<n>`, what was asked.
    """
    groups: dict[str, dict[str, Bar]] = {}
    for number, name in enumerate(settings["namings"]):
        rng = np.random.default_rng(seed_for(settings["seed"], "bootstrap", name))
        names = [BACKGROUND, *Store(given[f"texts{number}"][0]).coordinate("text")]
        for label, bar in _bars(given[f"bar{number}"], names, settings["resamples"], rng).items():
            groups.setdefault(label, {})[name] = bar
    caption = f"95 % intervals: bootstrap over images, {settings['resamples']} resamples."
    draw_bars(groups, output, title=settings["title"], y_label="IoU", caption=caption)


def _bars(paths: Sequence[str], names: Sequence[str], resamples: int, rng: np.random.Generator) -> dict[str, Bar]:
    counts = counts_of(paths)[1]
    if not len(counts):
        return {name: Bar(np.nan, np.nan, np.nan) for name in (*names, "mean")}
    same, draws = np.arange(len(names)), dict[str, Any](resamples=resamples, rng=rng)
    ends = class_intervals(counts, same, **draws)
    each = class_iou(counts.sum(0), same)
    bars = {name: Bar(float(each[i]), float(ends[0, i]), float(ends[1, i])) for i, name in enumerate(names)}
    return {**bars, "mean": Bar(mean_iou(counts.sum(0), same), *bootstrap_interval(counts, same, **draws))}
