"""Arrays to RGB images: eigenvectors three at a time, regions over their photo, labels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image

from whatwhere.artifacts.errors import InputError

Picture = UInt8[np.ndarray, "y x 3"]
#: A picture of the size that the function was asked for.
Drawn = UInt8[np.ndarray, "{height} {width} 3"]
#: What is black and what is white of each vector, in all images of a set.
Limits = Float[np.ndarray, "vector 2"]

#: Grey of an eigenvector that is constant or does not exist, and the stripes of pixels that are not scored.
MID_GREY, IGNORED = 128, np.array([238, 208], np.uint8)
_PIXELS_AT_ONCE = 2**17
#: How much of white is in the shades of labels on the left, and of black in those on the right.
SHADES = (0.5, 0.35)

#: ASSUME: Okabe and Ito's seven, which colour-blind readers tell apart; after them always the colour
#: farthest from those before it, by the least of its distances in OKLab as seen by most people and (twice)
#: without green or without red cones. Few colours are distinct for everyone, thirty still for most.
_HEX = """
0072B2 E69F00 009E73 CC79A7 F0E442 56B4E9 D55E00 621427 FFD8FF 002789 006227 00EBB1 B12762 8976EB
623BB1 9DB189 273B4E B1FFC4 FFC489 896289 9D2700 9DD84E B1C4FF 89764E 761462 274E89 EB9DC4 14C4B1
3B6262 628900 EB89FF 6289C4 C4894E 9DD8D8 4E62D8 9D4EB1 62C462 628989 623B3B FFEB9D
"""
PALETTE = np.array([list(bytes.fromhex(name)) for name in _HEX.split()], np.uint8)


def eigenvector_rgb(
    vectors: Float[np.ndarray, "row column vector"],
    first: int,
    height: int,
    width: int,
    limits: Limits | None = None,
) -> Drawn:
    """Vectors `first` … `first + 2` (from 0) as red, green and blue, as in Figures 3 and 5 of the paper.

    `height` and `width` in pixels; tokens are interpolated bilinearly (half-pixel convention). `limits` are what is
    black and what is white of each vector, the same for all images of a set; without them every image has its own.
    A vector that does not exist, or that is constant, is a channel of mid grey.
    """
    channels = np.full((height, width, 3), MID_GREY, np.uint8)
    for channel, index in enumerate(range(first, min(first + 3, vectors.shape[2]))):
        vector = vectors[:, :, index]
        ends = _own_limits(vector) if limits is None else limits[index]
        levels = Image.fromarray(_levels(vector, *map(float, ends)))
        smooth = np.asarray(levels.resize((width, height), Image.Resampling.BILINEAR))
        channels[:, :, channel] = np.rint(np.clip(smooth, 0, 255))
    return channels


def heat(vector: Float[np.ndarray, "row column"], limits: tuple[float, float], height: int, width: int) -> Drawn:
    """One vector from dark blue at its lower limit to yellow at its upper one, interpolated as in `eigenvector_rgb`."""
    from matplotlib import colormaps

    smooth = Image.fromarray(_levels(vector, *limits)).resize((width, height), Image.Resampling.BILINEAR)
    return colormaps["viridis"](np.asarray(smooth) / 255, bytes=True)[:, :, :3]


def _own_limits(vector: Float[np.ndarray, "row column"]) -> tuple[float, float]:
    """ASSUME: percentiles 1 and 99 are black and white, so that single tokens (attention sinks) do not leave
    the rest of the image flat; a spread under a thousandth of the magnitude is noise, and not shown.
    """
    low, high = np.percentile(vector, (1, 99))
    return (low, high) if high - low > 1e-3 * np.abs(vector).max() else (low, low)


def _levels(vector: Float[np.ndarray, "row column"], low: float, high: float) -> Float[np.ndarray, "row column"]:
    """0 at `low` and below to 255 at `high` and above."""
    if not high > low:
        return np.full(vector.shape, MID_GREY, np.float32)
    return (np.clip((vector - low) / (high - low), 0, 1) * 255).astype(np.float32)


def region_overlay(image: Picture, regions: Int[np.ndarray, "y x"], alpha: float = 0.55) -> Picture:
    """The photo in grey under the colours of its regions (of weight `alpha`, 0 to 1), with their outlines.

    An outline is a dark line between two light ones, seen on any colour. Raises InputError for negative
    region numbers.
    """
    if regions.min(initial=0) < 0:
        raise InputError(f"regions: expected numbers from 0, got {regions.min()}; number them from 0")
    picture, colours = np.empty_like(image), PALETTE * alpha
    for rows in bands(image):
        mixed = greyed(image[rows]) * (1 - alpha) + colours[regions[rows] % len(PALETTE)]
        picture[rows] = np.rint(mixed, out=mixed)
    picture[outlines(regions, 5)] = 255
    picture[outlines(regions, 3)] = 38
    return picture


def bands(image: Picture) -> Iterator[slice]:
    """Rows of an image, as many at once as a cache holds in floats: those of a whole photograph would fill a memory."""
    step = max(1, _PIXELS_AT_ONCE // image.shape[1])
    return (slice(first, first + step) for first in range(0, image.shape[0], step))


def greyed(image: Picture) -> Float[np.ndarray, "y x 1"]:
    """The photograph in grey, lightened: colours over it would drown in its shadows."""
    grey = np.empty((*image.shape[:2], 1))
    for rows in bands(image):
        grey[rows, :, 0] = 64 + 0.75 * (image[rows] @ np.array([0.299, 0.587, 0.114]))
    return grey


def line_px(image: Picture) -> int:
    """Of lines over a photograph of this size: an odd number, 1 up to 180 px, 3 where it fills a cell twice over."""
    return 1 + 2 * round((image.shape[0] * image.shape[1]) ** 0.5 / 600 + 0.2)


def label_colours(labels: Int[np.ndarray, "y x"], count: int) -> Picture:
    """The colour of each of `count` labels, the same in every image; negative ones are striped in grey.

    More than 40 labels share colours. Raises InputError for labels of `count` or more.
    """
    if labels.max(initial=-1) >= count:
        raise InputError(f"labels: expected numbers under {count}, got {labels.max()}; check the classes")
    stripes = IGNORED[np.indices(labels.shape).sum(0) // 4 % 2, None]
    return np.where(labels[:, :, None] < 0, stripes, PALETTE[labels % len(PALETTE)])


def half_colours(labels: Int[np.ndarray, "y x"], classes: int) -> Picture:
    """Label c of `classes` in a light shade of its colour, label `classes` + c (the right half) in a dark one.

    Negative labels are striped in grey. Raises InputError for labels of twice `classes` or more.
    """
    if labels.max(initial=-1) >= 2 * classes:
        raise InputError(f"labels: expected numbers under {2 * classes}, got {labels.max()}; check the classes")
    colours = label_colours(np.where(labels < 0, labels, labels % classes), classes)
    for side in (0, 1):
        colours[labels // classes == side] = shaded(colours[labels // classes == side], side)
    return colours


def shaded(colours: UInt8[np.ndarray, "*any 3"], side: int) -> UInt8[np.ndarray, "*any 3"]:
    """The shades of the left (side 0, lighter) or of the right (side 1, darker)."""
    return np.rint(colours * (1 - SHADES[side]) + (255, 0)[side] * SHADES[side]).astype(np.uint8)


def outlines(labels: Int[np.ndarray, "y x"], width_px: int) -> Bool[np.ndarray, "y x"]:
    """Pixels whose square of (odd) side `width_px` holds more than one label."""
    from scipy.ndimage import maximum_filter, minimum_filter

    return maximum_filter(labels, width_px) != minimum_filter(labels, width_px)
