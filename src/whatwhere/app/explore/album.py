"""The files of a page over a folder: `index.html`, and for each photograph a small one that is read when it is opened.

A page opened from disk may not fetch, so a photograph's numbers are a classic script, `data/KEY.js`, that hands them to
the page by a call; `thumbs/KEY.jpg` is shown before. KEY is a hash of all that a file depends on: one that is there is
done. Names, colours and merges are in the index alone, which is written anew each time.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from whatwhere.app.discover.names import Names
from whatwhere.artifacts.atomic import replacing
from whatwhere.artifacts.provenance import VERSION
from whatwhere.method.joint.connections import Connections
from whatwhere.publish.explored.bits import Bits, runs_text
from whatwhere.publish.explored.numbers import as_jpeg, small
from whatwhere.publish.explored.page import as_safe, joined, page_file, template

#: Changes with what a data file holds.
LAYOUT = "1"
#: Folders of the data files and of the thumbnails, whose long side is so many pixels.
DATA, THUMBS, THUMB_PX = "data", "thumbs", 240
#: A cosine is a whole number of these steps from 0 to 1, in a byte: off by at most 0.2 %.
WEIGHT_LEVELS, WEIGHT_BITS = 255, 8
#: Classes are listed with a photograph from this part of it on.
LISTED = 0.005
_OURS = re.compile(r"[0-9a-f]{24}\.(js|jpg)")


@dataclass(frozen=True)
class Shown:
    """A photograph in the index: the key of its files, its name, height and width, and classes with their shares."""

    key: str
    name: str
    size: tuple[int, int]
    shares: Sequence[tuple[int, float]]


@dataclass(frozen=True)
class Marked:
    """Landmarks of a photograph of the index (by number): its grid, which patches, and the class of each."""

    photo: int
    grid: tuple[int, int]
    patches: Sequence[int]
    classes: Sequence[int]


def data_file(
    key: str,
    image: UInt8[np.ndarray, "y x 3"],
    labels: UInt8[np.ndarray, "y x"],
    grid: tuple[int, int],
    found: dict[str, Connections],
    landmarks: int,
) -> str:
    """The script of one photograph: the picture, its label map, the class of each patch and its connections."""
    shown = small(image)
    size = shown.shape[1], shown.shape[0]
    facts = {
        "size": size,
        "grid": grid,
        "count": max(one.places.shape[1] for one in found.values()),
        "picture": b64encode(as_jpeg(shown, quality=80)).decode("ascii"),
        "labels": runs_text(np.asarray(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))),
        "classes": runs_text(patch_classes(labels, grid)),
        **{pathway: _connections_text(one, landmarks) for pathway, one in found.items()},
    }
    return f"whatwhere.photo({json.dumps(key)}, {json.dumps(facts, separators=(',', ':'))});\n"


def write_photo(out: Path, key: str, image: UInt8[np.ndarray, "y x 3"], text: str) -> None:
    """Both files; the data, which say that it is done, last."""
    with replacing(out / THUMBS / f"{key}.jpg") as unfinished:
        unfinished.write_bytes(as_jpeg(small(image, THUMB_PX), quality=72))
    with replacing(out / DATA / f"{key}.js") as unfinished:
        unfinished.write_text(text, "utf-8", newline="\n")


def is_written(out: Path, key: str) -> bool:
    """Whether both files are there."""
    return (out / DATA / f"{key}.js").is_file() and (out / THUMBS / f"{key}.jpg").is_file()


def remove_others(out: Path, keys: set[str]) -> None:
    """Files of photographs that the index has no more."""
    for folder in (out / DATA, out / THUMBS):
        for file in folder.glob("*.*"):
            if _OURS.fullmatch(file.name) and file.stem not in keys:
                file.unlink(missing_ok=True)


def write_album(
    out: Path,
    photos: Sequence[Shown],
    marks: Sequence[Marked],
    names: Names,
    *,
    title: str,
    about: dict[str, Any],
) -> Path:
    """`index.html`; `about` are facts in words and numbers. Answers where it is."""
    facts = {
        **about,
        "names": names.names,
        "colours": names.colours.tobytes().hex(),
        "shown": names.shown_as.tolist(),
        "photos": [[one.key, _sayable(one.name), *one.size, _merged(one.shares, names)] for one in photos],
        "landmarks": [[one.photo, *one.grid, list(one.patches), list(one.classes)] for one in marks],
    }
    text = template("folder").render(
        title=_sayable(title),
        facts=facts,
        sample=len(marks),
        listed=f"{100 * LISTED:g}",
        marks=sum(len(one.patches) for one in marks),
        version=VERSION,
        style=as_safe(page_file("style.css").replace("{{ ramp }}", "#000, #fff") + page_file("folder.css")),
        json=as_safe(json.dumps(facts, separators=(",", ":")).replace("<", "\\u003c")),
        code=as_safe(joined("folder")),
    )
    with replacing(out / "index.html") as unfinished:
        unfinished.write_text(text, "utf-8", newline="\n")
    return out / "index.html"


def patch_classes(labels: UInt8[np.ndarray, "y x"], grid: tuple[int, int]) -> Int[np.ndarray, "row column"]:
    """The class that most of each patch is of; of a patch without a pixel of its own that of the nearest."""
    for axis, (side, patches) in enumerate(zip(labels.shape, grid, strict=True)):
        if side < patches:
            labels = labels.take(np.arange(patches) * side // patches, axis)
    rows, columns = (
        np.minimum(np.arange(side) * patches // side, patches - 1)
        for side, patches in zip(labels.shape, grid, strict=True)
    )
    classes, patches = int(labels.max()) + 1, grid[0] * grid[1]
    cells = (rows[:, None] * grid[1] + columns) * classes + labels
    return np.bincount(cells.ravel(), minlength=patches * classes).reshape(*grid, classes).argmax(-1)


def _connections_text(found: Connections, landmarks: int) -> str:
    """Token after token, of each connection the landmark's number from 1 on (0: none), and its weight."""
    bits = Bits()
    bits.plain(found.places + 1, landmarks.bit_length())
    bits.plain(np.rint(np.clip(found.cosines, 0, 1) * WEIGHT_LEVELS).astype(np.int64), WEIGHT_BITS)
    return bits.text()


def _sayable(name: str) -> str:
    """A file's name, which need not be UTF-8, as the page and its address can say it; differs where names do."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _merged(shares: Sequence[tuple[int, float]], names: Names) -> list[list[int]]:
    """Classes that are shown with their shares, the largest first, in thousandths."""
    found: dict[int, float] = {}
    for number, share in shares:
        shown = int(names.shown_as[number])
        found[shown] = found.get(shown, 0.0) + share
    return [[n, round(1000 * share)] for n, share in sorted(found.items(), key=lambda i: -i[1]) if share >= LISTED]
