"""The paper's figures as PNG files: sheets of pictures (Figures 3, 5, 10 …), curves and bars of scores (Figures 4,
12), drawings of the method itself (Figures 1, 2).

`colours` turns arrays into RGB images, `naming` and `instances` draw regions with names and masks that overlap over
their photograph, `cells` are the kinds of picture that a sheet may hold, `sheet` lays them out, `curves` plots lines
with bands, `bars` classes side by side, `overview` and `diagram` draw the method on a `canvas` (with `graphs` and what
both share, `pathways`), `page` has the letters and the file, `screen` makes it small.
None knows data sets, backbones or methods: what stands where is data.
"""

from whatwhere.publish.figures.bars import Bar, draw_bars, plot_bars
from whatwhere.publish.figures.cells import (
    Blank,
    Cell,
    Eigenvectors,
    Halves,
    Heat,
    Instances,
    Key,
    Keyed,
    Labels,
    Named,
    Photo,
    Regions,
)
from whatwhere.publish.figures.colours import IGNORED, MID_GREY, PALETTE, eigenvector_rgb, label_colours, region_overlay
from whatwhere.publish.figures.curves import Curve, draw_curves, plot_curves
from whatwhere.publish.figures.diagram import Lane, Layers, draw_diagram
from whatwhere.publish.figures.graphs import Graph
from whatwhere.publish.figures.instances import instance_overlay
from whatwhere.publish.figures.naming import name_colours, named_overlay
from whatwhere.publish.figures.overview import draw_overview
from whatwhere.publish.figures.page import DPI, caption_of, images_of, save_picture
from whatwhere.publish.figures.screen import for_screen
from whatwhere.publish.figures.sheet import Heading, Row, draw_sheet

__all__ = [
    "DPI",
    "IGNORED",
    "MID_GREY",
    "PALETTE",
    "Bar",
    "Blank",
    "Cell",
    "Curve",
    "Eigenvectors",
    "Graph",
    "Halves",
    "Heading",
    "Heat",
    "Instances",
    "Key",
    "Keyed",
    "Labels",
    "Lane",
    "Layers",
    "Named",
    "Photo",
    "Regions",
    "Row",
    "caption_of",
    "draw_bars",
    "draw_curves",
    "draw_diagram",
    "draw_overview",
    "draw_sheet",
    "eigenvector_rgb",
    "for_screen",
    "images_of",
    "instance_overlay",
    "label_colours",
    "name_colours",
    "named_overlay",
    "plot_bars",
    "plot_curves",
    "region_overlay",
    "save_picture",
]
