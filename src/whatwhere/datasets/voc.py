"""PASCAL VOC 2012: photographs with 20 classes of objects and background, and each object by itself."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int16

from whatwhere.artifacts.errors import InputError
from whatwhere.datasets.images import PathLike, image_size, read_image
from whatwhere.datasets.labels import read_labels
from whatwhere.datasets.record import IGNORE, Dataset, Instance, Record, nothing

#: In the order of the label maps' indices. Two words where the annotation writes one: names become prompts.
CLASSES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "dining table",
    "dog",
    "horse",
    "motorbike",
    "person",
    "potted plant",
    "sheep",
    "sofa",
    "train",
    "tv monitor",
)
#: Index of the borders around objects, which no score counts.
BORDER = 255
#: Images with label maps in each split; the paper scores the 1,449 of val.
SPLITS = {"train": 1464, "val": 1449, "trainval": 2913}
#: Where ImageSets/ may be: the archive's own levels, seen from its folders and from where `sources.fetch` keeps them.
_NESTING = ("", "VOC2012", "VOCdevkit/VOC2012", "voc2012/VOCdevkit/VOC2012")


def load(name: str, *, root: PathLike, split: str = "val", limit: int | None = None) -> Dataset:
    """The images that `ImageSets/Segmentation/<split>.txt` lists, in its order; the first `limit` of them.

    A list may be shorter than the published one: a part is a part. Without `SegmentationObject` there are no
    instances; where there is no `SegmentationClass` but the `SegmentationClassAug` of others, its labels are taken.

    `root` holds `VOCdevkit/`, or is `VOCdevkit/VOC2012` or its parent, or the root given to `fetch`. Labels are
    `SegmentationClass`, borders ignored; instances are `SegmentationObject` without its borders, each of the
    class it has most pixels of.
    ASSUME: `limit` takes the first names of the list, as the paper does not say which 200 images Table 2 uses.
    Raises InputError for a list that is missing, empty or longer than published, and for files that it names and
    that are not there; a label map that does not fit its image is one when it is read.
    """
    folder = next((Path(root) / level for level in _NESTING if (Path(root) / level / "ImageSets").is_dir()), Path(root))
    ids = _ids(name, folder, split, limit)
    folders = _folders(folder)
    files = [_files(folders, id_) for id_ in ids]
    _check_present(name, [path for paths in files for path in paths])
    records = (_record(id_, *paths) for id_, paths in zip(ids, files, strict=True))
    parts = [f"{len(ids):,} of the {SPLITS[split]:,} images of {split}"] * (len(ids) < SPLITS[split])
    parts += ["without SegmentationObject (no objects)"] * (len(folders) < 3)
    parts += [f"labels of {folders[1].name}"] * (folders[1].name != "SegmentationClass")
    return Dataset(name, tuple(records), CLASSES, took=", ".join(parts))


def _record(id_: str, image: Path, classes: Path, objects: Path | None = None) -> Record:
    instances = partial(_instances, image, classes, objects) if objects else nothing
    return Record(id_, partial(read_image, image), partial(_labels, image, classes), instances)


def _ids(name: str, folder: Path, split: str, limit: int | None) -> list[str]:
    if split not in SPLITS:
        raise InputError(f"data set {name}: expected a split among {', '.join(SPLITS)}, got {split!r}; choose one")
    if limit is not None and not 1 <= limit <= SPLITS[split]:
        raise InputError(f"data set {name}: expected a limit from 1 to {SPLITS[split]:,}, got {limit}; change it")
    path = folder / "ImageSets" / "Segmentation" / f"{split}.txt"
    if not path.is_file():
        raise InputError(f"data set {name}: expected the list {str(path)!r}, got no such file; check root")
    ids = path.read_text("utf-8", errors="replace").split()
    if not (limit or 1) <= len(ids) <= SPLITS[split]:
        wanted = f"{limit or 1:,} to {SPLITS[split]:,} names"
        raise InputError(
            f"data set {name}: expected {wanted} in {str(path)!r}, got {len(ids):,}; fetch the archive again"
        )
    chosen = ids[:limit]
    strange = [id_ for id_ in chosen if not re.fullmatch(r"\d{4}_\d{6}", id_, re.ASCII)]
    if strange or len(set(chosen)) < len(chosen):
        got = repr(strange[0]) if strange else "one of them twice"
        raise InputError(
            f"{str(path)!r}: expected different names such as 2007_000033, got {got}; fetch the archive again"
        )
    return chosen


def _folders(folder: Path) -> list[Path]:
    """Of images, label maps, and objects where there are any."""
    labels, augmented = folder / "SegmentationClass", folder / "SegmentationClassAug"
    objects = folder / "SegmentationObject"
    classes = augmented if augmented.is_dir() and not labels.is_dir() else labels
    return [folder / "JPEGImages", classes, *([objects] if objects.is_dir() else [])]


def _files(folders: list[Path], id_: str) -> list[Path]:
    """The image, its classes, its objects."""
    return [place / f"{id_}.{'png' if number else 'jpg'}" for number, place in enumerate(folders)]


def _check_present(name: str, paths: list[Path]) -> None:
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise InputError(
            f"data set {name}: expected {len(paths):,} files that its list names, got {len(missing):,} missing, "
            f"first {str(missing[0])!r}; fetch the archive again"
        )


def _labels(image: Path, classes: Path) -> tuple[Int16[np.ndarray, "y x"]]:
    stored = _map(image, classes)
    labels = np.where(stored == BORDER, np.int16(IGNORE), stored)
    if labels.max(initial=IGNORE) >= len(CLASSES):
        got = f"got {labels.max()}; fetch the archive again"
        raise InputError(f"{str(classes)!r}: expected labels 0 to {len(CLASSES) - 1} or {BORDER} (border), {got}")
    return (labels,)


def _instances(image: Path, classes: Path, objects: Path) -> tuple[Instance, ...]:
    (labels,) = _labels(image, classes)
    numbers = _map(image, objects)
    found = (number for number in np.unique(numbers) if number not in (0, BORDER))
    return tuple(_instance(objects, int(number), numbers == number, labels) for number in found)


def _instance(objects: Path, number: int, mask: np.ndarray, labels: Int16[np.ndarray, "y x"]) -> Instance:
    inside = labels[mask & (labels > 0)]
    if not inside.size:
        got = "none; fetch the archive again"
        raise InputError(f"{str(objects)!r}: expected a class at object {number} in SegmentationClass, got {got}")
    return Instance(int(np.bincount(inside).argmax()), mask)


def _map(image: Path, path: Path) -> Int16[np.ndarray, "y x"]:
    """The indices in a label map, of the image's size."""
    stored = read_labels(path)
    if stored.shape != (size := image_size(image)):
        raise InputError(
            f"{str(path)!r}: expected the image's {size[0]} × {size[1]} px, got {stored.shape[0]} × "
            f"{stored.shape[1]}; fetch the archive again"
        )
    return stored
