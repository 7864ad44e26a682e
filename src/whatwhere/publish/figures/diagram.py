"""The method as a drawing of real numbers (Figure 2): images, layers, their graphs, X and its leading eigenvector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from whatwhere.publish.figures.canvas import Canvas, Point
from whatwhere.publish.figures.cells import Photo
from whatwhere.publish.figures.graphs import INSIDE, Graph
from whatwhere.publish.figures.page import GAP_PX, INDENT_PX, STRIP_PX, save_titled
from whatwhere.publish.figures.pathways import GROUND, PATHWAYS, Pathway, check_rows, draw_head
from whatwhere.publish.figures.sheet import Row

#: White in the grounds and between them; what the heads of a lane and of a column take, and the name of a matrix.
PAD_PX, HEAD_PX, TITLE_PX, NAME_PX = INDENT_PX, 96, 40, 30
#: Between columns: images and lanes, connections and matrices, matrices and X, X and its leading one, this and regions.
STEPS_PX = (94, 40, 190, GAP_PX, 60)
#: A layer with the white below it, a layer, and the arrow from images to layers.
LAYER_STEP_PX, LAYER_PX, DOWN_PX = 50, 42, 44
#: Connections drawn of the one location, inside its image and again as many across; the most matrices, the least size.
LINKS, MATRICES, MATRIX_PX = 10, 3, 110
#: The columns of a lane.
HEADS = ("one location", "affinities A", "X, vectors {}–{}", "leading vector", "regions")


@dataclass(frozen=True)
class Layers:
    """The attention layers in the order of the network: names, grids (rows, columns), and which enter the graphs."""

    names: tuple[str, ...]
    grids: tuple[tuple[int, int], ...]
    chosen: tuple[bool, ...]


@dataclass(frozen=True)
class Lane:
    """What a pathway makes of the images: the graphs of its layers, and their mean, in which `location` stands."""

    graphs: tuple[Graph, ...]
    mean: Graph
    location: int


@dataclass(frozen=True)
class _Layout:
    """Pixels: (height, width) of a cell, and where columns begin: images, the lanes, and the five of a lane."""

    cell: tuple[int, int]
    rows: int
    lefts: tuple[int, ...]

    @property
    def column(self) -> int:
        """The height of a column of images."""
        return self.rows * (self.cell[0] + GAP_PX) - GAP_PX

    @property
    def lane(self) -> int:
        """The height of a lane."""
        return HEAD_PX + self.column + PAD_PX

    @property
    def height(self) -> int:
        """Of the whole drawing, in pixels."""
        return 2 * self.lane + PAD_PX // 2

    def top(self, lane: int) -> int:
        """Where the columns of a lane begin."""
        return lane * (self.lane + PAD_PX // 2) + HEAD_PX


def draw_diagram(
    rows: Sequence[Row],
    layers: Layers,
    lanes: tuple[Lane, Lane],
    output: Path,
    *,
    title: str,
    caption: str = "",
    first: int = 1,
) -> None:
    """A PNG file as wide as a two-column page; the same numbers give the same bytes.

    `rows` are images of one shape with six cells each: eigenvectors as colours, the leading one and regions of the V-V
    graphs, the same of the Q-K graphs; the colours are three eigenvectors from `first` (from 1) on, the leading one is
    the first of them. `lanes` are V-V and Q-K.

    Raises InputError without images, for other numbers of cells, and for images of several shapes.
    """
    from matplotlib import style

    check_rows(rows, 6, output)
    layout = _layout(rows)
    with style.context("default"):  # not what the user's own matplotlibrc says
        canvas = Canvas(layout.height)
        _draw_network(canvas, rows, layers, layout)
        for number, (lane, pathway) in enumerate(zip(lanes, PATHWAYS, strict=True)):
            _draw_lane(canvas, rows, number, lane, pathway, layout, first)
        strip = canvas.strip()
    save_titled(strip, output, title=title, caption=caption, images=[row.id for row in rows])


def _layout(rows: Sequence[Row]) -> _Layout:
    """The widest cells with which the strip is full."""
    width = (STRIP_PX - 3 * PAD_PX - sum(STEPS_PX)) // 6
    lefts = [PAD_PX, PAD_PX + width + STEPS_PX[0]]
    lefts.append(lefts[-1] + PAD_PX)
    for step in STEPS_PX[1:]:
        lefts.append(lefts[-1] + width + step)
    height, across = rows[0].photo.shape[:2]
    return _Layout((round(width * height / across), width), len(rows), tuple(lefts))


def _draw_network(canvas: Canvas, rows: Sequence[Row], layers: Layers, layout: _Layout) -> None:
    """The images and under them the layers, and arrows from these to both lanes."""
    left, lanes = layout.lefts[:2]
    (height, width), centre = layout.cell, left + layout.cell[1] / 2
    canvas.panel((0, 0), lanes - PAD_PX // 2, layout.height, colour=GROUND)
    around = 2 * TITLE_PX + layout.column + DOWN_PX + 2 * PAD_PX
    shown = _shown(len(layers.names), (layout.height - around) // LAYER_STEP_PX)
    upper = (layout.height - around - len(shown) * LAYER_STEP_PX) // 2 + TITLE_PX
    _draw_title(canvas, left, upper, "Images")
    for place, row in enumerate(rows):
        canvas.picture((left, upper + place * (height + GAP_PX)), Photo(row.photo).draw(row.photo, height, width))
    lower = upper + layout.column
    canvas.arrow((centre, lower + 8), (centre, lower + DOWN_PX))
    lower += DOWN_PX + TITLE_PX
    _draw_title(canvas, left, lower, "Attention layers")
    _draw_layers(canvas, layers, shown, (left, lower), width)
    middle, trunk = lower + len(shown) * LAYER_STEP_PX / 2, left + width + 34
    for number, (name, pathway) in enumerate(zip(("values V", "queries Q, keys K"), PATHWAYS, strict=True)):
        end = layout.top(number) + layout.column / 2
        canvas.arrow((left + width + 8, middle), (trunk, middle), (trunk, end), (lanes, end), colour=pathway.colour)
        room = HEAD_PX + layout.column / 2 - 30
        canvas.words((lanes - 24, end - 16), name, size_pt=6.5, colour=pathway.colour, turned=True, room=room)


def _shown(count: int, room: int) -> list[int | None]:
    """The places of all layers or, where there is no room, of the first and the last, with None between."""
    room = max(room, 3)
    if count <= room:
        return list(range(count))
    return [*range(room // 2), None, *range(count - (room - room // 2 - 1), count)]


def _draw_layers(
    canvas: Canvas, layers: Layers, shown: Sequence[int | None], corner: tuple[int, int], width: int
) -> None:
    """A layer a bar, as wide as its grid is fine; those that enter no graph pale."""
    finest = max(rows * columns for rows, columns in layers.grids)
    for place, layer in enumerate(shown):
        upper, centre = corner[1] + place * LAYER_STEP_PX, corner[0] + width / 2
        if layer is None:
            canvas.words((centre, upper + 26), "…", align="center")
            continue
        rows, columns = layers.grids[layer]
        wide = width * (0.75 + 0.25 * (rows * columns / finest) ** 0.5)
        ground, edge, letters = ("white", "dimgrey", "black") if layers.chosen[layer] else (GROUND, "silver", "grey")
        canvas.panel((centre - wide / 2, upper), wide, LAYER_PX, colour=ground, edge=edge)
        text, room = f"{layers.names[layer]}: {rows}×{columns}", wide - 12
        canvas.words((centre, upper + 28), text, size_pt=6.5, colour=letters, align="center", room=room)


def _draw_lane(
    canvas: Canvas, rows: Sequence[Row], number: int, lane: Lane, pathway: Pathway, layout: _Layout, first: int
) -> None:
    """One location's connections, graphs as matrices, X, its leading eigenvector, regions."""
    _, ground, links, matrices, *solved = layout.lefts
    (height, width), top = layout.cell, layout.top(number)
    middle = top + layout.column / 2
    canvas.panel((ground, top - HEAD_PX), STRIP_PX - ground, layout.lane, colour=pathway.tint)
    draw_head(canvas, (links, top - HEAD_PX + 36), pathway)
    for left, head in zip((links, matrices, *solved), HEADS, strict=True):
        _draw_title(canvas, left, top, head.format(first, first + 2))
    for place, row in enumerate(rows):
        upper = top + place * (height + GAP_PX)
        canvas.picture((links, upper), Photo(row.photo).draw(row.photo, height, width))
        for left, cell in zip(solved, row.cells[3 * number : 3 * number + 3], strict=True):
            canvas.picture((left, upper), cell.draw(row.photo, height, width))
    _draw_links(canvas, lane, pathway, (links, top), layout.cell)
    _draw_matrices(canvas, lane.graphs, pathway, (matrices, top), layout)
    canvas.arrow((links + width + 6, middle), (matrices - 4, middle))
    _draw_solution(canvas, (matrices + _matrix_size(lane.graphs, layout)[1], middle), solved[0])
    canvas.arrow((solved[1] + width + 8, middle), (solved[2] - 8, middle))


