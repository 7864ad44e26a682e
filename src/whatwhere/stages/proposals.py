"""X and its regions of every K -> ranked masks of objects, as COCO results (appendix D.2); and what they match."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from whatwhere.artifacts.atomic import replacing
from whatwhere.artifacts.progress import progress
from whatwhere.artifacts.store import Store, read_json, write_json
from whatwhere.baselines.maskcut_refining import refined_masks
from whatwhere.datasets.images import tokens_to_pixels
from whatwhere.evaluate.crf import CrfSettings
from whatwhere.evaluate.instances import coco_results, match_detections
from whatwhere.evaluate.proposals import from_masks, propose


def write_proposals(
    images: Store, vectors: Store, regions: Store, output: Path, *, choice: dict[str, Any], crf: dict[str, Any] | None
) -> None:
    """A COCO results JSON: masks in the pixels that the images' sizes are stated in, under the images' numbers.

    `choice` is `proposals.propose`'s; a method that answers masks itself keeps them, its scores all 1, and with `crf`
    after a dense CRF.
    """
    entries: list[dict[str, Any]] = []
    along = [images.coordinate(name) for name in ("number", "height_px", "width_px")]
    for i, (number, height, width) in enumerate(progress(zip(*along, strict=True), "proposing objects", len(along[0]))):
        masks, scores = _found(images, vectors, regions, i, choice, crf)
        pixels = [_in_pixels(mask, height, width) for mask in masks]
        entries += coco_results(number, np.array(pixels, bool).reshape(-1, height, width), scores)
    write_json(output, entries)


def _found(
    images: Store,
    vectors: Store,
    regions: Store,
    index: int,
    choice: dict[str, Any],
    crf: dict[str, Any] | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Masks `[mask, row, column]`, on tokens or in the pixels of the view, and their scores."""
    grid = tuple(regions.attributes["grid"])
    if "masks" not in vectors.description["arrays"]:
        proposals = propose(vectors.read("vectors", index), regions.read("regions", index), grid, **choice)
        return proposals.masks, proposals.scores
    proposals = from_masks(vectors.read("masks", index) > 0, grid)
    if crf is None or not len(proposals.masks):
        return proposals.masks, proposals.scores
    masks = refined_masks(proposals.masks, images.read("rgb", index), CrfSettings(**crf))
    return masks, np.ones(len(masks))


def _in_pixels(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    return tokens_to_pixels(mask.astype(np.int16), height, width) > 0


def write_detections(truths: Sequence[str], proposals: Sequence[str], results: Path, matches: Path) -> None:
    """Of all shards together `results`, the COCO results JSON of the data set, and `matches` (Parquet).

    `truths` are the COCO JSONs of the instances, `proposals` those of the masks, in the same order of shards.
    """
    truth = _together([read_json(Path(path)) for path in truths])
    entries = [entry for path in proposals for entry in read_json(Path(path))]
    tables = [match_detections(truth, entries, kind).assign(kind=kind) for kind in ("bbox", "segm")]
    with replacing(matches) as partial:
        pd.concat(tables, ignore_index=True).to_parquet(partial, index=False)
    with replacing(results) as partial:
        partial.write_text(json.dumps(entries), "utf-8")


def _together(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The COCO JSONs of several shards as one; annotations are numbered anew."""
    annotations = [annotation for part in parts for annotation in part["annotations"]]
    return {
        **parts[0],
        "images": [image for part in parts for image in part["images"]],
        "annotations": [{**annotation, "id": number} for number, annotation in enumerate(annotations, 1)],
    }
