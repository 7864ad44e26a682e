"""The paper's figures: sheets of pictures (Figures 3, 5, 10 …) and curves of scores (Figure 4), as PNG files.

`colours` turns arrays into RGB images, `cells` are the kinds of picture that a sheet may hold, `sheet` lays
them out, `curves` plots lines with bands, `page` has the letters and the file, `screen` makes it small.
Neither knows data sets, backbones or methods: what stands where is data.
"""

from whatwhere.figures.cells import Blank, Cell, Eigenvectors, Labels, Photo, Regions
from whatwhere.figures.colours import IGNORED, MID_GREY, PALETTE, eigenvector_rgb, label_colours, region_overlay
from whatwhere.figures.curves import Curve, draw_curves, plot_curves
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
    "Heading",
    "Labels",
    "Photo",
    "Regions",
    "Row",
    "draw_curves",
    "draw_sheet",
    "eigenvector_rgb",
    "for_screen",
    "label_colours",
    "plot_curves",
    "region_overlay",
]
