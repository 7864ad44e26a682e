"""What is done, in one look (Figure 1): an image by itself on the left, a data set as a whole on the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whatwhere.publish.figures.canvas import Canvas
from whatwhere.publish.figures.cells import Photo
from whatwhere.publish.figures.colours import Picture
from whatwhere.publish.figures.page import GAP_PX, INDENT_PX, STRIP_PX, save_titled
from whatwhere.publish.figures.pathways import GROUND, PATHWAYS, check_rows, draw_head
from whatwhere.publish.figures.sheet import Row

#: White in the panels and between them; what the heads of a panel and of a pathway take.
PAD_PX, APART_PX, HEAD_PX, PATHWAY_PX = INDENT_PX, 28, 92, 50
#: For an arrow and its words between two cells; for the arrows to the pathways; for the names of rows.
STEP_PX, GUTTER_PX, NAMES_PX = 96, 40, 40
#: What stands in the left panel under the image, and in the two rows of a pathway.
STEPS = (("Eigenvectors 1–3", "of this image alone"), ("Regions", "by K-means"))
NAMES = ("eigenvectors {}–{}", "regions")
#: The heads of the panels.
SINGLE = ("One image", "graphs of its own")
SEVERAL = ("A whole data set", "graphs across all its images: a colour means the same in every one")


@dataclass(frozen=True)
class _Layout:
    """Pixels: (height, width) of the cells left and right; where the right panel and the cells in it begin."""

    one: tuple[int, int]
    many: tuple[int, int]
    panel: int
    cells: int

    @property
    def pathway(self) -> int:
        """The height of a pathway."""
        return PATHWAY_PX + 2 * self.many[0] + GAP_PX + PAD_PX // 2

    def top(self, pathway: int) -> int:
        """Where a pathway begins."""
        return HEAD_PX + self.many[0] + PAD_PX + pathway * (self.pathway + PAD_PX // 2)

    @property
    def height(self) -> int:
        """Of the whole drawing, in pixels."""
        return self.top(1) + self.pathway + PAD_PX // 2


def draw_overview(
    single: Row, several: Sequence[Row], output: Path, *, title: str, caption: str = "", first: int = 1
) -> None:
    """A PNG file as wide as a two-column page; the same rows give the same bytes.

    `single` has two cells, eigenvectors and regions of the image alone; each of `several` has four, eigenvectors and
    regions of the V-V graphs ("what") and of the Q-K graphs ("where") of its data set, whose images have one shape;
    its eigenvectors are three from `first` (from 1) on.

    Raises InputError without images, for other numbers of cells, and for images of several shapes.
    """
    from matplotlib import style

    check_rows([single], len(STEPS), output)
    check_rows(several, 2 * len(NAMES), output)
    layout = _layout(single, several)
    with style.context("default"):  # not what the user's own matplotlibrc says
        canvas = Canvas(layout.height)
        _draw_single(canvas, single, layout)
        _draw_several(canvas, several, layout, first)
        strip = canvas.strip()
    save_titled(strip, output, title=title, caption=caption, images=[row.id for row in (single, *several)])


def _layout(single: Row, several: Sequence[Row]) -> _Layout:
    """The widest cells with which both panels are as high as each other and the strip is full."""
    aspects = [row.photo.shape[0] / row.photo.shape[1] for row in (single, several[0])]
    around = _Layout((0, 0), (0, 0), 0, 0).height - HEAD_PX - PAD_PX - len(STEPS) * STEP_PX
    rows, columns = 2 * len(NAMES) + 1, len(several)
    # the width of the left cell is `share` times that of a right one, and `rest` more
    share, rest = (part / (3 * aspects[0]) for part in (rows * aspects[1], around))
    fixed = 3 * PAD_PX + APART_PX + GUTTER_PX + NAMES_PX + PAD_PX // 2 + (columns - 1) * GAP_PX
    width = int((STRIP_PX - fixed - rest) / (columns + share))
    left = int(share * width + rest)
    panel = 2 * PAD_PX + left + APART_PX
    cells = STRIP_PX - PAD_PX - columns * width - (columns - 1) * GAP_PX
    return _Layout((int(left * aspects[0]), left), (round(width * aspects[1]), width), panel, cells)


def _draw_single(canvas: Canvas, row: Row, layout: _Layout) -> None:
    """Image, eigenvectors and regions below each other."""
    height, width = layout.one
    canvas.panel((0, 0), width + 2 * PAD_PX, layout.height, colour=GROUND)
    _draw_heading(canvas, PAD_PX, width, SINGLE)
    canvas.picture((PAD_PX, HEAD_PX), _photo(row, layout.one))
    for place, ((name, words), cell) in enumerate(zip(STEPS, row.cells, strict=True), 1):
        top = HEAD_PX + place * (height + STEP_PX)
        canvas.arrow((PAD_PX + 20, top - STEP_PX + 10), (PAD_PX + 20, top - 10))
        canvas.words((PAD_PX + 48, top - 52), name, size_pt=7.5, room=width - 48)
        canvas.words((PAD_PX + 48, top - 22), words, size_pt=6.5, colour="dimgrey", room=width - 48)
        canvas.picture((PAD_PX, top), cell.draw(row.photo, *layout.one))


def _draw_several(canvas: Canvas, rows: Sequence[Row], layout: _Layout, first: int) -> None:
    """All images beside each other; under them the rows of both pathways."""
    height, width = layout.many
    canvas.panel((layout.panel, 0), STRIP_PX - layout.panel, layout.height, colour=GROUND)
    _draw_heading(canvas, layout.panel + PAD_PX, STRIP_PX - layout.panel - 2 * PAD_PX, SEVERAL)
    lefts = [layout.cells + place * (width + GAP_PX) for place in range(len(rows))]
    for left, row in zip(lefts, rows, strict=True):
        canvas.picture((left, HEAD_PX), _photo(row, layout.many))
    for number, pathway in enumerate(PATHWAYS):
        top, ground = layout.top(number), layout.panel + PAD_PX + GUTTER_PX
        canvas.panel((ground, top), STRIP_PX - PAD_PX // 2 - ground, layout.pathway, colour=pathway.tint)
        draw_head(canvas, (layout.cells, top + PATHWAY_PX - 17), pathway)
        middle, trunk = HEAD_PX + height / 2, layout.panel + PAD_PX + 6
        canvas.arrow(
            (layout.cells - 10, middle), (trunk, middle), (trunk, top + PATHWAY_PX / 2), (ground, top + PATHWAY_PX / 2)
        )
        for place, name in enumerate(NAMES):
            upper = top + PATHWAY_PX + place * (height + GAP_PX)
            look: dict[str, Any] = {"size_pt": 6.5, "colour": "dimgrey", "align": "center", "turned": True}
            canvas.words((layout.cells - 12, upper + height / 2), name.format(first, first + 2), **look, room=height)
            for left, row in zip(lefts, rows, strict=True):
                canvas.picture((left, upper), row.cells[2 * number + place].draw(row.photo, height, width))


def _draw_heading(canvas: Canvas, left: int, room: int, words: tuple[str, str]) -> None:
    canvas.words((left, 40), words[0], size_pt=8.5, bold=True, room=room)
    canvas.words((left, 72), words[1], size_pt=6.5, colour="dimgrey", room=room)


def _photo(row: Row, size: tuple[int, int]) -> Picture:
    return Photo(row.photo).draw(row.photo, *size)