def _draw_links(canvas: Canvas, lane: Lane, pathway: Pathway, corner: Point, cell: tuple[int, int]) -> None:
    """Arcs from the location to the strongest of its connections, the strongest of all the thickest."""

    def pixel(location: int) -> Point:
        """Where a location is drawn."""
        image, down, across = lane.mean.place(location)
        return corner[0] + across * cell[1], corner[1] + image * (cell[0] + GAP_PX) + down * cell[0]

    found = lane.mean.strongest(lane.location, LINKS)
    start, home = pixel(lane.location), lane.mean.place(lane.location)[0]
    for location, weight in reversed(found):
        own = lane.mean.place(location)[0] == home
        thick = 0.7 + 0.9 * weight / max(weight for _, weight in found)
        canvas.link(start, pixel(location), colour=INSIDE if own else pathway.colour, line_pt=thick, bow=0.18)
    canvas.ring(start, colour=INSIDE)


def _matrix_size(graphs: Sequence[Graph], layout: _Layout) -> tuple[int, int]:
    """How many matrices find room below each other, and the pixels of one."""
    sizes = {
        count: min((layout.column + GAP_PX) // count - NAME_PX - GAP_PX, layout.cell[1])
        for count in range(min(MATRICES, len(graphs)), 0, -1)
    }
    return next(((count, size) for count, size in sizes.items() if size >= MATRIX_PX), (1, max(sizes[1], 1)))


def _draw_matrices(
    canvas: Canvas, graphs: Sequence[Graph], pathway: Pathway, corner: tuple[int, int], layout: _Layout
) -> None:
    """Those of the first and the last layer, and one between, from the top to the bottom of the column."""
    count, size = _matrix_size(graphs, layout)
    left, step = corner[0], (layout.column + GAP_PX) / count
    for place in range(count):
        graph = graphs[round(place * (len(graphs) - 1) / max(count - 1, 1))]
        upper = round(corner[1] + place * step + (step - GAP_PX - NAME_PX - size))
        canvas.words((left, upper + 20), graph.name, size_pt=6.0, colour="dimgrey")
        canvas.picture((left, upper + NAME_PX), graph.picture(size, pathway.colour))
        canvas.frame((left, upper + NAME_PX), size, size, colour="grey")


def _draw_solution(canvas: Canvas, start: Point, end: int) -> None:
    """The arrow from graphs to X, and what is solved."""
    (left, middle), centre = start, (start[0] + end) / 2
    canvas.arrow((left + 8, middle), (end - 8, middle))
    canvas.words((centre, middle - 62), "$P = D^{-1}A$", size_pt=7.5, align="center")
    canvas.words((centre, middle - 20), "min $|x^\\mathrm{T}Px - 1|$", size_pt=7.5, align="center")
    canvas.words((centre, middle + 36), "in all layers", size_pt=6.5, colour="dimgrey", align="center")
    canvas.words((centre, middle + 68), "$X^\\mathrm{T}X = I$", size_pt=7.5, align="center")


def _draw_title(canvas: Canvas, left: int, top: int, text: str) -> None:
    """Over a column that begins at `top`."""
    canvas.words((left, top - 14), text, size_pt=6.5, colour="#404040")
