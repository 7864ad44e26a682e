"""Data set -> index of shards -> images and labels at the view's size.

A shard is a run of images of one size, and so of one token grid: everything after works shard by shard.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.progress import progress
from whatwhere.artifacts.store import Writer, create, write_json
from whatwhere.datasets import IGNORE, Dataset, Instance, Record
from whatwhere.datasets.coco_json import coco_json
from whatwhere.datasets.images import View, view_image, view_labels, view_mask, view_size


def write_index(
    dataset: Dataset,
    output: Path,
    *,
    view: View,
    shard_images: int,
    unreadable: Literal["stop", "skip"],
    settings: dict[str, Any],
) -> None:
    """Reads every image and all that is annotated of it once and says which go into which shard: `output`, JSON.

    `numbers` there has the number of each image in COCO's sense: the number in its id where all ids of the data set
    are such (COCO's own), else 1, 2, ... in the order of the shards. `absent` names the classes that no label map has.
    Raises `InputError` for an unreadable image or annotation under `stop`; under `skip` the image is listed with the
    reason. And where all label maps together hold one class at most: a score on them would mean nothing.
    """
    sizes: dict[tuple[int, int], list[str]] = {}
    skipped = []
    found: Counter[int] = Counter()
    for record in progress(dataset.records, f"reading {dataset.name}"):
        try:
            height, width = record.image().shape[:2]
            found.update(int(label) for labels in record.labels() for label in np.unique(labels))
            for truth in (record.instances, record.captions):
                truth()
            sizes.setdefault(view_size(view, height, width), []).append(record.id)
        except InputError as error:
            if unreadable == "stop":
                raise InputError(f"{error} (or set unreadable: skip)") from error
            skipped.append({"id": record.id, "reason": str(error)})
    if not sizes:
        first = f"; the first: {skipped[0]['reason']}" if skipped else ""
        raise InputError(f"data set {dataset.name}: expected readable images, got none of {len(skipped)}{first}")
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
            "numbers": _numbers(dataset, (name for ids in shards.values() for name in ids)),
            "absent": _absent(dataset, found),
            "left_out": dict(dataset.left_out),
            "took": dataset.took,
            "skipped": skipped,
            "settings": settings,
        },
    )


def _absent(dataset: Dataset, found: Counter[int]) -> list[str]:
    """Classes that occur in no label map."""
    labels = sorted(label for label in found if label != IGNORE)
    if not found or len(dataset.classes) == 1:
        return []
    if len(labels) < 2:
        names = [f" ({name})" for name in dataset.classes] or [""] * (max(labels, default=0) + 1)
        only = ", ".join(f"{label}{names[label]}" for label in labels) or "no label"
        several = f"several of its {len(names)} classes" if dataset.classes else "several segments"
        ignored = f", and ignored pixels in {found[IGNORE]} of them" * (IGNORE in found)
        raise InputError(
            f"data set {dataset.name}: expected label maps of {several}, got nothing but {only} in all{ignored}; save "
            f"each class as its number from 0, or correct `ignore_label`"
        )
    return [name for label, name in enumerate(dataset.classes) if label not in found]


def _numbers(dataset: Dataset, ids: Iterable[str]) -> dict[str, int]:
    every = [record.id for record in dataset.records]
    # of more digits they would not fit what COCO's metrics count with; 1 and 01 are one number
    own = all(re.fullmatch(r"[0-9]{1,18}", name) for name in every) and len(set(map(int, every))) == len(every)
    return {name: int(name) if own else place for place, name in enumerate(ids, 1)}


def write_images(
    dataset: Dataset,
    ids: list[str],
    output: Path,
    instances: Path,
    *,
    numbers: dict[str, int],
    view: View,
    run_images: int,
    settings: dict[str, Any],
) -> None:
    """The store of one shard: `rgb` `[image, y, x, channel]` and, where there are any, `labels`
    `[image, annotator, y, x]` (missing annotators all `IGNORE`) and `captions` `[image, caption]` (missing ones
    empty); `instances`: COCO JSON.

    Instances are stated in the photograph's own pixels where the view shows all of it, exactly as annotated, and in
    the pixels seen where it crops. Each image's size in those pixels are the coordinates `height_px` and `width_px`;
    `number` is that by which the JSON calls it: `numbers` (of at least these ids) as in the index. `annotators` is how
    many have drawn its labels.
    """
    records = {record.id: record for record in dataset.records}
    chosen = [_viewed(records[name], view) for name in ids]
    stated = Dataset(dataset.name, tuple(_stated(records[name], view) for name in ids), dataset.classes)
    height, width = chosen[0].image().shape[:2]
    sizes = {record.id: record.image().shape[:2] for record in stated.records}
    depth = max(len(record.labels()) for record in chosen)
    attributes = {"dataset": dataset.name, "classes": list(dataset.classes)}
    with create(output, settings, attributes, _along_images(chosen, sizes, numbers)) as store:
        shape, axes = (len(ids), height, width, 3), ("image", "y", "x", "channel")
        images = store.array("rgb", shape, "uint8", axes, run_images=run_images)
        shape, axes = (len(ids), depth, height, width), ("image", "annotator", "y", "x")
        labels = depth and store.array("labels", shape, "int16", axes, run_images=run_images, fill=IGNORE)
        _write_captions(store, chosen)
        for first in progress(range(0, len(ids), run_images), f"images of {dataset.name}"):
            run = chosen[first : first + run_images]
            images[first : first + len(run)] = np.stack([record.image() for record in run])
            if labels:
                labels[first : first + len(run)] = np.stack([_padded(record, depth) for record in run])
        write_json(instances, coco_json(stated, numbers=numbers, sizes=sizes))


def _along_images(
    records: Sequence[Record], sizes: Mapping[str, tuple[int, ...]], numbers: Mapping[str, int]
) -> dict[str, Any]:
    """What lies along the `image` axis: ids, and of each image its number, its size and how many annotated it."""
    ids = [record.id for record in records]
    return {
        "image": ids,
        "number": ("image", [numbers[name] for name in ids]),
        "height_px": ("image", [sizes[name][0] for name in ids]),
        "width_px": ("image", [sizes[name][1] for name in ids]),
        "annotators": ("image", [len(record.labels()) for record in records]),
    }


def _write_captions(store: Writer, records: Sequence[Record]) -> None:
    captions = [record.captions() for record in records]
    if most := max(map(len, captions)):
        padded = [[*some, *[""] * (most - len(some))] for some in captions]
        array = store.array("captions", (len(records), most), "str", ("image", "caption"), run_images=len(records))
        array[:] = np.array(padded, np.dtypes.StringDType())


def _stated(record: Record, view: View) -> Record:
    """The record in the pixels in which its instances are stated."""
    return _viewed(record, view) if view.protocol == "centre_crop" else record


def _viewed(record: Record, view: View) -> Record:
    """The same record, seen through `view`."""

    def instances() -> tuple[Instance, ...]:
        """The objects as the view shows them; one that it cuts away is left out."""
        seen = (replace(i, mask=view_mask(i.mask, view), box=None) for i in record.instances())
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
