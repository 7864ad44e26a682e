"""Scores of every class side by side: a group of bars for each class, a bar for each method (Figure 12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from whatwhere.artifacts.errors import InputError
from whatwhere.publish.figures.canvas import rendered
from whatwhere.publish.figures.colours import PALETTE
from whatwhere.publish.figures.page import DPI, STRIP_PX, fitting, letters, save_titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: As the lines of Figure 4; after seven methods the bars are hatched.
_COLOURS = tuple(f"#{bytes(PALETTE[place]).hex()}" for place in (0, 6, 2, 3, 7, 1, 5))
_HATCHES = ("", "////", "....")
#: The group that stands last, and how far apart, in groups.
MEAN, APART = "mean", 0.6
#: The page's width; the plot's height with one row of its legend, and what another row adds; how much of a group its
#: bars fill, and one bar at most.
WIDTH_IN, HEIGHT_IN, _ROW_IN, FILLED, WIDEST = STRIP_PX / DPI, 2.2, 0.15, 0.8, 0.5
#: What stands where a bar was not scored.
_CROSS: dict[str, Any] = {"marker": "x", "markersize": 3, "linestyle": "", "markeredgewidth": 0.9}
#: Letters of the classes' names, and how long the longest may be.
_NAMES_PT, _LONGEST_PX = 6.5, 240


@dataclass(frozen=True)
class Bar:
    """A method's score on a class and the ends of its interval; NaN was not scored, and ends that are NaN not known.

    Raises InputError for infinite numbers, and for ends in the wrong order.
    """

    value: float
    low: float = float("nan")
    high: float = float("nan")

    def __post_init__(self) -> None:
        if np.isinf([self.value, self.low, self.high]).any() or self.low > self.high:
            got = f"{self.value} ({self.low} to {self.high})"
            raise InputError(f"bar: expected finite numbers with low <= high, got {got}; give NaN for what is unknown")


Groups = Mapping[str, Mapping[str, Bar]]


def draw_bars(groups: Groups, output: Path, *, title: str, y_label: str, caption: str = "") -> None:
    """`plot_bars` with title and caption as a PNG file as wide as a two-column page; the same bars give the same
    bytes. Written beside `output` and renamed. Raises InputError without bars.
    """
    from matplotlib import style

    if not any(groups.values()):
        raise InputError(f"figure {output}: expected at least one bar, got none; name some scores")
    with style.context("default"):  # not what the user's own matplotlibrc says
        plot = rendered(plot_bars(groups, y_label=y_label))
    save_titled(plot, output, title=title, caption=caption)


def plot_bars(groups: Groups, *, y_label: str) -> Figure:
    """A group for each of `groups` (class -> method -> bar) in their order, but `MEAN` last and apart.

    Whiskers reach from low to high. A cross on the axis is a bar that was not scored, or that its class does not have.
    Methods have their colour by first appearance, and one legend names them.
    """
    from matplotlib.figure import Figure

    figure = Figure((WIDTH_IN, HEIGHT_IN), DPI, layout="constrained")
    axes = figure.subplots()
    names = sorted(groups, key=lambda name: name == MEAN)
    places = np.arange(len(names)) + APART * np.array([name == MEAN and len(names) > 1 for name in names])
    methods = list(dict.fromkeys(method for bars in groups.values() for method in bars))
    width = min(FILLED / len(methods), WIDEST)
    for i, method in enumerate(methods):
        bars = [groups[name].get(method, Bar(float("nan"))) for name in names]
        _draw_method(axes, places + (i - (len(methods) - 1) / 2) * width, bars, width, _look(method, i))
    if places[-1] > len(names) - 1:
        axes.axvline(places[-1] - (1 + APART) / 2, color="0.6", linewidth=0.6, dashes=(4.0, 3.0))
    _set_axes(axes, names, places, y_label)
    _add_legend(figure, axes, methods)
    return figure


def _draw_method(axes: Axes, places: np.ndarray, bars: Sequence[Bar], width: float, look: Mapping[str, Any]) -> None:
    values, low, high = (np.array([getattr(bar, end) for bar in bars], float) for end in ("value", "low", "high"))
    axes.bar(places, np.nan_to_num(values), width, **look)
    # an interval of means need not be about its score: from its own middle
    known = np.isfinite(values + low + high)
    middle, reach = (low + high)[known] / 2, (high - low)[known] / 2
    ends: dict[str, Any] = {"fmt": "none", "ecolor": "0.15", "elinewidth": 0.7, "capthick": 0.7, "zorder": 3}
    axes.errorbar(places[known], middle, reach, capsize=min(8 * width, 2), **ends)
    missing = places[np.isnan(values)]
    if len(missing):  # an empty line would have a place on the page
        where: dict[str, Any] = {"color": look["facecolor"], "transform": axes.get_xaxis_transform()}
        axes.plot(missing, np.full(len(missing), 0.025), **where, **_CROSS)


def _look(method: str, place: int) -> dict[str, Any]:
    colour, hatch = _COLOURS[place % len(_COLOURS)], _HATCHES[place // len(_COLOURS) % len(_HATCHES)]
    look: dict[str, Any] = {"facecolor": colour, "hatch": hatch, "edgecolor": "white", "linewidth": 0.3, "zorder": 2}
    return look | {"label": method}


def _set_axes(axes: Axes, names: Sequence[str], places: np.ndarray, y_label: str) -> None:
    axes.set_xlim(places[0] - 0.6, places[-1] + 0.6)
    axes.set_ylim(bottom=min(axes.get_ylim()[0], 0))
    axes.set_ylabel(y_label, fontsize=7)
    axes.tick_params(axis="y", labelsize=7, length=2)
    axes.tick_params(axis="x", length=0, pad=3)
    axes.set_axisbelow(True)
    axes.grid(axis="y", color="0.9", linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_linewidth(0.6)
    _write_names(axes, names, places)


def _write_names(axes: Axes, names: Sequence[str], places: np.ndarray) -> None:
    """Below their groups; slanting where one is wider than its group, and never longer than `_LONGEST_PX`."""
    font, room = letters(_NAMES_PT), 0.92 * STRIP_PX / (places[-1] + 1) - 10
    slanting: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    look = slanting if any(font.getlength(name) > room for name in names) else {}
    texts = [fitting(name, font, _LONGEST_PX) for name in names]
    for label, name in zip(axes.set_xticks(places, texts, fontsize=_NAMES_PT, **look), names, strict=True):
        label.label1.set(parse_math=False, fontweight="bold" if name == MEAN else "normal")


def _add_legend(figure: Figure, axes: Axes, methods: Sequence[str]) -> None:
    """On as many lines as it needs, read by rows."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    entries: list[tuple[Any, str]] = [(Patch(**_look(method, place)), method) for place, method in enumerate(methods)]
    if any(line.get_marker() == _CROSS["marker"] for line in axes.lines):
        entries.append((Line2D([], [], color="0.3", **_CROSS), "not scored"))
    font = letters(7.0)
    texts = [fitting(name, font, STRIP_PX - 200) for _, name in entries]
    most = max(int(STRIP_PX / (max(map(font.getlength, texts)) + 110)), 1)
    rows = -(-len(entries) // most)
    columns = -(-len(entries) // rows)
    figure.set_figheight(HEIGHT_IN + _ROW_IN * (rows - 1))
    by_column = [place for column in range(columns) for place in range(column, len(entries), columns)]
    look: dict[str, Any] = {"fontsize": 7, "frameon": False, "handlelength": 1.4, "columnspacing": 2.5}
    handles, texts = [entries[place][0] for place in by_column], [texts[place] for place in by_column]
    legend = figure.legend(handles, texts, loc="outside upper center", ncols=columns, **look)
    for text in legend.get_texts():
        text.set_parse_math(False)
