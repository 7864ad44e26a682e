"""COCO's coarse classes by other ways than the stuff-thing maps: maps of the 27 as they are, and COCO's panoptic ones.

A panoptic category has a super-category, which is the coarse class; of food and furniture COCO has one for things and
one for stuff. What is merged there (COCO's panoptic annotation has 53 kinds of stuff, not 91) is of the class of what
it was merged into.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int16
from PIL import Image

from whatwhere.artifacts.errors import InputError
from whatwhere.datasets.images import image_size, read_image
from whatwhere.datasets.labels import read_labels
from whatwhere.datasets.record import IGNORE, Dataset, Record

#: Folder of maps of the coarse classes, a PNG an image; label of pixels that nobody annotated.
COARSE, UNLABELLED = "labels27", 255
#: COCO's panoptic annotation; its PNGs lie in a folder of the same name beside it.
PANOPTIC = ("annotations/panoptic_val2017.json", "panoptic_val2017.json")
#: Where photographs may be.
PHOTOGRAPHS = ("images/val2017", "val2017", "images")
#: Super-categories that are called otherwise than the coarse class that they are, of things and of stuff.
_THINGS = {"food": "food-thing", "furniture": "furniture-thing"}
_STUFF = {"raw-material": "raw material"}


def coarse_class(supercategory: str, *, is_thing: bool) -> str:
    """The coarse class of a panoptic category."""
    return (_THINGS if is_thing else _STUFF).get(supercategory, supercategory)


def found(root: Path) -> bool:
    """Whether there are such labels under `root`."""
    return any((root / place).exists() for place in (COARSE, *PANOPTIC))


def load(name: str, root: Path, classes: Sequence[str], limit: int | None) -> Dataset:
    """The photographs under `root` that have a coarse map, or that COCO's panoptic annotation lists, by number.

    Raises InputError where there are none, and for a damaged annotation; for a map that does not fit, when it is read.
    """
    photographs = next((root / place for place in PHOTOGRAPHS if (root / place).is_dir()), root / PHOTOGRAPHS[-1])
    if (root / COARSE).is_dir():
        labels = {path.stem: partial(_coarse, path, len(classes)) for path in sorted((root / COARSE).glob("*.png"))}
        took = f"maps of the {len(classes)} coarse classes in {COARSE}"
    else:
        labels = _panoptic(next(root / place for place in PANOPTIC if (root / place).is_file()), classes)
        took = "COCO's panoptic annotation, by super-category"
    there = {id_: read for id_, read in labels.items() if (photographs / f"{id_}.jpg").is_file()}
    chosen = dict(list(there.items())[:limit])
    if not chosen:
        got = f"none of {len(labels):,} in {str(photographs)!r}; check root"
        raise InputError(f"data set {name}: expected the photographs (JPEG) of {took}, got {got}")
    records = (
        Record(id_, partial(read_image, path := photographs / f"{id_}.jpg"), partial(_checked, path, read))
        for id_, read in chosen.items()
    )
    return Dataset(name, tuple(records), tuple(classes), took=f"{len(chosen):,} photographs with {took}")


def _checked(image: Path, read: Any) -> tuple[Int16[np.ndarray, "y x"]]:
    labels = read()
    if labels.shape != (size := image_size(image)):
        got = f"{labels.shape[0]} × {labels.shape[1]}"
        raise InputError(f"{str(image)!r}: expected labels of its {size[0]} × {size[1]} px, got {got}; make them anew")
    return (labels,)


def _coarse(path: Path, classes: int) -> Int16[np.ndarray, "y x"]:
    stored = read_labels(path)
    labels = np.where(stored == UNLABELLED, np.int16(IGNORE), stored)
    if labels.max(initial=IGNORE) >= classes:
        got = f"{labels.max()}; save coarse classes, not fine ones"
        raise InputError(f"{str(path)!r}: expected labels 0 to {classes - 1} or {UNLABELLED} (unlabelled), got {got}")
    return labels


def _panoptic(path: Path, classes: Sequence[str]) -> dict[str, Any]:
    """What reads the labels of each image, by its number."""
    try:
        content = json.loads(path.read_bytes())
        given = {
            one["id"]: classes.index(coarse_class(one["supercategory"], is_thing=bool(one["isthing"])))
            for one in content["categories"]
        }
        listed = {
            Path(one["file_name"]).stem: (
                path.with_suffix("") / one["file_name"],
                {int(segment["id"]): given[segment["category_id"]] for segment in one["segments_info"]},
            )
            for one in content["annotations"]
        }
    except (OSError, RecursionError, ValueError, LookupError, TypeError, AttributeError) as error:
        got = " ".join(f"{type(error).__name__}: {error}".split())
        wish = "expected COCO's panoptic annotation, got a damaged one"
        raise InputError(f"{str(path)!r}: {wish} ({got}); take it from COCO's archive again") from error
    return {id_: partial(_segments, *listed[id_]) for id_ in sorted(listed)}


def _segments(path: Path, given: Mapping[int, int]) -> Int16[np.ndarray, "y x"]:
    """Colours are the segments' numbers, red the lowest byte; 0 is unlabelled."""
    try:
        with Image.open(path) as image:
            colours = np.asarray(image.convert("RGB")).astype(np.int64)
    except OSError as error:
        got = f"{type(error).__name__}; take it from COCO's archive again"
        raise InputError(f"{str(path)!r}: expected a panoptic map (PNG), got {got}") from error
    numbers, place = np.unique(colours @ [1, 256, 256**2], return_inverse=True)
    unknown = [number for number in numbers.tolist() if number and number not in given]
    if unknown:
        got = f"{unknown[0]}; take map and annotation of one archive"
        raise InputError(f"{str(path)!r}: expected segments that the annotation lists, got {got}")
    labels = np.array([given.get(number, IGNORE) for number in numbers.tolist()], np.int16)
    return labels[place.reshape(colours.shape[:2])]
