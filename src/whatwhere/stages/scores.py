"""Regions and labels -> counts behind every score (Parquet)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from whatwhere.atomic import replacing
from whatwhere.evaluate.oracle import COUNTS, oracle_counts
from whatwhere.images import tokens_to_pixels
from whatwhere.progress import progress
from whatwhere.store import Store


def write_scores(images: Store, regions: Store, output: Path) -> None:
    """Oracle counts of every image and annotator, with the number of regions, and whether labels are classes
    with names (the same in every image) or segments of one drawing; empty without labels.
    """
    frames = [pd.DataFrame(columns=[*COUNTS, "clusters", "named"])]
    named = bool(images.attributes["classes"])
    depths = images.attributes["annotators"]
    grid = regions.attributes["grid"]
    for i, name in enumerate(progress(images.ids, "scoring")):
        if not depths[i]:
            continue
        labels = images.read("labels", i)[: depths[i]]
        pixels = tokens_to_pixels(regions.read("regions", i).reshape(grid), *labels.shape[1:])
        for annotator, truth in enumerate(labels):
            counts = oracle_counts(pixels, truth)
            counts.insert(0, "annotator", annotator)
            counts.insert(0, "image", name)
            frames.append(counts.assign(clusters=regions.attributes["clusters"][i], named=named))
    table = pd.concat(frames[1:] or frames, ignore_index=True)
    with replacing(output) as partial:
        table.to_parquet(partial, index=False)
