"""What may stand in a cell of a sheet, each kind drawn at the size at which it is printed.

Drawn from its own tokens or pixels straight to the cell's, nothing is resampled twice, and what a backbone
saw stretched gets the photograph's shape again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image, ImageDraw

from whatwhere.artifacts.errors import InputError
from whatwhere.datasets.images import tokens_to_pixels
from whatwhere.evaluate.borders import Borders, to_pixels
from whatwhere.publish.figures.colours import (
    MID_GREY,
    Drawn,
    Limits,
    Picture,
    eigenvector_rgb,
    half_colours,
    heat,
    label_colours,
    outlines,
    region_overlay,
    shaded,
)
from whatwhere.publish.figures.instances import check_masks, instance_overlay
from whatwhere.publish.figures.naming import check_names, name_colours, name_swatch
from whatwhere.publish.figures.page import broken, letters


@runtime_checkable
class Cell(Protocol):
    """A picture in waiting. Whatever has this method can stand on a sheet."""

    def draw(self, photo: Picture, height: int, width: int) -> Drawn:
        """`height` × `width` pixels; `photo` is the row's photograph, at its own size."""
        ...


@dataclass(frozen=True)
class Key:
    """What the colours of a cell mean: which of its `names` occur, as `labels` among them (negative: not scored), the
    `swatch` of a label, and `remarks` on what the names do not say, each with a swatch.
    """

    names: tuple[str, ...]
    labels: tuple[int, ...]
    swatch: Callable[[int], Picture]
    remarks: Mapping[str, Picture] = field(default_factory=dict)


@runtime_checkable
class Keyed(Cell, Protocol):
    """A cell whose colours the legend below a sheet explains. Whatever has this method is in it."""

    def key(self) -> Key:
        """The colours that occur, and what they mean."""
        ...


@dataclass(frozen=True)
class Photo:
    """An image as it is."""

    image: Picture

    def draw(self, photo: Picture, height: int, width: int) -> Drawn:
        """See `Cell.draw`: the image, resized."""
        return _resized(self.image, height, width)


@dataclass(frozen=True)
class Eigenvectors:
    """Three columns of X_ortho on the token grid as RGB (paper, Figures 3, 5, 6), from `first` (from 0) on.

    With the `limits` of a data set a colour means the same in all its images (Figures 5, 6, 8, 9); without them every
    image has its own. Raises InputError for vectors that are not finite or not on a grid, and for other limits than
    theirs.
    """

    vectors: Float[np.ndarray, "row column vector"]
    first: int = 0
    limits: Limits | None = None

    def __post_init__(self) -> None:
        if self.vectors.ndim != 3 or not self.vectors.size or not np.isfinite(self.vectors).all():
            expected, got = "finite vectors [row, column, vector]", f"{list(self.vectors.shape)}, or NaN in it"
            raise InputError(f"eigenvectors: expected {expected}, got {got}; solve again")
        if self.limits is not None and (
            self.limits.shape != (self.vectors.shape[2], 2) or not np.isfinite(self.limits).all()
        ):
            expected, got = f"[{self.vectors.shape[2]}, 2]", f"{list(self.limits.shape)}, or NaN in it"
            raise InputError(f"eigenvectors: expected limits {expected}, got {got}; solve again")

    def draw(self, photo: Picture, height: int, width: int) -> Drawn:
        """See `Cell.draw`: three eigenvectors as red, green and blue."""
        return eigenvector_rgb(self.vectors, self.first, height, width, self.limits)


@dataclass(frozen=True)
class Heat:
    """One column of X_ortho on the token grid, from dark blue at the lower of its limits to yellow (Figure 2)."""

    vector: Float[np.ndarray, "row column"]
    limits: tuple[float, float]

    def draw(self, photo: Picture, height: int, width: int) -> Drawn:
        """See `Cell.draw`: a value a token, as a colour."""
        return heat(self.vector, self.limits, height, width)


@dataclass(frozen=True)
class Regions:
    """The region (0 … K − 1) of each token over the row's photograph, `note` in the lower left corner; `borders` as
    `evaluate.borders` has them.

    Raises InputError for numbers under 0.
    """

    regions: Int[np.ndarray, "row column"]
    note: str = ""
    borders: Borders = "tokens"

    def __post_init__(self) -> None:
        if self.regions.min() < 0:
            raise InputError(f"regions: expected numbers from 0, got {self.regions.min()}; number them from 0")

    def draw(self, photo: Picture, height: int, width: int) -> Drawn:
        """See `Cell.draw`: regions over the photograph."""
        # at twice the size, then halved: thin outlines without a staircase
        twice = (2 * height, 2 * width)
        large = _resized(photo, *twice)
        return _halved(region_overlay(large, to_pixels(self.regions, large, self.borders)), self.note)


@dataclass(frozen=True)
class Instances:
    """Masks that may overlap over the row's photograph, each in its own colour (Figure 14), on any grid over it;
    `note` is in the lower left corner.

    Without masks it is the photograph. Raises InputError for masks that are not boolean `[mask, row, column]`.
    """

    masks: Bool[np.ndarray, "mask row column"]
    note: str = ""

    def __post_init__(self) -> None:
        check_masks(self.masks)

    def draw(self, photo: Picture, height: int, width: int) -> Drawn:
        """See `Cell.draw`: masks of objects over the photograph."""
        if not len(self.masks):
            return _halved(_resized(photo, height, width).repeat(2, 0).repeat(2, 1), self.note)
        return _halved(instance_overlay(_resized(photo, 2 * height, 2 * width), self.masks), self.note)


