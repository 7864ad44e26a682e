"""COCO val2017: 5,000 photographs, each object of 80 classes by itself, and captions (appendix D)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from whatwhere.artifacts.errors import InputError
from whatwhere.datasets import coco_own
from whatwhere.datasets.coco_masks import box_of, mask_of
from whatwhere.datasets.images import PathLike, image_size, read_image
from whatwhere.datasets.record import Dataset, Instance, Record, nothing

_NAMES = (
    "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign, "
    "parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella, "
    "handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, "
    "surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, "
    "broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop, "
    "mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors, "
    "teddy bear, hair drier, toothbrush"
)
#: In the order of the annotation's category ids, which leave some out.
CLASSES = tuple(_NAMES.split(", "))
#: Kinds of things that COCO named and then annotated nowhere.
_UNUSED = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
#: The class of each category id.
CATEGORIES = {id_: index for index, id_ in enumerate(id_ for id_ in range(1, 91) if id_ not in _UNUSED)}
#: Photographs in val2017.
IMAGES = 5000
#: Where under `root` the photographs and the instances may be (the captions lie beside the instances), by source:
#: one's own copy, and last the place where `sources.fetch` puts it. The first that exists counts.
PLACES = {
    "coco-val2017": ("val2017", "images/val2017", "coco-val2017/val2017"),
    "coco-annotations2017": (
        "annotations/instances_val2017.json",
        "coco-annotations2017/annotations/instances_val2017.json",
    ),
}
CAPTIONS = "captions_val2017.json"


class _Annotated(NamedTuple):
    """What a file of annotations says of a photograph, as it says it."""

    size: tuple[int, int]
    annotations: list[dict[str, Any]]


#: Reads a file of annotations at the first call: those of each photograph of the data set by its number.
_Reader = Callable[[], dict[int, _Annotated]]


def load(name: str, *, root: PathLike, limit: int | None = None, annotations: PathLike | None = None) -> Dataset:
    """The photographs of val2017 by number, or as many of them as there are; the first `limit` of them.

    With `annotations`, any file in COCO's format, `root` is the folder of the photographs that it lists, and classes
    are its own categories (`coco_own`).

    `root` is the root given to `fetch`, or a folder with one's own copy (`PLACES`). Ids are the files' stems, such as
    000000000139. Instances overlap and leave most pixels without a class, so there are no label maps. The two files
    of annotations are read whole when the first instances or captions are asked for, and kept by the records; masks
    are drawn at each call.
    ASSUME: an outline so thin that no pixel lies in it is no instance: nothing could ever find it.
    Without captions there are none. Raises InputError for a folder of photographs that is missing, empty or fuller than
    published, and for missing annotations; for those that are damaged, and for photographs that they do not list, when
    they are first read.
    """
    if annotations is not None:
        return coco_own.load(name, root=root, annotations=annotations, limit=limit)
    photographs, objects = (_found(Path(root), places) for places in PLACES.values())
    captions = objects.with_name(CAPTIONS)
    numbers = _numbers(name, photographs, limit)
    if not objects.is_file():
        got = "no such file; fetch coco-annotations2017, or put annotations/ into root"
        raise InputError(f"data set {name}: expected the annotations {str(objects)!r}, got {got}")
    readers: tuple[_Reader, ...] = tuple(
        cache(partial(_annotated, path, photographs, numbers)) for path in (objects, captions)
    )
    records = (
        Record(
            _id(number),
            partial(read_image, path := _photograph(photographs, number)),
            instances=partial(_instances, objects, readers[0], path, number),
            captions=partial(_captions, captions, readers[1], number) if captions.is_file() else nothing,
        )
        for number in numbers
    )
    parts = [f"{len(numbers):,} of the {IMAGES:,} photographs of val2017"] * (len(numbers) < IMAGES)
    parts += ["without captions"] * (not captions.is_file())
    return Dataset(name, tuple(records), CLASSES, took=", ".join(parts))


def _id(number: int) -> str:
    return f"{number:012d}"


def _photograph(folder: Path, number: int) -> Path:
    return folder / f"{_id(number)}.jpg"


def _found(root: Path, places: tuple[str, ...]) -> Path:
    """The first of the places that exists, else the last."""
    return next((root / place for place in places if (root / place).exists()), root / places[-1])


def _numbers(name: str, photographs: Path, limit: int | None) -> list[int]:
    """Of the first photographs in the folder; other files (a desktop's own, copies) do not count."""
    if limit is not None and not 1 <= limit <= IMAGES:
        raise InputError(f"data set {name}: expected a limit from 1 to {IMAGES:,}, got {limit}; change it")
    wanted = f"{limit or 1:,} to {IMAGES:,}"
    expected = f"data set {name}: expected {wanted} photographs such as {_id(139)}.jpg in {str(photographs)!r}"
    if not photographs.is_dir():
        raise InputError(f"{expected}, got no such folder; fetch coco-val2017, or put val2017/ into root")
    names = (re.fullmatch(r"([0-9]{12})\.jpg", path.name) for path in photographs.iterdir())
    numbers = sorted(int(match[1]) for match in names if match)
    if not (limit or 1) <= len(numbers) <= IMAGES:
        raise InputError(f"{expected}, got {len(numbers):,}; fetch coco-val2017 again, or check root")
    return numbers[:limit]


# ------------------------------------------------------------------------------------------- annotations


def _annotated(path: Path, photographs: Path, numbers: list[int]) -> dict[int, _Annotated]:
    """The annotations of the photographs with these numbers, all of which the file must list."""
    with _read_as_coco(path):
        content = json.loads(path.read_bytes())
        sizes = {photo["id"]: (int(photo["height"]), int(photo["width"])) for photo in content["images"]}
        _check_listed(path, photographs, sizes, numbers)
        found = {number: _Annotated(sizes[number], []) for number in numbers}
        for annotation in content["annotations"]:
            if annotation["image_id"] in found:
                found[annotation["image_id"]].annotations.append(annotation)
        return found


@contextmanager
def _read_as_coco(path: Path, of: str = "all images") -> Iterator[None]:
    """Whatever a damaged file makes go wrong becomes one line."""
    try:
        yield
    except (OSError, RecursionError, ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        got = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(
            f"{str(path)!r}: expected annotations of {of} as COCO writes them, got damaged ones ({got}); "
            "fetch coco-annotations2017 again"
        ) from error


def _check_listed(path: Path, photographs: Path, listed: Iterable[int], numbers: list[int]) -> None:
    if strange := set(numbers).difference(listed):
        got = f"none for {len(strange):,}, first {_id(min(strange))}.jpg; fetch coco-annotations2017 again"
        raise InputError(f"{str(path)!r}: expected annotations of each photograph in {str(photographs)!r}, got {got}")


def _captions(path: Path, read: _Reader, number: int) -> tuple[str, ...]:
    with _read_as_coco(path, _id(number)):
        captions = (" ".join(one["caption"].split()) for one in read()[number].annotations)
        return tuple(caption for caption in captions if caption)


def _instances(path: Path, read: _Reader, photograph: Path, number: int) -> tuple[Instance, ...]:
    size, annotations = read()[number]
    if image_size(photograph) != size:
        got = "{} × {}; fetch coco-val2017 again".format(*image_size(photograph))
        raise InputError(f"{str(photograph)!r}: expected the {size[0]} × {size[1]} px of its annotations, got {got}")
    with _read_as_coco(path, _id(number)):
        found = [
            Instance(
                CATEGORIES[one["category_id"]],
                mask_of(one["segmentation"], *size),
                crowd=bool(one["iscrowd"]),
                box=box_of(one["bbox"]),
            )
            for one in annotations
        ]
    return tuple(instance for instance in found if instance.mask.any())
