"""A sheet of pictures: one row an image, one column a thing to show (paper, Figures 3, 5, 6, 8-11, 13, 14)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from whatwhere.artifacts.errors import InputError
from whatwhere.publish.figures.cells import Cell, Keyed
from whatwhere.publish.figures.colours import Picture, label_colours
from whatwhere.publish.figures.page import (
    GAP_PX,
    INDENT_PX,
    MARGIN_PX,
    PAGE_PX,
    broken,
    fitting,
    letters,
    save_page,
    text_strip,
)

#: Widest and narrowest landscape cell: six of the widest fill a page, and more than nine at the narrowest
#: make the page wider. A column of portraits stays as wide as `COLUMN_PX` where there is room for headings.
CELL_PX, NARROWEST_PX, COLUMN_PX = 264, 112, 212
#: Sizes of the headings' letters, tried until no word is wider than its column.
HEADING_PT = (7.0, 6.5, 6.0, 5.5, 5.0)


@dataclass(frozen=True)
class Heading:
    """What a column shows; columns beside each other with the same `group` get that heading together."""

    text: str
    group: str = ""


@dataclass(frozen=True)
class Row:
    """One image: its id, the photograph whose shape all its cells take, a cell for each column.

    Raises InputError for a photograph that is not uint8 `[y, x, 3]`.
    """

    id: str
    photo: Picture
    cells: tuple[Cell, ...]

    def __post_init__(self) -> None:
        shape = self.photo.shape
        if self.photo.dtype != np.uint8 or shape != (*shape[:2], 3) or not self.photo.size:
            got = f"{self.photo.dtype} {list(shape)}"
            raise InputError(f"image {self.id}: expected uint8 [y, x, 3], got {got}; read it with read_image")


@dataclass(frozen=True)
class _Layout:
    """Pixels: where each column begins, how wide columns are, where the last one ends."""

    lefts: tuple[int, ...]
    column: int
    width: int


def draw_sheet(
    rows: Sequence[Row], output: Path, *, title: str, headings: Sequence[Heading], caption: str = ""
) -> None:
    """The rows' cells under the columns' headings as a PNG file; the same rows give the same bytes.

    Below them a legend of the names that occur in cells that have a key. Written beside `output` and renamed.

    Raises InputError without rows or columns, or for a row with fewer or more cells than columns.
    """
    if not rows or not headings:
        got = f"{len(rows)} rows, {len(headings)} columns"
        raise InputError(f"figure {output}: expected images and columns, got {got}; name some of both")
    for row in rows:
        if len(row.cells) != len(headings):
            got = f"{len(row.cells)} of image {row.id}"
            raise InputError(f"figure {output}: expected {len(headings)} cells a row, got {got}; fill with Blank")
    most = _most(headings)
    sizes = _cell_sizes([row.photo.shape[:2] for row in rows], most)
    layout = _layout(headings, max(min(COLUMN_PX, most), *(wide for _, wide in sizes)))
    strips = [
        text_strip(title, layout.width, size_pt=9.0, bold=True),
        _groups(headings, layout),
        _headings(headings, layout),
        *(_row(row, size, layout) for row, size in zip(rows, sizes, strict=True)),
        _legend(rows, layout.width),
        text_strip(caption, layout.width, size_pt=7.0),
    ]
    save_page(strips, output, caption=caption, images=[row.id for row in rows])


def _gaps(headings: Sequence[Heading]) -> list[int]:
    """White before each column; twice as much where a group begins or ends."""
    return [0, *(GAP_PX if one.group == other.group else 2 * GAP_PX for one, other in pairwise(headings))]


def _most(headings: Sequence[Heading]) -> int:
    """The widest cell with which all columns fit the page."""
    room = PAGE_PX - 2 * MARGIN_PX - INDENT_PX - sum(_gaps(headings))
    return int(np.clip(room // len(headings), NARROWEST_PX, CELL_PX))


def _cell_sizes(shapes: Sequence[tuple[int, ...]], most: int) -> list[tuple[int, int]]:
    """(height, width) in pixels: a portrait gets the area of a landscape beside it, a little more alone."""
    tallest = most * np.clip(min(high / wide for high, wide in shapes), 1, 1.2)
    scales = [min(most / wide, tallest / high) for high, wide in shapes]
    return [(round(h * k) or 1, round(w * k) or 1) for k, (h, w) in zip(scales, shapes, strict=True)]


def _layout(headings: Sequence[Heading], column: int) -> _Layout:
    places = INDENT_PX + np.cumsum(_gaps(headings)) + column * np.arange(len(headings))
    return _Layout(tuple(int(left) for left in places), column, int(places[-1]) + column)


def _row(row: Row, size: tuple[int, int], layout: _Layout) -> Image.Image:
    """A row's cells, each centred in its column, and its id along the left edge."""
    strip, font = Image.new("RGB", (layout.width, size[0]), "white"), letters(6.0)
    edge = Image.new("RGB", (size[0], INDENT_PX), "white")
    name = fitting(row.id, font, size[0])
    ImageDraw.Draw(edge).text((size[0] / 2, INDENT_PX - 8), name, "dimgrey", font, anchor="ms")
    strip.paste(edge.rotate(90, expand=True))
    for cell, left in zip(row.cells, layout.lefts, strict=True):
        strip.paste(Image.fromarray(cell.draw(row.photo, *size)), (left + (layout.column - size[1]) // 2, 0))
    return strip


def _groups(headings: Sequence[Heading], layout: _Layout) -> Image.Image | None:
    """The groups' names, each over a line as long as its columns are wide together."""
    strip, font = Image.new("RGB", (layout.width, 34), "white"), letters(7.0, bold=True)
    draw = ImageDraw.Draw(strip)
    for name, columns in _runs(headings):
        left, right = layout.lefts[columns[0]], layout.lefts[columns[-1]] + layout.column
        if name:
            text = fitting(name, font, right - left)
            draw.text(((left + right) / 2, 22), text, "black", font, anchor="ms")
            draw.line((left, 32, right - 1, 32), "darkgrey", 2)
    return strip if any(heading.group for heading in headings) else None


def _runs(headings: Sequence[Heading]) -> Iterator[tuple[str, list[int]]]:
    for name, run in groupby(enumerate(headings), lambda pair: pair[1].group):
        yield name, [place for place, _ in run]


def _headings(headings: Sequence[Heading], layout: _Layout) -> Image.Image:
    """On as many lines as they need, the last one nearest to the cells."""
    words = [word for heading in headings for word in heading.text.split()]
    fonts = [letters(size) for size in HEADING_PT]
    roomy = (font for font in fonts if all(font.getlength(word) <= layout.column for word in words))
    font = next(roomy, fonts[-1])
    texts = [broken(heading.text, font, layout.column) for heading in headings]
    step = round(font.size * 1.2)
    deepest = max(map(len, texts))
    strip = Image.new("RGB", (layout.width, step * deepest), "white")
    for lines, left in zip(texts, layout.lefts, strict=True):
        for place, line in enumerate(lines, deepest - len(lines)):
            middle = (left + layout.column / 2, step * (place + 1) - 6)
            ImageDraw.Draw(strip).text(middle, fitting(line, font, layout.column), "black", font, anchor="ms")
    return strip


def _legend(rows: Sequence[Row], width: int) -> Image.Image | None:
    """The names that occur, in their own order, and the stripes of pixels that are not scored."""
    entries = _entries([cell for row in rows for cell in row.cells])
    strip, font, x, y = Image.new("RGB", (width, 30 * len(entries) + 1), "white"), letters(7.0), INDENT_PX, 0
    for name, swatch in entries:
        right = x + 38 + int(font.getlength(name))
        if right > width and x > INDENT_PX:
            x, y, right = INDENT_PX, y + 30, INDENT_PX + right - x
        strip.paste(Image.fromarray(swatch), (x, y + 4))
        ImageDraw.Draw(strip).text((x + 38, y + 21), name, "black", font, anchor="ls")
        x = right + 24
    return strip.crop((0, 0, width, y + 28)) if entries else None


def _entries(cells: Sequence[Cell]) -> list[tuple[str, Picture]]:
    """Each name that occurs with its swatch; columns with other names add theirs, and remarks come last.

    Of cells that share their names the one with most to remark has the swatches.
    """
    keys = [cell.key() for cell in cells if isinstance(cell, Keyed)]
    speakers = {key.names: key for key in sorted(keys, key=lambda key: len(key.remarks))}
    found = {(key.names, label) for key in keys for label in key.labels}
    named = [
        (names[label], speakers[names].swatch(label))
        for names in dict.fromkeys(key.names for key in keys)
        for label in sorted(label for other, label in found if names and other == names and label >= 0)
    ]
    if any(label < 0 for _, label in found):
        named.append(("not scored", label_colours(np.full((20, 30), -1), 1)))
    return named + list({words: swatch for key in keys for words, swatch in key.remarks.items()}.items())