@dataclass(frozen=True)
class Named:
    """What is named in colour over the row's photograph, and label 0, the background, in pale grey (Figures 11, 13).

    `labels` are on the token grid or on pixels, `names[label]` says what one is, `names[0]` included; `note` is in the
    lower left corner. Negative labels are pixels that are not scored. Raises InputError for labels without a name.
    """

    labels: Int[np.ndarray, "row column"]
    names: tuple[str, ...]
    note: str = ""

    def __post_init__(self) -> None:
        check_names(self.labels, self.names)

    def draw(self, photo: Picture, height: int, width: int) -> Drawn:
        """See `Cell.draw`: regions in the colours of their names."""
        twice = (2 * height, 2 * width)
        # of what is finer than the cell there is nothing to smooth
        fit = tokens_to_pixels if self.labels.size < height * width else _nearest
        return _halved(name_colours(_resized(photo, *twice), fit(self.labels, *twice), len(self.names)), self.note)

    def key(self) -> Key:
        """See `Keyed.key`: the names that were given."""
        return Key(self.names, _present(self.labels), name_swatch)


@dataclass(frozen=True)
class Labels:
    """A label map in the colours of its `classes`; without classes, segments with outlines between them.

    Negative labels are pixels that are not scored. Raises InputError for a label beyond `classes`.
    """

    labels: Int[np.ndarray, "y x"]
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        most = self.labels.max(initial=-1)
        if self.classes and most >= len(self.classes):
            raise InputError(f"labels: expected {len(self.classes)} classes, got label {most}; name them")

    def draw(self, photo: Picture, height: int, width: int) -> Drawn:
        """See `Cell.draw`: the true classes over the photograph."""
        twice = _nearest(self.labels, 2 * height, 2 * width)
        colours = label_colours(twice, len(self.classes) or int(twice.max()) + 1)
        if not self.classes:  # neighbouring segments may share a colour, and nobody looks it up in a legend
            colours[outlines(twice, 3)] = 255
        return _halved(colours)

    def key(self) -> Key:
        """See `Keyed.key`: the classes that occur."""
        return Key(self.classes, _present(self.labels), _swatch)


@dataclass(frozen=True)
class Halves:
    """A label map that says left or right too (Figure 7): label c of `classes` lighter, `classes` + c darker.

    Negative labels are pixels that are not scored. Raises InputError for labels of twice as many classes or more.
    """

    labels: Int[np.ndarray, "y x"]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if (most := self.labels.max(initial=-1)) >= 2 * len(self.classes):
            raise InputError(f"labels: expected halves of {len(self.classes)} classes, got label {most}; name them")

    def draw(self, photo: Picture, height: int, width: int) -> Drawn:
        """See `Cell.draw`: the left, the right and the middle regions of each class."""
        twice = _nearest(self.labels, 2 * height, 2 * width)
        return _halved(half_colours(twice, len(self.classes)))

    def key(self) -> Key:
        """See `Keyed.key`: the classes, by their halves."""
        whole = np.where(self.labels < 0, self.labels, self.labels % len(self.classes))
        sides = {"lighter: left, darker: right": _in_shades(np.full((20, 30, 3), MID_GREY, np.uint8))}
        return Key(self.classes, _present(whole), lambda label: _in_shades(_swatch(label)), sides)


@dataclass(frozen=True)
class Blank:
    """Nothing to show, and in grey why."""

    reason: str = ""

    def draw(self, photo: Picture, height: int, width: int) -> Drawn:
        """See `Cell.draw`: nothing."""
        cell = Image.new("RGB", (width, height), (246, 246, 246) if self.reason else "white")
        draw, middle = ImageDraw.Draw(cell), (width / 2, height / 2)
        for font in map(letters, (5.5, 5.0, 4.5, 4.0)):  # until the words fit
            text = "\n".join(broken(self.reason, font, width - 8))
            left, top, right, bottom = draw.multiline_textbbox(middle, text, font, "mm")
            if left >= 0 and top >= 0 and right <= width and bottom <= height:
                break
        draw.multiline_text(middle, text, "dimgrey", font, "mm", align="center")
        return np.asarray(cell)


def _resized(image: Picture, height: int, width: int) -> Drawn:
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))


def _nearest(labels: Int[np.ndarray, "y x"], height: int, width: int) -> Int[np.ndarray, "{height} {width}"]:
    return np.array(Image.fromarray(labels.astype(np.int32)).resize((width, height), Image.Resampling.NEAREST))


def _halved(picture: Picture, note: str = "") -> UInt8[np.ndarray, "y_cell x_cell 3"]:
    """What was drawn at twice the size of a cell, and a note on it."""
    cell = Image.fromarray(picture).reduce(2)
    return np.asarray(_noted(cell, note) if note else cell)


def _present(labels: Int[np.ndarray, "y x"]) -> tuple[int, ...]:
    return tuple(np.unique(labels).tolist())


def _swatch(label: int) -> Picture:
    return label_colours(np.full((20, 30), label), max(label + 1, 1))


def _in_shades(swatch: Picture) -> Picture:
    """The shade of the left, the colour itself, the shade of the right."""
    parts = np.split(swatch, 3, axis=1)
    return np.concatenate([shaded(parts[0], 0), parts[1], shaded(parts[2], 1)], axis=1)


def _noted(cell: Image.Image, note: str) -> Image.Image:
    font, draw = letters(6.0 if cell.width >= 200 else 5.0), ImageDraw.Draw(cell)
    right, bottom = 17 + font.getlength(note), cell.height - 5
    draw.rounded_rectangle((5, bottom - 8 - font.size, right, bottom), 5, fill="white")
    draw.text((11, bottom - 7), note, "black", font, anchor="ls")
    return cell
