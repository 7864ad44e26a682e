"""`classes.html`: each class in pictures, on one page that fetches nothing. Its frame is `classes.html.j2`."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from whatwhere.app.discover.maps import read_labelled, tinted
from whatwhere.app.discover.names import Names
from whatwhere.app.discover.tally import Class, Shown, Tally
from whatwhere.artifacts.atomic import replacing
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.progress import progress
from whatwhere.datasets.images import read_image

#: A patch's side as part of the photograph's short one, and in pixels on the page; the width of an example.
PATCH, PATCH_PX, EXAMPLE_PX = 0.2, 112, 320
#: Of the map that says where in pictures a class lies.
MAP_PX = 96
#: What pictures are packed with, of 100.
QUALITY = 72


@dataclass(frozen=True)
class _Picture:
    """Ready to embed."""

    base64: str
    width_px: int
    height_px: int
    alt: str


@dataclass(frozen=True)
class _Card:
    """A class as the page shows it."""

    anchor: str
    name: str
    number: int
    colour: str
    share: str
    photographs: int
    merged: str
    map: _Picture
    patches: Sequence[_Picture]
    examples: Sequence[_Picture]


def write_page(output: Path, found: Tally, names: Names, *, title: str) -> None:
    """The page, written beside `output` and renamed. A photograph that is gone since is left out."""
    from jinja2 import Environment, StrictUndefined

    archive = output.parent / "archive"
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    frame = (resources.files("whatwhere.app.discover") / "classes.html.j2").read_text("utf-8")
    cards = [_card(one, names, archive) for one in progress(found.classes, "page")]
    page = environment.from_string(frame).render(
        title=title,
        cards=cards,
        photographs=found.photographs,
        strangers=f"{found.strangers:.1%}",
        strangest=[p for one in found.strangest if (p := _plain(one))],
    )
    with replacing(output) as unfinished:
        unfinished.write_text(page, "utf-8", newline="\n")


def _card(one: Class, names: Names, archive: Path) -> _Card:
    merged = [names.names[n] for n in np.flatnonzero(names.shown_as == one.number).tolist() if n != one.number]
    name = names.names[one.number]
    return _Card(
        f"class-{one.number}",
        name,
        one.number,
        f"#{bytes(names.colours[one.number].tolist()).hex()}",
        f"{one.share:.1%}",
        one.photographs,
        ", ".join(merged),
        _map(one.places, names.colours[one.number], name),
        [p for shown in one.patches if (p := _patch(shown, name))],
        [p for shown in one.examples if (p := _example(shown, one.number, names, archive))],
    )


@lru_cache(maxsize=8)
def _read(photo: str) -> UInt8[np.ndarray, "y x 3"] | None:
    try:
        return read_image(photo)
    except InputError:
        return None


def _patch(shown: Shown, name: str) -> _Picture | None:
    """The square about the most typical place."""
    if (image := _read(shown.photo)) is None:
        return None
    height, width = image.shape[:2]
    side = max(1, round(PATCH * min(height, width)))
    top, left = (
        int(np.clip(round(place * length - side / 2), 0, length - side))
        for place, length in zip(shown.at, (height, width), strict=True)
    )
    patch = Image.fromarray(image[top : top + side, left : left + side])
    return _packed(patch.resize((PATCH_PX, PATCH_PX)), f"{name} in {Path(shown.photo).name}")


def _example(shown: Shown, number: int, names: Names, archive: Path) -> _Picture | None:
    """The photograph, all of which that is not of the class in grey."""
    image, kept = _read(shown.photo), read_labelled(archive / f"{shown.name}.npz")
    if image is None or kept is None or kept[0].labels.shape != image.shape[:2]:
        return None
    inside = (names.shown_as[kept[0].labels] == number)[:, :, None]
    grey = tinted(image, np.broadcast_to(np.uint8(235), image.shape))
    picture = Image.fromarray(np.where(inside, image, grey).astype(np.uint8))
    picture.thumbnail((EXAMPLE_PX, EXAMPLE_PX))
    words = f"{names.names[number]}, {shown.worth:.0%} of {Path(shown.photo).name}"
    return _packed(picture, words)


def _plain(shown: Shown) -> _Picture | None:
    if (image := _read(shown.photo)) is None:
        return None
    picture = Image.fromarray(image)
    picture.thumbnail((EXAMPLE_PX, EXAMPLE_PX))
    return _packed(picture, f"{Path(shown.photo).name}: {shown.worth:.0%} hardly connects")


def _map(places: Float[np.ndarray, "row column"], colour: UInt8[np.ndarray, "3"], name: str) -> _Picture:
    """Where in pictures the class lies: from white to its colour where it lies most."""
    depth = (places / max(float(places.max()), 1e-12))[:, :, None]
    rgb = np.rint(255 * (1 - depth) + colour * depth).astype(np.uint8)
    picture = Image.fromarray(rgb).resize((MAP_PX, MAP_PX), Image.Resampling.BILINEAR)
    rows = (np.arange(len(places)) + 0.5) / len(places)
    total = max(float(places.sum()), 1e-12)
    y, x = float(places.sum(1) @ rows / total), float(places.sum(0) @ rows / total)
    across = "left" if x < 0.4 else "right" if x > 0.6 else "middle"
    down = "upper" if y < 0.4 else "lower" if y > 0.6 else "central"
    return _packed(picture, f"{name} lies mostly in the {down} {across} of pictures")


def _packed(picture: Image.Image, alt: str) -> _Picture:
    kept = io.BytesIO()
    picture.save(kept, format="WEBP", quality=QUALITY, method=4)
    return _Picture(b64encode(kept.getvalue()).decode("ascii"), picture.width, picture.height, alt)
