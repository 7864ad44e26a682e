"""Regions that have names, in colour over their photograph in grey (paper, Figures 11 and 13), and those names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from PIL import Image, ImageDraw, ImageFont

from whatwhere.artifacts.errors import InputError
from whatwhere.publish.figures.colours import MID_GREY, Picture, greyed, label_colours, line_px, outlines
from whatwhere.publish.figures.page import DPI, fitting, letters

#: The weight of a name's colour over the photograph, and of white over the background's: a class is known by its
#: colour, and what was not named keeps quiet.
STRENGTH, QUIET = 0.68, 0.55
#: Between regions.
_LINE = 45
#: Letters: so many to the shorter side of an image, never smaller than can be read, and how much smaller they may
#: become to stay in their region.
_LETTERS, _LEAST_PX, _SHRINK = 20, 9, 0.7
#: The longer side, in pixels, of the map on which places for names are sought.
_SOUGHT_PX = 384

_Box = tuple[float, float, float, float]


def name_colours(image: Picture, labels: Int[np.ndarray, "y x"], count: int) -> Picture:
    """The photograph in grey under the colours of its labels 1 … `count` - 1, with dark lines around them.

    Label 0 is the background, only paler. The colours are those of `label_colours`, and negative labels are striped
    as there. Raises InputError for labels of `count` or more.
    """
    grey, colours = greyed(image), label_colours(labels, count)
    quiet = np.repeat(grey * (1 - QUIET) + 255 * QUIET, 3, axis=2)
    picture = np.where(labels[:, :, None] > 0, grey * (1 - STRENGTH) + colours * STRENGTH, quiet)
    picture = np.where(labels[:, :, None] < 0, colours, np.rint(picture)).astype(np.uint8)
    named = np.maximum(labels, 0)  # the stripes are their own outline
    picture[outlines(named, max(line_px(image), 3)) & (labels >= 0)] = _LINE
    return picture


def name_swatch(label: int) -> Picture:
    """What a legend shows for a label: its look over a photograph of medium grey."""
    photo = np.full((20, 30, 3), MID_GREY, np.uint8)
    return name_colours(photo, np.full((20, 30), label), max(label + 1, 1))


def named_overlay(image: Picture, labels: Int[np.ndarray, "y x"], names: Sequence[str]) -> Picture:
    """`name_colours`, and on every label but the background its name, once.

    `names[label]` belongs to a label; `names[0]` is the background's and not written. A name stands where its largest
    connected part is widest, unless a larger label's name is there already.

    Raises InputError for labels of another size than the image's or without names.
    """
    if labels.shape != image.shape[:2]:
        expected, got = (" × ".join(map(str, shape)) for shape in (image.shape[:2], labels.shape))
        raise InputError(f"labels: expected {expected} px as the image, got {got}; bring them to its size")
    check_names(labels, names)
    canvas = Image.fromarray(name_colours(image, labels, len(names)))
    _write(ImageDraw.Draw(canvas), labels, names)
    return np.asarray(canvas)


def check_names(labels: Int[np.ndarray, "y x"], names: Sequence[str]) -> None:
    """Raises InputError for labels that have no name."""
    if (most := labels.max(initial=0)) >= len(names):
        raise InputError(f"labels: expected names for labels up to {most}, got {len(names)}; name the background too")


def _write(draw: ImageDraw.ImageDraw, labels: Int[np.ndarray, "y x"], names: Sequence[str]) -> None:
    taken: list[_Box] = []
    for label in _by_area(labels):
        depth, step = _depth(labels, label)
        font = _font(names[label], labels.shape, 2 * step * float(depth.max()))
        stroke = max(round(font.size / 9), 1)
        text = fitting(names[label], font, labels.shape[1] - 2 * stroke - 2)
        size = (font.getlength(text) + 2 * stroke, font.size + 2 * stroke)
        x, y = _place(depth, step, size, taken)
        x, y = (_within(*place) for place in ((x, size[0], labels.shape[1]), (y, size[1], labels.shape[0])))
        draw.text((x, y), text, "white", font, "mm", stroke_width=stroke, stroke_fill=(30, 30, 30))
        taken.append((x - size[0] / 2, y - size[1] / 2, x + size[0] / 2, y + size[1] / 2))


def _by_area(labels: Int[np.ndarray, "y x"]) -> list[int]:
    present, counts = np.unique(labels[labels > 0], return_counts=True)
    return present[np.argsort(-counts, kind="stable")].tolist()


def _depth(labels: Int[np.ndarray, "y x"], label: int) -> tuple[Float[np.ndarray, "row column"], int]:
    """How far each place of the label's largest part is from its edge and the image's, at every `step`-th pixel."""
    from scipy.ndimage import distance_transform_edt

    inside = (labels[::step, ::step] == label for step in _steps(labels))
    found, step = next((part, step) for part, step in zip(inside, _steps(labels), strict=True) if part.any())
    return distance_transform_edt(np.pad(_largest(found), 1))[1:-1, 1:-1], step


def _steps(labels: Int[np.ndarray, "y x"]) -> Iterator[int]:
    """A coarse one, and for labels that it misses all pixels."""
    yield max(max(labels.shape) // _SOUGHT_PX, 1)
    yield 1


def _largest(mask: Bool[np.ndarray, "row column"]) -> Bool[np.ndarray, "row column"]:
    from scipy.ndimage import label

    parts, _ = label(mask)
    return parts == np.bincount(parts[mask]).argmax()


def _font(text: str, shape: tuple[int, ...], room: float) -> ImageFont.FreeTypeFont:
    """By the image's size; smaller where the region, `room` pixels wide, is much narrower than its name."""
    size = max(min(shape) / _LETTERS, _LEAST_PX)
    width = letters(size * 72 / DPI, bold=True).getlength(text) or 1
    return letters(max(size * min(max(1.5 * room / width, _SHRINK), 1), _LEAST_PX) * 72 / DPI, bold=True)


def _place(
    depth: Float[np.ndarray, "row column"], step: int, size: tuple[float, float], taken: Sequence[_Box]
) -> tuple[float, float]:
    """The centre (x, y) in pixels of the deepest place where the text touches none of the boxes; or the deepest of all.

    Of places that are about as deep it is the one in their midst: a long region has its name halfway.
    """
    free, (half_width, half_height) = depth.copy(), (size[0] / 2, size[1] / 2)
    for left, top, right, bottom in taken:
        rows = slice(max(int((top - half_height) / step), 0), max(int((bottom + half_height) / step) + 1, 0))
        columns = slice(max(int((left - half_width) / step), 0), max(int((right + half_width) / step) + 1, 0))
        free[rows, columns] = 0
    free = free if free.any() else depth
    places = np.argwhere(free >= 0.9 * free.max())
    row, column = places[((places - places.mean(0)) ** 2).sum(1).argmin()]
    return (float(column) + 0.5) * step, (float(row) + 0.5) * step


def _within(centre: float, length: float, side: int) -> float:
    """Moved so that the text does not leave the image, if it can be."""
    return min(max(centre, length / 2 + 1), max(side - length / 2 - 1, side / 2))
