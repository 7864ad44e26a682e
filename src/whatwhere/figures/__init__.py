"""The paper's figures as PNG files: sheets of pictures (Figures 3, 5, 10 …), curves of scores (Figure 4), drawings of
the method itself (Figures 1, 2).

`colours` turns arrays into RGB images, `cells` are the kinds of picture that a sheet may hold, `sheet` lays
them out, `curves` plots lines with bands, `overview` and `diagram` draw the method on a `canvas` (with `graphs` and
what both share, `pathways`), `page` has the letters and the file, `screen` makes it small.
None knows data sets, backbones or methods: what stands where is data.
"""

from whatwhere.figures.cells import Blank, Cell, Eigenvectors, Halves, Heat, Labels, Photo, Regions
from whatwhere.figures.colours import IGNORED, MID_GREY, PALETTE, eigenvector_rgb, label_colours, region_overlay
from whatwhere.figures.curves import Curve, draw_curves, plot_curves
from whatwhere.figures.diagram import Lane, Layers, draw_diagram
from whatwhere.figures.graphs import Graph
from whatwhere.figures.overview import draw_overview
from whatwhere.figures.page import DPI
from whatwhere.figures.screen import for_screen
from whatwhere.figures.sheet import Heading, Row, draw_sheet

__all__ = [
    "DPI",
    "IGNORED",
    "MID_GREY",
    "PALETTE",
    "Blank",
    "Cell",
    "Curve",
    "Eigenvectors",
    "Graph",
    "Halves",
    "Heading",
    "Heat",
    "Labels",
    "Lane",
    "Layers",
    "Photo",
    "Regions",
    "Row",
    "draw_curves",
    "draw_diagram",
    "draw_overview",
    "draw_sheet",
    "eigenvector_rgb",
    "for_screen",
    "label_colours",
    "plot_curves",
    "region_overlay",
]
