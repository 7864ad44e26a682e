"""Photographs of one's own with annotations in COCO's format: any file of it, with its own categories."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from whatwhere.artifacts.errors import InputError
from whatwhere.datasets.coco_masks import box_of, mask_of
from whatwhere.datasets.folder import safe_ids
from whatwhere.datasets.images import PathLike, image_size, read_image
from whatwhere.datasets.record import Dataset, Instance, Record

#: What a damaged file makes go wrong.
_DAMAGE = (OSError, RecursionError, ValueError, LookupError, TypeError, AttributeError, OverflowError)


def load(name: str, *, root: PathLike, annotations: PathLike, limit: int | None = None) -> Dataset:
    """The photographs under `root` that the file `annotations` lists, in its order; the first `limit` of them.

    Ids of images and categories may be numbers or texts, `iscrowd`, `bbox` and the categories' names may be missing; a
    photograph may have no annotation. One without a mask (an empty `segmentation`, a box alone) is left out, and
    counted. A photograph that is listed and is not there is left out as well: a part is a part.
    Raises InputError for a file that is missing or damaged, for an annotation of no image or category of the file, and
    where no photograph that it lists is there; for a mask that is damaged, and a photograph of another size, when they
    are read.
    """
    path, folder = Path(annotations), Path(root)
    try:
        content = json.loads(path.read_bytes())
        listed = {str(one["id"]): folder / str(one["file_name"]) for one in content["images"]}
        found = {number: file for number, file in listed.items() if file.is_file()}
        chosen = dict(list(found.items())[:limit])
        classes, of_image, left = _sorted_out(content, listed)
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    if not chosen:
        got = f"none of {len(listed):,}; root is the folder that their file_name is in"
        raise InputError(f"data set {name}: expected photographs that {path.name} lists in {str(folder)!r}, got {got}")
    ids = safe_ids([file.relative_to(folder) for file in chosen.values()])
    records = (
        Record(
            id_, partial(read_image, file), instances=partial(_instances, path, file, of_image.get(number, []), classes)
        )
        for id_, (number, file) in zip(ids, chosen.items(), strict=True)
    )
    missing = len(listed) - len(found)
    left_out = {"annotations without a mask": left, "photographs that are listed and not there": missing}
    took = f"{len(chosen):,} photographs of {path.name}, its {len(classes)} categories"
    names = tuple(classes.values())
    return Dataset(name, tuple(records), names, {what: count for what, count in left_out.items() if count}, took)


def _sorted_out(
    content: Mapping[str, Any], listed: Mapping[str, Path]
) -> tuple[dict[str, str], dict[str, list[dict[str, Any]]], int]:
    """Names of the categories by id, annotations with a mask by image, and how many have none."""
    classes = {str(one["id"]): str(one.get("name", one["id"])) for one in content.get("categories", ())}
    of_image: dict[str, list[dict[str, Any]]] = {}
    left = 0
    for one in content.get("annotations", ()):
        if str(one["image_id"]) not in listed:
            raise KeyError(f"image_id {one['image_id']!r}")
        if str(one["category_id"]) not in classes:
            if content.get("categories"):
                raise KeyError(f"category_id {one['category_id']!r}")
            classes[str(one["category_id"])] = str(one["category_id"])
        if one.get("segmentation"):
            of_image.setdefault(str(one["image_id"]), []).append(one)
        else:
            left += 1
    return _told_apart(classes), of_image, left


def _told_apart(classes: Mapping[str, str]) -> dict[str, str]:
    """Two categories of one name keep their ids in it."""
    times = Counter(classes.values())
    return {id_: name if times[name] == 1 else f"{name} ({id_})" for id_, name in classes.items()}


def _instances(
    path: Path, photograph: Path, annotations: list[dict[str, Any]], classes: Mapping[str, str]
) -> tuple[Instance, ...]:
    size, places = image_size(photograph), list(classes)
    try:
        found = [
            Instance(
                places.index(str(one["category_id"])),
                mask_of(one["segmentation"], *size),
                crowd=bool(one.get("iscrowd", 0)),
                box=box_of(one["bbox"]) if one.get("bbox") else None,
            )
            for one in annotations
        ]
    except _DAMAGE as error:
        raise _damaged(path, error, of=photograph.name) from error
    return tuple(instance for instance in found if instance.mask.any())


def _damaged(path: Path, error: Exception, of: str = "its images") -> InputError:
    got = " ".join(f"{type(error).__name__}: {error}".split())
    return InputError(
        f"{str(path)!r}: expected annotations of {of} in COCO's format, got damaged ones ({got}); write the file again"
    )
