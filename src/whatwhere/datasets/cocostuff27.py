"""COCO-Stuff-27: curated validation photographs of COCO with 27 coarse classes (section 4.2, Table 3)."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int16

from whatwhere.artifacts.errors import InputError
from whatwhere.datasets import coarse
from whatwhere.datasets.images import PathLike, image_size, read_image
from whatwhere.datasets.labels import read_labels
from whatwhere.datasets.record import IGNORE, Dataset, Record

#: In the order that unsupervised segmentation reports them: 12 of things, then 15 of stuff. Words instead of the
#: annotation's compounds (names become prompts), and what things and stuff share told apart.
CLASSES = (
    "electronic",
    "appliance",
    "food-thing",
    "furniture-thing",
    "indoor",
    "kitchen",
    "accessory",
    "animal",
    "outdoor",
    "person",
    "sports",
    "vehicle",
    "ceiling",
    "floor",
    "food-stuff",
    "furniture-stuff",
    "raw material",
    "textile",
    "wall",
    "window",
    "building",
    "ground",
    "plant",
    "sky",
    "solid",
    "structural",
    "water",
)
#: COCO's 91 kinds of things by super-category, in its own order: a label map's 0 to 90.
_THINGS = {
    "person": "person",
    "vehicle": "bicycle, car, motorcycle, airplane, bus, train, truck, boat",
    "outdoor": "traffic light, fire hydrant, street sign, stop sign, parking meter, bench",
    "animal": "bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe",
    "accessory": "hat, backpack, umbrella, shoe, eye glasses, handbag, tie, suitcase",
    "sports": "frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, surfboard, "
    "tennis racket",
    "kitchen": "bottle, plate, wine glass, cup, fork, knife, spoon, bowl",
    "food-thing": "banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake",
    "furniture-thing": "chair, couch, potted plant, bed, mirror, dining table, window, desk, toilet, door",
    "electronic": "tv, laptop, mouse, remote, keyboard, cell phone",
    "appliance": "microwave, oven, toaster, sink, refrigerator, blender",
    "indoor": "book, clock, vase, scissors, teddy bear, hair drier, toothbrush, hair brush",
}
#: COCO-Stuff's 91 kinds of stuff by super-category; in alphabetical order they are a label map's 91 to 181.
_STUFF = {
    "ceiling": "ceiling-other, ceiling-tile",
    "floor": "carpet, floor-marble, floor-other, floor-stone, floor-tile, floor-wood",
    "food-stuff": "food-other, fruit, salad, vegetable",
    "furniture-stuff": "cabinet, counter, cupboard, desk-stuff, door-stuff, furniture-other, light, mirror-stuff, "
    "shelf, stairs, table",
    "raw material": "cardboard, metal, paper, plastic",
    "textile": "banner, blanket, cloth, clothes, curtain, mat, napkin, pillow, rug, textile-other, towel",
    "wall": "wall-brick, wall-concrete, wall-other, wall-panel, wall-stone, wall-tile, wall-wood",
    "window": "window-blind, window-other",
    "building": "bridge, building-other, house, roof, skyscraper, tent",
    "ground": "dirt, gravel, ground-other, mud, pavement, platform, playingfield, railroad, road, sand, snow",
    "plant": "branch, bush, flower, grass, leaves, moss, plant-other, straw, tree",
    "sky": "clouds, sky-other",
    "solid": "hill, mountain, rock, solid-other, stone, wood",
    "structural": "cage, fence, net, railing, structural-other",
    "water": "fog, river, sea, water-other, waterdrops",
}


def _members(groups: dict[str, str]) -> list[tuple[str, str]]:
    """(fine class, its super-category), group by group."""
    return [(fine, coarse) for coarse, names in groups.items() for fine in names.split(", ")]


#: (fine class, super-category) of each label 0 to 181.
FINE = (*_members(_THINGS), *sorted(_members(_STUFF)))
#: Label of pixels that nobody annotated.
UNLABELLED = 255
#: Photographs in the curated list; COCO's val2017 has 5,000.
IMAGES = 2175
#: The list's own name.
LIST = "Coco164kFull_Stuff_Coarse_7.txt"
#: Where under `root` the photographs, label maps and list may be, by source: one's own copy as the papers before
#: laid it out, and last the place where `sources.fetch` puts it. The first that exists counts.
PLACES = {
    "coco-val2017": ("val2017", "images/val2017", "coco-val2017/val2017"),
    "coco-stuffthingmaps2017": (
        "stuffthingmaps/val2017",
        "annotations/val2017",
        "coco-stuffthingmaps2017/val2017",
    ),
    "coco-stuff27-list": (LIST, f"curated/val2017/{LIST}", f"coco-stuff27-list/{LIST}"),
}


def load(name: str, *, root: PathLike, limit: int | None = None) -> Dataset:
    """The photographs of val2017 that the curated list names, in its order; the first `limit` of them.

    Where `root` holds coarse maps or COCO's panoptic annotation instead, its photographs are taken (`coarse`).

    `root` is the root given to `fetch`, or a folder with one's own copy (`PLACES`). Labels are the label maps'
    182 fine classes as their 27 super-categories, unlabelled pixels ignored.
    ASSUME: the paper's "validation set" is this list: it follows PiCIE's and STEGO's protocol, and they score on it.
    Raises InputError for a list that is missing or not as long as published, and for files that it names and
    that are not there; a label map that does not fit its photograph, or holds another label, is one when it is read.
    """
    if coarse.found(Path(root)):
        return coarse.load(name, Path(root), CLASSES, limit)
    photographs, maps, listed = (_found(Path(root), places) for places in PLACES.values())
    ids = _ids(name, listed, limit)
    files = [(photographs / f"{id_}.jpg", maps / f"{id_}.png") for id_ in ids]
    _check_present(name, [path for pair in files for path in pair])
    records = (
        Record(id_, partial(read_image, image), partial(_labels, image, labels))
        for id_, (image, labels) in zip(ids, files, strict=True)
    )
    return Dataset(name, tuple(records), CLASSES)


def _found(root: Path, places: tuple[str, ...]) -> Path:
    """The first of the places that exists, else the last."""
    return next((root / place for place in places if (root / place).exists()), root / places[-1])


def _ids(name: str, listed: Path, limit: int | None) -> list[str]:
    if limit is not None and not 1 <= limit <= IMAGES:
        raise InputError(f"data set {name}: expected a limit from 1 to {IMAGES:,}, got {limit}; change it")
    if not listed.is_file():
        got = f"no such file; fetch it, or put {LIST} into root"
        raise InputError(f"data set {name}: expected the list {str(listed)!r}, got {got}")
    ids = listed.read_text("utf-8", errors="replace").split()
    if len(ids) != IMAGES if limit is None else len(ids) < limit:
        wanted = f"{IMAGES:,} names" if limit is None else f"at least {limit:,} names"
        raise InputError(f"data set {name}: expected {wanted} in {str(listed)!r}, got {len(ids):,}; fetch it again")
    chosen = ids[:limit]
    strange = [id_ for id_ in chosen if not re.fullmatch(r"\d{12}", id_, re.ASCII)]
    if strange or len(set(chosen)) < len(chosen):
        got = repr(strange[0]) if strange else "one of them twice"
        raise InputError(f"{str(listed)!r}: expected different names such as 000000000139, got {got}; fetch it again")
    return chosen


def _check_present(name: str, paths: list[Path]) -> None:
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise InputError(
            f"data set {name}: expected {len(paths):,} files that its list names, got {len(missing):,} missing, "
            f"first {str(missing[0])!r}; fetch {' and '.join(list(PLACES)[:2])} again, or check root"
        )


def _labels(image: Path, path: Path) -> tuple[Int16[np.ndarray, "y x"]]:
    """One map of coarse classes, of the photograph's size."""
    fine = read_labels(path)
    if fine.shape != (size := image_size(image)):
        got = f"{fine.shape[0]} × {fine.shape[1]}; fetch the archive again"
        raise InputError(f"{str(path)!r}: expected the image's {size[0]} × {size[1]} px, got {got}")
    strange = fine[(fine >= len(FINE)) & (fine != UNLABELLED)]
    if strange.size:
        got = f"{strange.max()}; take the maps of things and stuff together (stuffthingmaps)"
        raise InputError(f"{str(path)!r}: expected labels 0 to {len(FINE) - 1} or {UNLABELLED} (unlabelled), got {got}")
    coarse = np.array([*(CLASSES.index(of) for _, of in FINE), IGNORE], np.int16)
    return (coarse[np.minimum(fine, len(FINE))],)
