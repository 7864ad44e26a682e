"""Regions, the space shared with texts, and texts -> a name for each region (appendix D.1), and how right it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from whatwhere.artifacts.atomic import replacing
from whatwhere.artifacts.progress import progress
from whatwhere.artifacts.store import Store, create
from whatwhere.backbones.stored import TOKENS
from whatwhere.datasets.images import tokens_to_pixels
from whatwhere.evaluate.counted import counted_table
from whatwhere.evaluate.matching import COUNTS, counted, matching_counts
from whatwhere.evaluate.names import BACKGROUND, in_names
from whatwhere.evaluate.zeroshot import on_grid, recognise, region_features
from whatwhere.stages.partitions import own_partition
from whatwhere.stages.set_images import has_labels

#: Target of the counts of names (see `evaluate.matching`).
NAMED = "named"


def write_named(
    features: Store,
    regions: Store | None,
    texts: Store,
    output: Path,
    *,
    choice: dict[str, Any],
    settings: dict[str, Any],
) -> None:
    """`named` `[image, token]`: a number for each of the attribute `names`, 0 the background; `scores` likewise.

    Without `regions` every token is a region of its own, as in MaskCLIP. `choice` are the threshold and its measure,
    and how many classes compete (`evaluate.zeroshot.recognise`).

    ASSUME: where regions have another grid than the features, a token of theirs takes the features at its place.
    """
    words, there = texts.read("texts"), tuple(features.attributes_of(TOKENS)["grid"])
    grid = tuple(regions.attributes["grid"]) if regions else there
    names = [BACKGROUND, *texts.coordinate("text")]
    attributes = {"dataset": features.attributes["dataset"], "grid": grid, "names": names}
    attributes["known"] = texts.attributes["known"]
    decide = {**choice, "scale": texts.attributes["scale"]}
    found = [
        _named(on_grid(features.read(f"{TOKENS}/joint", i), there, grid), _regions(regions, i), words, decide)
        for i in progress(range(len(features.ids)), "naming")
    ]
    with create(output, settings, attributes, {"image": features.ids}) as store:
        for name, dtype, rows in zip(("named", "scores"), ("int16", "float32"), zip(*found, strict=True), strict=True):
            array = np.stack(rows)
            store.array(name, array.shape, dtype, ("image", "token"), run_images=len(array))[:] = array


def _named(
    joint: np.ndarray, regions: np.ndarray | None, words: np.ndarray, decide: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Name and score of each token."""
    place = np.arange(len(joint)) if regions is None else regions
    names, scores = recognise(region_features(joint, place), words, whole=joint.mean(0), **decide)
    return names[place].astype(np.int16), scores[place].astype(np.float32)


def _regions(regions: Store | None, index: int) -> np.ndarray | None:
    """The image's own partition, numbered without gaps."""
    if regions is None:
        return None
    return np.unique(regions.read("regions", (index, own_partition(regions, index))), return_inverse=True)[1]


def write_confusion(images: Store, named: Store, output: Path) -> None:
    """Pixels of each name in each true one, image by image (Parquet, `COUNTS`); empty without labels."""
    known = named.attributes
    names = known["names"]
    pieces = []
    for i, name in enumerate(progress(images.ids, "comparing names")):
        if has_labels(images, i):
            truth = in_names(images.read("labels", (i, 0)), known["known"], names[1:])
            found = tokens_to_pixels(named.read("named", i).reshape(known["grid"]), *truth.shape)
            counts = matching_counts(found, truth, clusters=len(names), classes=len(names))
            pieces.append(counted(counts, name, NAMED))
    table = counted_table(pieces, COUNTS)
    with replacing(output) as partial:
        table.to_parquet(partial, index=False)
