"""What is kept of each labelled photograph: a label map to look at and to read again, and what the page is made of."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int16, UInt8
from PIL import Image

from whatwhere.app.discover.names import Names
from whatwhere.app.photos import COMPRESS_LEVEL
from whatwhere.artifacts.atomic import replacing
from whatwhere.publish.figures.colours import bands, greyed, outlines
from whatwhere.stages.codebook import Book

#: Rows and columns of the map that says where in pictures a class lies.
PLACES = 12
#: Weight of a class's colour over the grey photograph.
TINT = 0.55
#: In an archive: of a summary, and what says which photograph and codebook it is of.
_ARRAYS, _ABOUT = ("shares", "places", "typical", "typical_at"), ("photo", "state", "codebook")


@dataclass(frozen=True)
class Summary:
    """What tables and page say of one photograph, as small for a large one: of each class the part of the picture that
    it covers, and of each cell of the picture, which place (y, x; 0 to 1) is its most typical and how typical that is
    (−inf where it is not there); and the part of the tokens that hardly connects to the sample.
    """

    shares: Float[np.ndarray, "cluster"]
    places: Float[np.ndarray, "cluster row column"]
    typical: Float[np.ndarray, "cluster"]
    typical_at: Float[np.ndarray, "cluster 2"]
    strangers: float


@dataclass(frozen=True)
class Labelled:
    """One photograph: its label map, and what is said of it."""

    labels: UInt8[np.ndarray, "y x"]
    summary: Summary


def labelled(
    book: Book,
    rows: Float[np.ndarray, "token vector"],
    grid: tuple[int, int],
    labels: Int16[np.ndarray, "y x"],
    strangers: float,
) -> Labelled:
    """What is to be kept, from the photograph's rows of X on its grid and its label map."""
    tokens = book.centres.assign(rows)
    nearness = -np.linalg.norm(rows - book.centres.centres[tokens], axis=1)
    typical = np.full(book.classes, -np.inf, np.float32)
    at = np.zeros((book.classes, 2), np.float32)
    for number in np.unique(tokens):
        best = int(np.where(tokens == number, nearness, -np.inf).argmax())
        typical[number] = nearness[best]
        row, column = divmod(best, grid[1])
        at[number] = (row + 0.5) / grid[0], (column + 0.5) / grid[1]
    narrow = labels.astype(np.uint8)
    said = Summary(_shares(narrow, book.classes), _places(labels, book.classes), typical, at, strangers)
    return Labelled(narrow, said)


def _shares(labels: UInt8[np.ndarray, "y x"], classes: int) -> Float[np.ndarray, "cluster"]:
    return np.bincount(labels.ravel(), minlength=classes) / labels.size


def _places(labels: Int16[np.ndarray, "y x"], classes: int) -> Float[np.ndarray, "cluster row column"]:
    """The part of each cell of the picture that each class covers."""
    height, width = labels.shape
    rows, columns = (np.arange(side) * PLACES // side for side in (height, width))
    cells = rows[:, None] * PLACES + columns
    counts = np.bincount((labels.astype(np.int64) * PLACES**2 + cells).ravel(), minlength=classes * PLACES**2)
    counts = counts.reshape(classes, PLACES, PLACES)
    return (counts / np.maximum(counts.sum(0), 1)).astype(np.float32)


def write_labelled(file: Path, found: Labelled, about: Mapping[str, str]) -> None:
    """The archive of a photograph: numbers, and in words which photograph and codebook it is of."""
    kept: dict[str, Any] = {
        "labels": found.labels,
        **{name: getattr(found.summary, name) for name in _ARRAYS},
        "strangers": np.float32(found.summary.strangers),
        **{key: np.array(value) for key, value in about.items()},
    }
    with replacing(file) as unfinished, unfinished.open("wb") as opened:
        np.savez_compressed(opened, **kept)


def read_labelled(file: Path) -> tuple[Labelled, dict[str, str]] | None:
    """What was kept, and what it is of; None of a file that is not there or something else."""
    with suppress(Exception), np.load(file, allow_pickle=False) as found:
        return Labelled(found["labels"], _summary(found)), {key: str(found[key]) for key in _ABOUT}
    return None


def read_summary(file: Path) -> Summary | None:
    """Of what was kept all but the label map, which is not unpacked; None as `read_labelled`."""
    with suppress(Exception), np.load(file, allow_pickle=False) as found:
        return _summary(found)
    return None


def _summary(found: np.lib.npyio.NpzFile) -> Summary:
    """Archives of earlier versions hold no shares."""
    arrays = {name: found[name] for name in _ARRAYS if name in found}
    if "shares" not in arrays:
        arrays["shares"] = _shares(found["labels"], len(arrays["places"]))
    return Summary(**arrays, strangers=float(found["strangers"]))


def about_of(file: Path) -> dict[str, str] | None:
    """What an archive is of, without its numbers."""
    with suppress(Exception), np.load(file, allow_pickle=False) as found:
        return {key: str(found[key]) for key in _ABOUT}
    return None


def write_map(file: Path, labels: UInt8[np.ndarray, "y x"], names: Names) -> None:
    """An indexed PNG: of each pixel the number of the class that it is shown as, in that class's colour."""
    picture = Image.fromarray(names.shown_as.astype(np.uint8)[labels])
    indexed = Image.frombytes("P", picture.size, picture.tobytes())
    indexed.putpalette(names.colours.tobytes())
    with replacing(file) as unfinished:
        indexed.save(unfinished, format="PNG", compress_level=COMPRESS_LEVEL)


def overlay(file: Path, image: UInt8[np.ndarray, "y x 3"], labels: UInt8[np.ndarray, "y x"], names: Names) -> None:
    """The photograph in grey under the colours of its classes, with their outlines."""
    shown = names.shown_as[labels]
    picture = tinted(image, names.colours[shown])
    picture[outlines(shown, 5)] = 255
    picture[outlines(shown, 3)] = 38
    with replacing(file) as unfinished:
        Image.fromarray(picture).save(unfinished, format="PNG", compress_level=COMPRESS_LEVEL)


def tinted(image: UInt8[np.ndarray, "y x 3"], colours: UInt8[np.ndarray, "y x 3"]) -> UInt8[np.ndarray, "y x 3"]:
    """The photograph in grey under colours."""
    picture = np.empty_like(image)
    for rows in bands(image):
        picture[rows] = np.rint(greyed(image[rows]) * (1 - TINT) + colours[rows] * TINT)
    return picture
