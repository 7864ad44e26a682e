"""What grows with the size of a set: logarithmic plots of measured points, beside lines of known slope."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from PIL import Image

from whatwhere.artifacts.errors import InputError
from whatwhere.publish.figures.colours import PALETTE
from whatwhere.publish.figures.page import DPI, MARGIN_PX, PAGE_PX, save_page, text_strip

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: One line, one colour, one mark and one pattern of dashes: any of them is enough to tell it.
_COLOURS = tuple(f"#{bytes(PALETTE[place]).hex()}" for place in (0, 6, 2, 3))
_MARKS, _DASHES = "osD^", ((), (4.0, 1.5), (1.0, 1.0), (5.0, 1.5, 1.0, 1.5))
#: Powers of the lines that others are compared with.
_POWERS = {1: "∝ n", 2: "∝ n²"}
WIDTH_IN, HEIGHT_IN = (PAGE_PX - 2 * MARGIN_PX) / DPI, 3.1


@dataclass(frozen=True)
class Growth:
    """Measured `y` over sizes `x`. Raises InputError where they are fewer than two, differ in number, or are not
    positive: they have logarithms.
    """

    x: Float[np.ndarray, "point"]
    y: Float[np.ndarray, "point"]

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y) or len(self.x) < 2:
            raise InputError(f"growth: expected two points or more, got {len(self.x)} x and {len(self.y)} y; give both")
        if not (np.isfinite([*self.x, *self.y]).all() and min([*self.x, *self.y]) > 0):
            raise InputError(f"growth: expected positive numbers, got {self.x} and {self.y}; leave out what is none")


Panels = Mapping[str, Mapping[str, Growth]]


def draw_growth(panels: Panels, output: Path, *, title: str, x_label: str, caption: str = "") -> None:
    """`plot_growth` with title and caption as a PNG file as wide as a two-column page; the same points give the same
    bytes. Written beside `output` and renamed. Raises InputError without lines.
    """
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    if not any(panels.values()):
        raise InputError(f"figure {output}: expected at least one line, got none; measure something")
    with style.context("default"):  # not what the user's own matplotlibrc says
        canvas = FigureCanvasAgg(plot_growth(panels, x_label=x_label))
        canvas.draw()
        plots = Image.fromarray(np.asarray(canvas.buffer_rgba())[:, :, :3].copy())
    heading = text_strip(title, plots.width, size_pt=9.0, bold=True)
    save_page([heading, plots, text_strip(caption, plots.width, size_pt=7.0)], output, caption=caption)


def plot_growth(panels: Panels, *, x_label: str) -> Figure:
    """A plot for each of `panels` (what is measured -> line -> points), both axes logarithmic, with grey lines of
    slopes 1 and 2 to compare. A line looks the same in every plot; one legend names them all.
    """
    from matplotlib.figure import Figure

    figure = Figure((WIDTH_IN, HEIGHT_IN), DPI, layout="constrained")
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    drawn: dict[str, Any] = {}
    for axes, (label, lines) in zip(figure.subplots(1, len(panels), squeeze=False).flat, panels.items(), strict=True):
        for name, line in lines.items():
            drawn[name] = _draw(axes, line, names.index(name))
        _set_axes(axes, list(lines.values()))
        axes.set_title(label, fontsize=8)
        axes.set_xlabel(x_label, fontsize=7)
    look: dict[str, Any] = {"fontsize": 7, "frameon": False, "handlelength": 4, "columnspacing": 3}
    figure.legend([drawn[name] for name in names], names, loc="outside lower center", ncols=len(names), **look)
    return figure


def _draw(axes: Axes, line: Growth, place: int) -> Any:
    (drawn,) = axes.plot(line.x, line.y, color=_COLOURS[place % len(_COLOURS)], markersize=4, linewidth=1.1)
    drawn.set_marker(_MARKS[place % len(_MARKS)])
    if _DASHES[place % len(_DASHES)]:
        drawn.set_dashes(_DASHES[place % len(_DASHES)])
    return drawn


def _set_axes(axes: Axes, lines: list[Growth]) -> None:
    """Logarithmic scales about the measured points, the sizes themselves as ticks, plain numbers at the others."""
    from matplotlib.ticker import LogLocator, NullLocator

    low, high = min(line.y.min() for line in lines), max(line.y.max() for line in lines)
    sizes = np.unique(np.concatenate([line.x for line in lines]))
    _draw_powers(axes, sizes, low, high)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(low / 2, high * 1.5)
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 100 else (1,)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.tick_params(labelsize=7, length=2)
    axes.grid(color="0.9", linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_linewidth(0.6)


def _draw_powers(axes: Axes, sizes: np.ndarray, low: float, high: float) -> None:
    """Lines of known slope from below the lowest point, with a name where they end or leave the plot."""
    start = low / 1.6
    for power, label in _POWERS.items():
        axes.plot(sizes, start * (sizes / sizes[0]) ** power, color="0.6", linewidth=0.8, dashes=(1.0, 2.0), zorder=0)
        end = min(sizes[-1], sizes[0] * (1.2 * high / start) ** (1 / power))
        at = (end, start * (end / sizes[0]) ** power)
        axes.annotate(label, at, (4, -4), textcoords="offset points", fontsize=7, color="0.4")
