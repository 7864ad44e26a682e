"""Cityscapes: driving photographs of German cities with 27 classes (section 4.2, Table 3); behind a login."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int16

from whatwhere.artifacts.errors import InputError
from whatwhere.datasets.images import PathLike, image_size, read_image
from whatwhere.datasets.labels import read_labels
from whatwhere.datasets.record import IGNORE, Dataset, Record

#: In the order of the label maps' ids, 7 to 33. Two words where the annotation writes one: names become prompts.
CLASSES = (
    "road",
    "sidewalk",
    "parking",
    "rail track",
    "building",
    "wall",
    "fence",
    "guard rail",
    "bridge",
    "tunnel",
    "pole",
    "pole group",
    "traffic light",
    "traffic sign",
    "vegetation",
    "terrain",
    "sky",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "caravan",
    "trailer",
    "train",
    "motorcycle",
    "bicycle",
)
#: Id of the first class. Below it lie the borders of the picture, the car that took it, and what has no class.
FIRST_ID = 7
#: Images with fine label maps in each split; the paper scores the 500 of val.
SPLITS = {"train": 2975, "val": 500}
#: The two archives that have them, by the folder that each unpacks to.
ARCHIVES = {"leftImg8bit": "leftImg8bit_trainvaltest.zip", "gtFine": "gtFine_trainvaltest.zip"}
SITE = "https://www.cityscapes-dataset.com"

#: A photograph's place in its split: the city's folder, then the id, which begins with the city.
_PHOTOGRAPH = re.compile(r"([a-z-]+)/(\1_[0-9]{6}_[0-9]{6})_leftImg8bit\.png")


def load(name: str, *, root: PathLike, split: str = "val", limit: int | None = None) -> Dataset:
    """The photographs of a split by city and name; the first `limit` of them.

    `root`, or one folder in it, holds the archives' own folders: `leftImg8bit/<split>/<city>/*_leftImg8bit.png`
    and `gtFine/<split>/<city>/*_gtFine_labelIds.png`. Ids 7 to 33 are the classes and all others ignored.
    ASSUME: those are the paper's 27 categories, which it does not name: they are PiCIE's and STEGO's.
    Raises InputError, with what to fetch and where to put it, for photographs or label maps that are missing or
    not as many as published; a label map that does not fit its photograph is one when it is read.
    """
    if split not in SPLITS:
        raise InputError(f"data set {name}: expected a split among {', '.join(SPLITS)}, got {split!r}; choose one")
    if limit is not None and not 1 <= limit <= SPLITS[split]:
        raise InputError(f"data set {name}: expected a limit from 1 to {SPLITS[split]:,}, got {limit}; change it")
    root = Path(root)
    photographs, truth = (_tree(name, root, tree, split) for tree in ARCHIVES)
    found = _photographs(photographs)
    if len(found) != SPLITS[split] if limit is None else len(found) < limit:
        wanted = f"{SPLITS[split]:,}" if limit is None else f"at least {limit:,}"
        expected = f"{wanted} photographs <city>/*_leftImg8bit.png in {str(photographs)!r}"
        raise _refusal(name, photographs, expected, f"{len(found):,}")
    files = {id_: (path, _truth_of(path, truth)) for id_, path in list(found.items())[:limit]}
    missing = [labels for _, labels in files.values() if not labels.is_file()]
    if missing:
        got = f"{len(missing):,} missing, first {str(missing[0])!r}"
        raise _refusal(name, photographs, f"{len(files):,} label maps *_gtFine_labelIds.png", got)
    records = (
        Record(id_, partial(read_image, image), partial(_labels, image, labels))
        for id_, (image, labels) in files.items()
    )
    return Dataset(name, tuple(records), CLASSES)


def _tree(name: str, root: Path, tree: str, split: str) -> Path:
    """The folder `<tree>/<split>` in `root`, or else in the one folder of `root` that has it."""
    own = root / tree / split
    if own.is_dir() or not root.is_dir():
        return own
    found = [path for path in sorted(root.glob(f"*/{tree}/{split}")) if path.is_dir()]
    if len(found) > 1:
        got = f"it in {' and '.join(path.relative_to(root).parts[0] for path in found)}; choose by root"
        raise InputError(f"data set {name}: expected one folder {tree}/{split} in or below {str(root)!r}, got {got}")
    return found[0] if found else own


def _photographs(folder: Path) -> dict[str, Path]:
    """Photographs by id, in order; other files (a desktop's own, copies) do not count."""
    matches = ((_PHOTOGRAPH.fullmatch(path.relative_to(folder).as_posix()), path) for path in folder.glob("*/*.png"))
    return dict(sorted((match[2], path) for match, path in matches if match))


def _truth_of(photograph: Path, truth: Path) -> Path:
    return truth / photograph.parent.name / photograph.name.replace("_leftImg8bit", "_gtFine_labelIds")


def _refusal(name: str, photographs: Path, expected: str, got: str) -> InputError:
    """What is wrong, and what to download from where and unpack in which folder."""
    lie = " and ".join(f"{tree}/{photographs.name}" for tree in ARCHIVES)
    return InputError(
        f"data set {name}: expected {expected}, got {got}; log in at {SITE}, download "
        f"{' and '.join(ARCHIVES.values())} and unpack both into {str(photographs.parents[1])!r}, where {lie} lie then"
    )


def _labels(image: Path, path: Path) -> tuple[Int16[np.ndarray, "y x"]]:
    """One map of classes, of the photograph's size."""
    ids = read_labels(path)
    if ids.shape != (size := image_size(image)):
        got = f"{ids.shape[0]} × {ids.shape[1]}; unpack {ARCHIVES['gtFine']} again"
        raise InputError(f"{str(path)!r}: expected the image's {size[0]} × {size[1]} px, got {got}")
    classes = ids - FIRST_ID
    return (np.where((classes >= 0) & (classes < len(CLASSES)), classes, np.int16(IGNORE)),)
