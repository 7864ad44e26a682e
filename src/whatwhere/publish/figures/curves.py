"""Scores over the number of regions: a small plot for each backbone, a line with a band for each method (Figure 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from whatwhere.artifacts.errors import InputError
from whatwhere.publish.figures.canvas import rendered
from whatwhere.publish.figures.colours import PALETTE
from whatwhere.publish.figures.page import DPI, STRIP_PX, save_titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

#: Places in the palette, dark ones first: yellow and other pale colours do not carry a thin line on white.
_COLOURS = tuple(f"#{bytes(PALETTE[place]).hex()}" for place in (0, 6, 2, 3, 7, 1, 5))
#: One method, one colour and one mark (or pattern of dashes, where there is no K): either is enough to tell it.
_MARKS = "os^DvPX*"
_DASHES = ((4.0, 1.5), (1.0, 1.0), (5.0, 1.5, 1.0, 1.5), (2.0, 1.0), (6.0, 2.0))
#: Most plots beside each other; the width of the page; the least and the largest height of a row of plots.
ACROSS, WIDTH_IN, ROW_IN = 4, STRIP_PX / DPI, (1.75, 2.6)


@dataclass(frozen=True)
class Curve:
    """A method's scores `y` over `x` and the ends of their intervals.

    A method that does not depend on x has one score, and either no `x` or one, where it stands.
    Raises InputError where lengths differ or numbers are missing.
    """

    x: Float[np.ndarray, "point"] | None
    y: Float[np.ndarray, "point"]
    low: Float[np.ndarray, "point"]
    high: Float[np.ndarray, "point"]

    def __post_init__(self) -> None:
        lengths = [len(values) for values in (self.x, self.y, self.low, self.high) if values is not None]
        if len(set(lengths)) > 1 or not lengths[-1] or (self.x is None and len(self.y) > 1):
            raise InputError(f"curve: expected as many x as y, low and high, or one y, got {lengths}; give all")
        if not all(np.isfinite(values).all() for values in (self.x, self.y, self.low, self.high) if values is not None):
            raise InputError("curve: expected finite numbers, got NaN or infinity; leave out what was not scored")

    @property
    def level(self) -> bool:
        """Whether it is one score, whatever x."""
        return len(self.y) == 1


Panels = Mapping[str, Mapping[str, Curve]]


@dataclass(frozen=True)
class _Look:
    colour: str
    mark: str
    dashes: tuple[float, ...]


def draw_curves(panels: Panels, output: Path, *, title: str, x_label: str, y_label: str, caption: str = "") -> None:
    """`plot_curves` with title and caption as a PNG file as wide as a two-column page; the same curves give the
    same bytes. Written beside `output` and renamed. Raises InputError without curves.
    """
    from matplotlib import style

    if not any(panels.values()):
        raise InputError(f"figure {output}: expected at least one curve, got none; name some scores")
    with style.context("default"):  # not what the user's own matplotlibrc says
        plots = rendered(plot_curves(panels, x_label=x_label, y_label=y_label))
    save_titled(plots, output, title=title, caption=caption)


def plot_curves(panels: Panels, *, x_label: str, y_label: str) -> Figure:
    """A plot for each of `panels` (title -> method -> curve), with bands from low to high; one scale for all.

    A curve of one score is a dashed level line over the whole width, with a mark at its x if it has one. A
    method looks the same in every plot; one legend names them all.
    """
    from matplotlib.figure import Figure

    looks = _looks(panels)
    rows = -(-len(panels) // ACROSS)
    across = -(-len(panels) // rows)
    figure = Figure(
        (WIDTH_IN, rows * float(np.clip(0.75 * WIDTH_IN / across, *ROW_IN)) + 0.4), DPI, layout="constrained"
    )
    grid = list(figure.subplots(rows, across, sharex=True, sharey=True, squeeze=False).flat)
    for axes in grid[len(panels) :]:
        axes.remove()
    for axes, (name, curves) in zip(grid, panels.items(), strict=False):
        _plot(axes, name, curves, looks)
    for axes in grid[::across]:
        axes.set_ylabel(y_label, fontsize=7)
    for axes in grid[max(len(panels) - across, 0) : len(panels)]:  # with none below
        axes.set_xlabel(x_label, fontsize=7)
        axes.tick_params(labelbottom=True)
    _add_legend(figure, panels, looks)
    return figure


def _looks(panels: Panels) -> dict[str, _Look]:
    """Of each method, by its first appearance."""
    methods = dict.fromkeys(method for curves in panels.values() for method in curves)
    return {
        method: _Look(_COLOURS[i % len(_COLOURS)], _MARKS[i % len(_MARKS)], _DASHES[i % len(_DASHES)])
        for i, method in enumerate(methods)
    }


def _plot(axes: Axes, name: str, curves: Mapping[str, Curve], looks: Mapping[str, _Look]) -> None:
    from matplotlib.ticker import MaxNLocator

    for method, curve in curves.items():
        (_draw_level if curve.level else _draw_line)(axes, curve, looks[method])
    axes.set_title(name, fontsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.tick_params(labelsize=7, length=2)
    axes.grid(color="0.9", linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_linewidth(0.6)


def _draw_line(axes: Axes, curve: Curve, look: _Look) -> None:
    assert curve.x is not None  # or it would be level
    axes.fill_between(curve.x, curve.low, curve.high, color=look.colour, alpha=0.18, linewidth=0)
    axes.plot(curve.x, curve.y, color=look.colour, marker=look.mark, markersize=3, linewidth=1.1)


def _draw_level(axes: Axes, curve: Curve, look: _Look) -> None:
    axes.axhspan(curve.low[0], curve.high[0], color=look.colour, alpha=0.1, linewidth=0)
    axes.axhline(curve.y[0], color=look.colour, dashes=look.dashes, linewidth=1.1)
    if curve.x is not None:
        axes.plot(curve.x, curve.y, color=look.colour, marker=look.mark, markersize=4, markerfacecolor="white")


def _add_legend(figure: Figure, panels: Panels, looks: Mapping[str, _Look]) -> None:
    handles = _handles(panels, looks)
    columns = -(-len(handles) // -(-len(handles) // ACROSS))
    by_column = [handle for column in range(columns) for handle in handles[column::columns]]  # as legends are filled
    look: dict[str, Any] = {"fontsize": 7, "frameon": False, "handlelength": 4, "columnspacing": 3}
    figure.legend(handles=by_column, loc="outside lower center", ncols=columns, **look)


def _handles(panels: Panels, looks: Mapping[str, _Look]) -> list[Line2D]:
    from matplotlib.lines import Line2D

    handles = []
    for method, look in looks.items():
        curve = next(curves[method] for curves in panels.values() if method in curves)
        handle = Line2D([], [], color=look.colour, marker=look.mark, markersize=4, linewidth=1.1, label=method)
        if curve.level:
            handle.set(dashes=look.dashes, markerfacecolor="white", marker=look.mark if curve.x is not None else "")
        handles.append(handle)
    return handles
