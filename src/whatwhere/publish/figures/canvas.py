"""A strip of a page to lay pictures out on and to draw over: panels, arrows, lines, words and formulas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from whatwhere.publish.figures.colours import Picture
from whatwhere.publish.figures.page import DPI, STRIP_PX, letters

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

#: What lies over what.
_PANEL, _PICTURE, _LINE, _WORDS = 0, 1, 2, 3
#: A place along an edge, and one on the strip.
Pixels = int | float
Point = tuple[Pixels, Pixels]


class Canvas:
    """`height` × `STRIP_PX` pixels, white. Places are pixels (x, y) from the upper left corner, letters in points.

    Pictures stay what they are, pixel for pixel. Between two dollar signs words are a formula, as in TeX.
    """

    def __init__(self, height: int) -> None:
        from matplotlib.figure import Figure
        from matplotlib.transforms import Affine2D

        self.height = height
        self._figure = Figure((STRIP_PX / DPI, height / DPI), DPI, facecolor="white")
        self._pixels = Affine2D().scale(1, -1).translate(0, height)

    def picture(self, place: Point, pixels: Picture) -> None:
        """With its upper left corner at `place`."""
        left, top = place
        bottom = self.height - top - pixels.shape[0]
        self._figure.figimage(pixels, round(left), round(bottom), origin="upper", zorder=_PICTURE)

    def panel(self, place: Point, width: Pixels, height: Pixels, *, colour: str, edge: str = "none") -> None:
        """A filled rectangle with round corners, under everything else."""
        from matplotlib.patches import FancyBboxPatch

        look: dict[str, Any] = {"facecolor": colour, "edgecolor": edge, "linewidth": 0.7, "zorder": _PANEL}
        round_corners = "round,pad=0,rounding_size=10"
        self._add(FancyBboxPatch(place, width, height, round_corners, transform=self._pixels, **look))

    def frame(self, place: Point, width: Pixels, height: Pixels, *, colour: str, line_pt: float = 0.7) -> None:
        """A rectangle's outline, over pictures."""
        from matplotlib.patches import Rectangle

        look: dict[str, Any] = {"fill": False, "edgecolor": colour, "linewidth": line_pt, "zorder": _LINE}
        self._add(Rectangle(place, width, height, transform=self._pixels, **look))

    def arrow(self, *points: Point, colour: str = "dimgrey") -> None:
        """From the first point through the others to the last."""
        from matplotlib.patches import FancyArrowPatch
        from matplotlib.path import Path

        look: dict[str, Any] = {"color": colour, "linewidth": 1.4, "zorder": _LINE, "joinstyle": "miter"}
        head = "-|>,head_length=3.2,head_width=1.9"
        look |= {"arrowstyle": head, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 1, "transform": self._pixels}
        self._add(FancyArrowPatch(path=Path(np.array(points, float)), **look))

    def link(self, start: Point, end: Point, *, colour: str, line_pt: float, bow: float) -> None:
        """An arc with a white border, bent to its left by `bow` of its length, that ends in a point."""
        from matplotlib.patches import Circle, PathPatch
        from matplotlib.path import Path

        (x, y), (across, down) = start, (end[0] - start[0], end[1] - start[1])
        middle = (x + across / 2 + bow * down, y + down / 2 - bow * across)
        path = Path([start, middle, end], [Path.MOVETO, Path.CURVE3, Path.CURVE3])
        for shade, width in (("white", line_pt + 0.8), (colour, line_pt)):
            look: dict[str, Any] = {"fill": False, "edgecolor": shade, "linewidth": width, "zorder": _LINE}
            self._add(PathPatch(path, capstyle="round", transform=self._pixels, **look))
        look = {"facecolor": colour, "edgecolor": "white", "linewidth": 0.5, "zorder": _LINE + 0.1}
        self._add(Circle(end, 5.5, transform=self._pixels, **look))

    def ring(self, place: Point, *, colour: str) -> None:
        """A mark on a point, over its links."""
        from matplotlib.patches import Circle

        for radius, ground, edge in ((12, "white", "white"), (8.5, "white", colour)):
            look: dict[str, Any] = {"facecolor": ground, "edgecolor": edge, "linewidth": 1.6, "zorder": _LINE + 0.2}
            self._add(Circle(place, radius, transform=self._pixels, **look))

    def words(
        self,
        place: Point,
        text: str,
        *,
        size_pt: float = 7.0,
        bold: bool = False,
        colour: str = "black",
        align: Literal["left", "center", "right"] = "left",
        turned: bool = False,
        room: Pixels | None = None,
    ) -> None:
        """One line whose letters stand on `place`; `turned` it is read from below, and stands on it to the left.

        Letters are as small as they must be for the line to have `room`.
        """
        if room is not None:
            size_pt *= min(1, room / max(letters(size_pt, bold).getlength(text), 1))
        look: dict[str, Any] = {"fontsize": size_pt, "fontweight": "bold" if bold else "normal", "color": colour}
        look |= {"ha": align, "va": "baseline", "zorder": _WORDS, "transform": self._pixels}
        if turned:
            look |= {"rotation": 90, "rotation_mode": "anchor"}
        self._figure.text(*place, text, **look)

    def strip(self) -> Image.Image:
        """What was drawn."""
        return rendered(self._figure)

    def _add(self, artist: Artist) -> None:
        self._figure.add_artist(artist)


def rendered(figure: Figure) -> Image.Image:
    """A figure of matplotlib's as pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[:, :, :3].copy())
