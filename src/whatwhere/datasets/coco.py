"""COCO val2017: 5,000 photographs, each object of 80 classes by itself, and captions (appendix D)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from whatwhere.artifacts.errors import InputError
from whatwhere.datasets.images import PathLike, image_size, read_image
from whatwhere.datasets.record import Dataset, Instance, Record

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


def load(name: str, *, root: PathLike, limit: int | None = None) -> Dataset:
    """The photographs of val2017 by number; the first `limit` of them.

    `root` is the root given to `fetch`, or a folder with one's own copy (`PLACES`). Ids are the files' stems, such as
    000000000139. Instances overlap and leave most pixels without a class, so there are no label maps. The two files
    of annotations are read whole when the first instances or captions are asked for, and kept by the records; masks
    are drawn at each call.
    ASSUME: an outline so thin that no pixel lies in it is no instance: nothing could ever find it.
    Raises InputError for a folder of photographs that is missing or not as full as published, and for missing files
    of annotations; for those that are damaged, and for photographs that they list and that are not there, when they
    are first read.
    """
    photographs, objects = (_found(Path(root), places) for places in PLACES.values())
    captions = objects.with_name(CAPTIONS)
    numbers = _numbers(name, photographs, limit)
    for path in (objects, captions):
        if not path.is_file():
            got = "no such file; fetch coco-annotations2017, or put annotations/ into root"
            raise InputError(f"data set {name}: expected the annotations {str(path)!r}, got {got}")
    readers: tuple[_Reader, ...] = tuple(
        cache(partial(_annotated, path, photographs, numbers)) for path in (objects, captions)
    )
    records = (
        Record(
            _id(number),
            partial(read_image, path := _photograph(photographs, number)),
            instances=partial(_instances, objects, readers[0], path, number),
            captions=partial(_captions, captions, readers[1], number),
        )
        for number in numbers
    )
    return Dataset(name, tuple(records), CLASSES)


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
    wanted = f"{IMAGES:,}" if limit is None else f"at least {limit:,}"
    expected = f"data set {name}: expected {wanted} photographs such as {_id(139)}.jpg in {str(photographs)!r}"
    if not photographs.is_dir():
        raise InputError(f"{expected}, got no such folder; fetch coco-val2017, or put val2017/ into root")
    names = (re.fullmatch(r"([0-9]{12})\.jpg", path.name) for path in photographs.iterdir())
    numbers = sorted(int(match[1]) for match in names if match)
    if len(numbers) != IMAGES if limit is None else len(numbers) < limit:
        raise InputError(f"{expected}, got {len(numbers):,}; fetch coco-val2017 again, or check root")
    return numbers[:limit]


# ------------------------------------------------------------------------------------------- annotations


def _annotated(path: Path, photographs: Path, numbers: list[int]) -> dict[int, _Annotated]:
    """The annotations of the photographs with these numbers, which must be the first of those that the file lists."""
    with _read_as_coco(path):
        content = json.loads(path.read_bytes())
        sizes = {photo["id"]: (int(photo["height"]), int(photo["width"])) for photo in content["images"]}
        _check_listed(path, photographs, sorted(sizes)[: len(numbers)], numbers)
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


def _check_listed(path: Path, photographs: Path, listed: list[int], numbers: list[int]) -> None:
    there = set(numbers)
    missing = [number for number in listed if number not in there]
    if missing:
        first = str(_photograph(photographs, missing[0]))
        raise InputError(
            f"{str(path)!r}: expected the {len(listed):,} photographs that it lists first, got {len(missing):,} "
            f"missing, first {first!r}; fetch coco-val2017 again, or check root"
        )
    if strange := there.difference(listed):
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
                _mask(one["segmentation"], *size),
                crowd=bool(one["iscrowd"]),
                box=_box(one["bbox"]),
            )
            for one in annotations
        ]
    return tuple(instance for instance in found if instance.mask.any())


def _box(box: Any) -> tuple[float, float, float, float]:
    """Left, top, width and height. Raises ValueError and the like."""
    left, top, width, height = (float(side) for side in box)
    if not (np.isfinite([left, top]).all() and 0 <= width < np.inf and 0 <= height < np.inf):
        raise ValueError(f"bbox {box}")
    return left, top, width, height


def _mask(segmentation: Any, height: int, width: int) -> Bool[np.ndarray, "y x"]:
    """The pixels of one outline (polygons) or of run lengths, plain or compressed. Raises ValueError and the like."""
    from pycocotools import mask as run_lengths

    if isinstance(segmentation, dict):
        code = _run_lengths(segmentation, height, width)
    else:
        _check_polygons(segmentation, height, width)
        code = run_lengths.merge(run_lengths.frPyObjects(segmentation, height, width))
    return run_lengths.decode(code).astype(bool)


def _run_lengths(segmentation: dict[str, Any], height: int, width: int) -> dict[str, Any]:
    """Compressed run lengths that cover the image: the decoder leaves what they do not cover as memory has it."""
    from pycocotools import mask as run_lengths

    size, counts = [height, width], segmentation["counts"]
    if isinstance(counts, str):
        code = {"size": size, "counts": counts.encode()}
        covers = run_lengths.encode(run_lengths.decode(code)) == code
    else:
        code = run_lengths.frPyObjects({"size": size, "counts": counts}, height, width)
        covers = all(isinstance(count, int) for count in counts) and sum(counts) == height * width
    if segmentation["size"] != size or not covers:
        raise ValueError(f"run lengths that do not cover {height} × {width} px")
    return code


def _check_polygons(polygons: Any, height: int, width: int) -> None:
    """Four numbers would be taken for a box, and those far outside need memory without end."""
    if not polygons:
        raise ValueError("an outline without polygons")
    for polygon in polygons:
        if len(polygon) < 6 or len(polygon) % 2:
            raise ValueError(f"a polygon of {len(polygon)} numbers")
        if not np.abs(polygon).max() <= 2 * max(height, width):  # not(...) also catches NaN
            raise ValueError(f"a polygon outside {height} × {width} px")
