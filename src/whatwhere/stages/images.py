"""Data set -> index of shards -> images and labels at the view's size.

A shard is a run of images of one size, and so of one token grid: everything after works shard by shard.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from whatwhere.datasets import IGNORE, Dataset, Instance, Record
from whatwhere.datasets.coco import coco_json
from whatwhere.errors import InputError
from whatwhere.images import View, view_image, view_labels, view_mask, view_size
from whatwhere.progress import progress
from whatwhere.store import create, write_json


def write_index(
    dataset: Dataset,
    output: Path,
    *,
    view: View,
    shard_images: int,
    unreadable: Literal["stop", "skip"],
    settings: dict[str, Any],
) -> None:
    """Reads every image and its labels once and says which go into which shard: `output`, JSON.

    Raises `InputError` for an unreadable image under `stop`; under `skip` it is listed with its reason.
    """
    sizes: dict[tuple[int, int], list[str]] = {}
    skipped = []
    for record in progress(dataset.records, f"reading {dataset.name}"):
        try:
            height, width = record.image().shape[:2]
            record.labels()
            sizes.setdefault(view_size(view, height, width), []).append(record.id)
        except InputError as error:
            if unreadable == "stop":
                raise InputError(f"{error} (or set unreadable: skip)") from error
            skipped.append({"id": record.id, "reason": str(error)})
    if not sizes:
        raise InputError(f"data set {dataset.name}: expected readable images, got none of {len(skipped)}")
    shards = {
        f"{height}x{width}-{number:03d}": ids[first : first + shard_images]
        for (height, width), ids in sorted(sizes.items())
        for number, first in enumerate(range(0, len(ids), shard_images))
    }
    write_json(
        output,
        {
            "dataset": dataset.name,
            "classes": dataset.classes,
            "shards": shards,
            "skipped": skipped,
            "settings": settings,
        },
    )


def write_images(
    dataset: Dataset,
    ids: list[str],
    output: Path,
    instances: Path,
    *,
    view: View,
    run_images: int,
    settings: dict[str, Any],
) -> None:
    """The store of one shard: `image` `[image, y, x, channel]` and, where there are any, `labels`
    `[image, annotator, y, x]` (missing annotators all `IGNORE`); `instances`: COCO JSON at the view's size.
    """
    records = {record.id: record for record in dataset.records}
    chosen = [_viewed(records[name], view) for name in ids]
    annotators = [len(record.labels()) for record in chosen]
    height, width = chosen[0].image().shape[:2]
    attributes = {
        "ids": ids,
        "dataset": dataset.name,
        "classes": list(dataset.classes),
        "captions": [list(record.captions()) for record in chosen],
        "annotators": annotators,
    }
    with create(output, settings, attributes) as store:
        images = store.array(
            "image",
            (len(ids), height, width, 3),
            "uint8",
            ("image", "y", "x", "channel"),
            run_images=run_images,
        )
        depth = max(annotators)
        labels = depth and store.array(
            "labels",
            (len(ids), depth, height, width),
            "int16",
            ("image", "annotator", "y", "x"),
            run_images=run_images,
        )
        for first in progress(range(0, len(ids), run_images), f"images of {dataset.name}"):
            run = chosen[first : first + run_images]
            images[first : first + len(run)] = np.stack([record.image() for record in run])
            if labels:
                labels[first : first + len(run)] = np.stack([_padded(record, depth) for record in run])
        write_json(instances, coco_json(Dataset(dataset.name, tuple(chosen), dataset.classes)))


def _viewed(record: Record, view: View) -> Record:
    """The same record, seen through `view`."""

    def instances() -> tuple[Instance, ...]:
        seen = (Instance(i.category, view_mask(i.mask, view)) for i in record.instances())
        return tuple(i for i in seen if i.mask.any())

    return Record(
        record.id,
        image=lambda: view_image(record.image(), view),
        labels=lambda: tuple(view_labels(labels, view) for labels in record.labels()),
        instances=instances,
        captions=record.captions,
    )


def _padded(record: Record, depth: int) -> np.ndarray:
    labels = np.stack(record.labels())
    return np.pad(labels, ((0, depth - len(labels)), (0, 0), (0, 0)), constant_values=IGNORE)
