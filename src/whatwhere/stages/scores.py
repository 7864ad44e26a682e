"""Regions and labels -> counts behind every score (Parquet)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Int16

from whatwhere.artifacts.atomic import replacing
from whatwhere.artifacts.progress import progress
from whatwhere.artifacts.store import Store
from whatwhere.datasets.images import tokens_to_pixels
from whatwhere.evaluate.borders import Borders, to_pixels
from whatwhere.evaluate.counted import counted_table
from whatwhere.evaluate.oracle import COUNTS, iou_of, oracle_counts

#: Beside the counts: their IoU, K of the partition, whether it is the image's chosen one, which layers entered, and
#: whether labels are classes with names (the same in every image) or segments of one drawing, and the share of pairs of
#: tokens with an edge in the graph that a baseline cut.
OF_PARTITIONS = ["iou", "clusters", "chosen", "graphs", "named", "joined"]


def write_scores(images: Store, regions: Store, output: Path) -> None:
    """Oracle counts of every image, annotator and partition; empty without labels."""
    pieces = []
    depths = images.coordinate("annotators")
    known, clusters, chosen = regions.attributes, *(regions.coordinate(name) for name in ("partition", "chosen"))
    cuts = "joined" in regions.description["coordinates"]
    joined = regions.coordinate("joined") if cuts else [np.nan] * len(images.ids)
    for i, name in enumerate(progress(images.ids, "scoring")):
        if not depths[i]:
            continue
        truths = images.read("labels", i)[: depths[i]]
        for number, labels in enumerate(regions.read("regions", i)):
            pixels = _in_pixels(labels.reshape(known["grid"]), images, i, truths.shape[1:], known["borders"])
            of_partition = {"clusters": len(np.unique(labels)), "chosen": chosen[i] == clusters[number]}
            of_partition["joined"] = joined[i]
            if len(clusters) > 1:
                of_partition["clusters"] = clusters[number]  # of masks it differs from image to image
            for annotator, truth in enumerate(truths):
                about = {"image": name, "annotator": annotator, **of_partition}
                pieces.append(oracle_counts(pixels, truth) | about)
    table = counted_table(pieces, [*COUNTS, "clusters", "chosen", "joined"])
    named = bool(images.attributes["classes"])
    table = table.assign(iou=iou_of(table).astype(float), graphs=known["graphs"], named=named)
    with replacing(output) as partial:
        table[[*COUNTS, *OF_PARTITIONS]].to_parquet(partial, index=False)


def _in_pixels(
    regions: np.ndarray, images: Store, index: int, size: tuple[int, ...], borders: Borders
) -> Int16[np.ndarray, "y x"]:
    if borders == "tokens":
        return tokens_to_pixels(regions, *size)
    return to_pixels(regions, images.read("rgb", index))
