"""Writes the instances of any data set in COCO's format, for the metrics that read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from whatwhere.datasets.record import Dataset, Instance


def coco_json(
    dataset: Dataset,
    *,
    numbers: Mapping[str, int] | None = None,
    sizes: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, Any]:
    """The data set's images, categories and instances as a COCO dictionary that `json.dump` accepts.

    Image ids are `numbers` by the record's id, else 1, 2, ... in the order of the records; `file_name` holds the
    record's id, category ids are class index + 1, and masks are run-length encoded. With `sizes`, the (height, width)
    in pixels of each image by the record's id, no image is read; instances are, one record at a time.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for place, record in enumerate(dataset.records, 1):
        image_id = numbers[record.id] if numbers else place
        height, width = sizes[record.id] if sizes else record.image().shape[:2]
        images.append({"id": image_id, "file_name": record.id, "width": width, "height": height})
        for instance in record.instances():
            annotations.append(_annotation(instance, annotation_id=len(annotations) + 1, image_id=image_id))
    categories = [{"id": index + 1, "name": name} for index, name in enumerate(dataset.classes)]
    return {
        "info": {"description": dataset.name},
        "images": images,
        "annotations": annotations,
        "categories": categories,
    }


def _annotation(instance: Instance, *, annotation_id: int, image_id: int) -> dict[str, Any]:
    from pycocotools import mask as run_lengths

    mask: Bool[np.ndarray, "y x"] = instance.mask
    code = run_lengths.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": instance.category + 1,
        "segmentation": {"size": [int(n) for n in code["size"]], "counts": code["counts"].decode("ascii")},
        "area": float(run_lengths.area(code)),
        "bbox": [float(side) for side in (run_lengths.toBbox(code) if instance.box is None else instance.box)],
        "iscrowd": int(instance.crowd),
    }
