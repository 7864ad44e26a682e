"""Tables for people, and label maps for other programs: COCO's panoptic format, and the `folder` data set's."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import yaml
from jaxtyping import Integer
from PIL import Image

from whatwhere.app.discover.maps import read_labelled
from whatwhere.app.discover.names import Names
from whatwhere.app.discover.tally import Said, Tally
from whatwhere.app.photos import COMPRESS_LEVEL
from whatwhere.artifacts.atomic import replacing
from whatwhere.artifacts.progress import progress
from whatwhere.artifacts.provenance import VERSION


def write_exports(
    out: Path, folder: Path, photos: Mapping[Path, str], found: Tally, names: Names, *, panoptic: bool
) -> None:
    """`classes.csv`, `dataset.yaml` (an overlay by which a run reads the label maps), and where it is asked for
    `panoptic.json` with its PNGs.
    """
    _write_classes(out / "classes.csv", found, names)
    _write_dataset(out, folder, names)
    if panoptic:
        _write_panoptic(out, folder, photos, names)


def _write_classes(file: Path, found: Tally, names: Names) -> None:
    header = ["class", "name", "colour", "share", "photographs", "row", "column", "merged from"]
    rows = []
    for one in found.classes:
        weights = one.places / max(one.places.sum(), 1e-12)
        centres = (np.arange(len(weights)) + 0.5) / len(weights)
        merged = [n for n in np.flatnonzero(names.shown_as == one.number).tolist() if n != one.number]
        rows.append(
            [
                one.number,
                names.names[one.number],
                f"#{bytes(names.colours[one.number].tolist()).hex()}",
                f"{one.share:.4f}",
                one.photographs,
                f"{weights.sum(1) @ centres:.3f}",
                f"{weights.sum(0) @ centres:.3f}",
                " ".join(map(str, merged)),
            ]
        )
    with replacing(file) as unfinished, unfinished.open("w", encoding="utf-8", newline="") as opened:
        csv.writer(opened, lineterminator="\n").writerows([header, *rows])


def in_table(said: Iterable[Said], out: Path, names: Names) -> Iterator[Said]:
    """What comes, while `photographs.csv` gets a row of each: the part that hardly connects to the sample, and that of
    each class. The file is there when all were taken.
    """
    shown = names.shown()
    with (
        replacing(out / "photographs.csv") as unfinished,
        unfinished.open("w", encoding="utf-8", newline="") as opened,
    ):
        table = csv.writer(opened, lineterminator="\n")
        table.writerow(["photograph", "label map", "hardly connects", *(names.names[n] for n in shown)])
        for photo, name, one in said:
            own = np.bincount(names.shown_as, one.shares, len(names.names))
            cells = [f"{own[n]:.4f}" for n in shown]
            table.writerow([str(photo), f"labels/{name}.png", f"{one.strangers:.4f}", *cells])
            yield photo, name, one


def _write_dataset(out: Path, folder: Path, names: Names) -> None:
    """The overlay that names the photographs and their label maps as a data set of kind `folder`."""
    settings = {
        "kind": "folder",
        "root": str(folder.resolve()),
        "labels_root": str((out / "labels").resolve()),
        "classes": list(_distinct(names)),
    }
    with replacing(out / "dataset.yaml") as unfinished:
        unfinished.write_text(yaml.safe_dump({"datasets": {"discovered": settings}}, sort_keys=False), "utf-8")


def _distinct(names: Names) -> Iterator[str]:
    """Names of all numbers, each once: what was merged away, or has another's name, with its number."""
    taken: set[str] = set()
    for number, name in enumerate(names.names):
        own = name if names.shown_as[number] == number and name not in taken else f"{name} ({number})"
        taken.add(own)
        yield own


def _write_panoptic(out: Path, folder: Path, photos: Mapping[Path, str], names: Names) -> None:
    """COCO's panoptic JSON, one photograph after the other, and of each a PNG whose colours are segments' numbers.

    A class of a photograph is one segment, its number the class's and one: 0 is nothing.
    """
    categories = [
        {
            "id": n + 1,
            "name": names.names[n],
            "isthing": 0,
            "color": names.colours[n].tolist(),
            "supercategory": "class",
        }
        for n in names.shown()
    ]
    head = {"info": {"description": "classes found by whatwhere", "version": VERSION}, "categories": categories}
    with replacing(out / "panoptic.json") as unfinished, unfinished.open("w", encoding="utf-8") as opened:
        opened.write(json.dumps(head)[:-1] + ', "annotations": [')
        images = _write_annotations(opened, out, folder, photos, names)
        opened.write(f'], "images": {json.dumps(images)}}}')


def _write_annotations(
    opened: TextIO, out: Path, folder: Path, photos: Mapping[Path, str], names: Names
) -> list[dict[str, Any]]:
    """Writes each photograph's annotation and PNG; answers the images."""
    images: list[dict[str, Any]] = []
    for photo, name in progress(photos.items(), "panoptic", total=len(photos)):
        kept = read_labelled(out / "archive" / f"{name}.npz")
        if kept is None:
            continue
        shown = names.shown_as[kept[0].labels]
        number = len(images) + 1
        file = f"{name}.png"
        annotation = {"image_id": number, "file_name": file, "segments_info": list(_segments(shown))}
        opened.write((", " if images else "") + json.dumps(annotation))
        height, width = shown.shape
        place = photo.relative_to(folder).as_posix()
        images.append({"id": number, "file_name": place, "height": height, "width": width})
        colours = np.zeros((*shown.shape, 3), np.uint8)
        colours[:, :, 0] = (shown + 1) % 256
        colours[:, :, 1] = (shown + 1) // 256
        with replacing(out / "panoptic" / file) as unfinished:
            Image.fromarray(colours).save(unfinished, format="PNG", compress_level=COMPRESS_LEVEL)
    return images


def _segments(shown: Integer[np.ndarray, "y x"]) -> Iterator[dict[str, Any]]:
    for n in np.unique(shown).tolist():
        mask = shown == n
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        top, left = int(rows[0]), int(columns[0])
        box = [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1]
        yield {"id": n + 1, "category_id": n + 1, "area": int(mask.sum()), "bbox": box, "iscrowd": 0}
