"""What drawings of the method share: the two pathways' names, colours and words, and which images can be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from whatwhere.artifacts.errors import InputError
from whatwhere.publish.figures.canvas import Canvas, Point
from whatwhere.publish.figures.colours import PALETTE
from whatwhere.publish.figures.page import INDENT_PX, STRIP_PX, letters
from whatwhere.publish.figures.sheet import Row


@dataclass(frozen=True)
class Pathway:
    """`words` say what it is about, `tint` is the ground that its pictures lie on, `colour` that of its lines."""

    name: str
    words: str
    colour: str
    tint: str


def _colour(place: int) -> str:
    return f"#{bytes(PALETTE[place]).hex()}"


#: V-V first, as in Figures 1 and 2.
PATHWAYS = (
    Pathway("what", "object identity: values compared with values (V–V)", _colour(6), "#fbefe8"),
    Pathway("where", "spatial location: queries compared with keys (Q–K)", _colour(0), "#e7f1f8"),
)
#: The ground of what belongs to neither.
GROUND = "#f4f4f4"


def draw_head(canvas: Canvas, place: Point, pathway: Pathway) -> None:
    """The pathway's name and words, from `place` on, as far as the strip goes."""
    x, y = place
    canvas.words(place, pathway.name, size_pt=8.5, bold=True, colour=pathway.colour)
    x += letters(8.5, bold=True).getlength(pathway.name) + 16
    canvas.words((x, y), pathway.words, colour="#404040", room=STRIP_PX - INDENT_PX - x)


def check_rows(rows: Sequence[Row], cells: int, output: Path) -> None:
    """Raises InputError without rows, for other numbers of cells than `cells`, and for images of several shapes."""
    if not rows:
        raise InputError(f"figure {output}: expected images of a data set, got none; name some")
    for row in rows:
        if len(row.cells) != cells:
            got = f"{len(row.cells)} of image {row.id}"
            raise InputError(f"figure {output}: expected {cells} cells, got {got}; fill with Blank")
    shapes = sorted({row.photo.shape[:2] for row in rows})
    if len(shapes) > 1:
        got = ", ".join(f"{height} × {width}" for height, width in shapes)
        raise InputError(f"figure {output}: expected images of one shape, got {got}; choose a centre_crop view")
