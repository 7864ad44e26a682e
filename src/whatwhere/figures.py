"""Figure 3 of the paper: photo, eigenvectors as colours, regions and ground truth, one row per image.

A panel's arrays become RGB images (`eigenvector_rgb`, `region_overlay`, `label_colours`), each drawn at
the size in pixels at which it is printed, so that nothing is resampled twice; `figure3` lays them out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from whatwhere.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Grey of what is not there: a constant or missing eigenvector.
MID_GREY = 128
#: Two light greys, striped, of pixels that no score counts.
IGNORED = (238, 208)
DPI = 240
#: Width of a column. Six of them fill the 7 inches between the margins of a two-column paper.
CELL_PX = 264
GAP_PX, MARGIN_PX, ID_PX = 8, 12, 26
#: Eigenvectors of one figure, three to an image.
TRIPLES = (0, 3, 6)

#: Okabe and Ito's colours, which colour-blind readers tell apart; the largest regions get the first.
_FIRST_COLOURS = ("0072B2", "E69F00", "009E73", "CC79A7", "F0E442", "56B4E9", "D55E00")
#: Linear RGB to cone responses, and their cube roots to OKLab (Ottosson 2020).
_CONES = ((0.41222, 0.53633, 0.05145), (0.21190, 0.68070, 0.10740), (0.08830, 0.28172, 0.62998))
_OKLAB = ((0.21045, 0.79362, -0.00407), (1.97800, -2.42859, 0.45059), (0.02590, 0.78277, -0.80868))
#: Linear RGB as people without green and without red cones see it (Machado et al. 2009, severity 1).
_DEUTAN = ((0.36732, 0.86065, -0.22797), (0.28009, 0.67250, 0.04741), (-0.01182, 0.04294, 0.96888))
_PROTAN = ((0.15229, 1.05258, -0.20487), (0.11450, 0.78628, 0.09922), (-0.00388, -0.04812, 1.05200))


@dataclass(frozen=True)
class Panel:
    """One image and what was found in it.

    `vectors` are the columns of X_ortho on the token grid, by decreasing eigenvalue; `regions` a region
    number (0 … K − 1) for each pixel; `truth` class indices or segment numbers, negative where nothing is
    scored. Raises InputError where the arrays do not fit each other.
    """

    id: str
    image: UInt8[np.ndarray, "y x 3"]
    vectors: Float[np.ndarray, "row column vector"]
    regions: Int[np.ndarray, "y x"]
    truth: Int[np.ndarray, "y x"] | None = None

    def __post_init__(self) -> None:
        size = self.image.shape[:2]
        if self.image.dtype != np.uint8 or self.image.shape != (*size, 3) or 0 in size:
            got = f"{self.image.dtype} {list(self.image.shape)}"
            raise InputError(f"panel {self.id}: expected an image uint8 [y, x, 3], got {got}; convert it")
        if self.vectors.ndim != 3 or 0 in self.vectors.shape[:2] or not np.isfinite(self.vectors).all():
            got = f"{list(self.vectors.shape)}, or values that are not finite"
            raise InputError(f"panel {self.id}: expected vectors [row, column, vector], got {got}; solve again")
        for name, labels in (("regions", self.regions), ("truth", self.truth)):
            if labels is not None and labels.shape != size:
                got = f"{list(labels.shape)} for an image of {list(size)}"
                raise InputError(f"panel {self.id}: expected {name} [y, x], got {got}; bring both to one view")


# ---------------------------------------------------------------------------------------- arrays to colours


def eigenvector_rgb(
    vectors: Float[np.ndarray, "row column vector"], first: int, height: int, width: int
) -> UInt8[np.ndarray, "{height} {width} 3"]:
    """Vectors `first` … `first + 2` (from 0) as red, green and blue, as in Figures 3 and 5 of the paper.

    `height` and `width` in pixels; tokens are interpolated bilinearly (half-pixel convention). A vector
    that does not exist, or that is constant, is a channel of mid grey.
    """
    from PIL import Image

    channels = np.full((height, width, 3), MID_GREY, np.uint8)
    for channel, index in enumerate(range(first, min(first + 3, vectors.shape[2]))):
        levels = Image.fromarray(_levels(vectors[:, :, index]))
        smooth = np.asarray(levels.resize((width, height), Image.Resampling.BILINEAR))
        channels[:, :, channel] = np.rint(np.clip(smooth, 0, 255))
    return channels


def _levels(vector: Float[np.ndarray, "row column"]) -> Float[np.ndarray, "row column"]:
    """0 to 255.

    ASSUME: percentiles 1 and 99 are black and white, so that single tokens (attention sinks) do not leave
    the rest of the image flat; a spread under a thousandth of the magnitude is noise, and shown as none.
    """
    low, high = np.percentile(vector, (1, 99))
    if high - low <= 1e-3 * np.abs(vector).max():
        return np.full(vector.shape, MID_GREY, np.float32)
    return (np.clip((vector - low) / (high - low), 0, 1) * 255).astype(np.float32)


def region_overlay(
    image: UInt8[np.ndarray, "y x 3"], regions: Int[np.ndarray, "y x"], alpha: float = 0.55
) -> UInt8[np.ndarray, "y x 3"]:
    """The photo in grey under the colours of its regions (weight `alpha`, 0 to 1), with their outlines.

    An outline is dark with a light rim on each side, so it shows on any colour. Raises InputError for
    negative region numbers.
    """
    if regions.min(initial=0) < 0:
        raise InputError(f"regions: expected numbers from 0, got {regions.min()}; number them from 0")
    grey = image @ np.array([0.299, 0.587, 0.114])
    # ASSUME: the photo's contrast is halved toward white, or dark photos would swallow the colours
    muted = (128 + grey[:, :, None] / 2) * (1 - alpha)
    colours = palette(int(regions.max(initial=0)) + 1)[regions]
    return _outlined(np.rint(muted + colours * alpha).astype(np.uint8), regions)


def label_colours(labels: Int[np.ndarray, "y x"], count: int) -> UInt8[np.ndarray, "y x 3"]:
    """The colour of each of `count` labels, the same in every image; negative labels are striped in grey.

    Raises InputError for labels of `count` or more.
    """
    if labels.max(initial=-1) >= count:
        raise InputError(f"labels: expected numbers under {count}, got {labels.max()}; check the classes")
    colours = palette(max(count, 1))[np.maximum(labels, 0)]
    y, x = np.indices(labels.shape)
    stripes = np.where((x + y) % 8 < 4, *np.uint8(IGNORED))
    return np.where(labels[:, :, None] < 0, stripes[:, :, None], colours)


@lru_cache
def palette(count: int) -> UInt8[np.ndarray, "colour 3"]:
    """`count` distinct colours; a longer palette begins with the shorter one.

    ASSUME: after Okabe and Ito's seven, always the colour farthest from those taken, in OKLab, where the
    distance that colour-blind readers see counts half: distinct for them too while colours are few.
    """
    taken = np.array([list(bytes.fromhex(name)) for name in _FIRST_COLOURS])
    grid = np.stack(np.meshgrid(*[np.linspace(0, 255, 14).round()] * 3), -1).reshape(-1, 3)
    seen = _as_seen(grid)
    lightness, chroma = seen[:, 0, 0], np.hypot(seen[:, 0, 1], seen[:, 0, 2])
    usable = (lightness > 0.36) & (lightness < 0.92) & (chroma > 0.04) & (chroma < 0.19)
    grid, seen = grid[usable], seen[usable]
    nearest = np.min([_distances(seen, one) for one in _as_seen(taken)], axis=0)
    for _ in range(count - len(taken)):
        best = int(nearest.argmax())
        taken = np.append(taken, grid[best : best + 1].astype(int), axis=0)
        nearest = np.minimum(nearest, _distances(seen, seen[best]))
    colours = taken[:count].astype(np.uint8)
    colours.flags.writeable = False
    return colours


def _as_seen(colours: np.ndarray) -> Float[np.ndarray, "colour vision 3"]:
    """OKLab of each colour for normal vision, without green and without red cones."""
    share = colours / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    visions = [linear, *(np.clip(linear @ np.transpose(m), 0, 1) for m in (_DEUTAN, _PROTAN))]
    return np.stack([np.cbrt(v @ np.transpose(_CONES)) @ np.transpose(_OKLAB) for v in visions], axis=1)


def _distances(seen: np.ndarray, one: np.ndarray) -> Float[np.ndarray, "colour"]:
    return (np.linalg.norm(seen - one, axis=2) * (1, 2, 2)).min(1)


def _outlined(picture: np.ndarray, labels: np.ndarray) -> UInt8[np.ndarray, "y x 3"]:
    picture = picture.copy()
    picture[_edges(labels, 5)] = 255
    picture[_edges(labels, 3)] = 38
    return picture


def _edges(labels: np.ndarray, size_px: int) -> Bool[np.ndarray, "y x"]:
    from scipy.ndimage import maximum_filter, minimum_filter

    return maximum_filter(labels, size_px) != minimum_filter(labels, size_px)


# ------------------------------------------------------------------------------------------------ the figure


@dataclass(frozen=True)
class _Column:
    """A heading and what draws a panel's cell at a height and width in pixels (None: nothing to show)."""

    heading: str
    draw: Callable[[Panel, int, int], np.ndarray | None]


def figure3(
    panels: Sequence[Panel],
    output: Path,
    *,
    title: str,
    classes: tuple[str, ...] = (),
    caption: str = "",
) -> None:
    """The paper's Figure 3 as a PNG: the same panels give the same bytes.

    Columns: photo, eigenvectors 1–3, 4–6 and 7–9, regions with their number K, ground truth. A column
    that no panel can fill is left out. `classes` name the labels of `truth`; without them labels are
    segments. Written beside `output` and renamed.

    Raises InputError without panels, or for a label beyond `classes`.
    """
    if not panels:
        raise InputError(f"figure {output}: expected at least one panel, got none; give it images")
    blocks = [_headed(title), *_grid(panels, _columns(panels, classes))]
    raise NotImplementedError(blocks)
