"""Image and label files to arrays, the paper's three views of an image, and pixels <-> tokens.

Sizes are (height, width) in pixels. Both ways of looking at an image use the half-pixel convention: pixel
`i` covers `[i, i + 1)`, its centre lies at `i + 0.5`, so image, labels and tokens stay aligned at any size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float64, Int, Int16, UInt8
from PIL import ExifTags, Image, ImageOps

from whatwhere.artifacts.errors import InputError
from whatwhere.datasets.opening import PathLike, opened, refusal

Protocol = Literal["none", "short_side", "square", "centre_crop"]

#: Formats read, whatever the suffix says: PIL knows more, some of which start other programs (EPS).
FORMATS = ("AVIF", "BMP", "GIF", "HEIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
#: A view with more pixels is a mistake (a strip of 2 × 20,000 asked for at short side 448), not a wish.
_MOST_VIEW_PX = 2**27
#: Pixels whose shares are held at once: 2 MB, which a cache holds; all shares of a large image would fill a memory.
_PIXELS_AT_ONCE = 2**18
#: A token grid whose aspect differs from the image's by more than this factor is not the image's grid.
_WORST_ASPECT = 1.2


# ------------------------------------------------------------------------------------------------ files


def read_image(path: PathLike) -> UInt8[np.ndarray, "y x 3"]:
    """Any image file as upright RGB, `[y, x, 3]`, 0-255; of several frames the first.

    EXIF orientation is applied; grey, palette, CMYK and YCbCr become RGB. 16-bit colour keeps its high
    byte (PIL does so); 16-bit grey and integer grey are divided by 257 and rounded; float grey counts as
    0-1 where its maximum is at most 1 and as 0-255 otherwise.
    ASSUME: transparent pixels show white, as on a page: the paper's data sets have none.
    Raises InputError, in one line, for what is missing, damaged, too large or no image.
    """
    with opened(path, "an image file", FORMATS) as file:
        upright = ImageOps.exif_transpose(file)
        if upright.mode.startswith(("I", "F")):
            grey = _deep_grey(np.asarray(upright), upright.mode, path)
            return np.repeat(grey[:, :, None], 3, axis=2)
        return np.array(_flat(upright))


def image_size(path: PathLike) -> tuple[int, int]:
    """Upright (height, width) in pixels, from the header where the format allows. Raises InputError."""
    with opened(path, "an image file", FORMATS) as file:
        width, height = file.size
        orientation = file.getexif().get(ExifTags.Base.Orientation, 1)
        turned = orientation in (5, 6, 7, 8) and file.format != "TIFF"  # whose size PIL turns itself
        return (width, height) if turned else (height, width)


def _flat(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    page = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(page, image.convert("RGBA")).convert("RGB")


def _deep_grey(grey: np.ndarray, mode: str, path: PathLike) -> UInt8[np.ndarray, "y x"]:
    # ASSUME: a fixed white level, not the image's own range: stretching would change dark images. Float
    # files have no agreed white, and these two are the ones in use.
    low, high = float(grey.min()), float(grey.max())
    white = 65535 if mode.startswith("I") else (1 if high <= 1 else 255)
    if not (low >= 0 and high <= white):  # not(...) also catches NaN
        got = f"{low:g} to {high:g}"
        raise refusal(path, f"values from 0 to {white} in an image of mode {mode}", got, "save it as 8 bits")
    return np.rint(grey.astype(np.float64) * (255 / white)).astype(np.uint8)


# ------------------------------------------------------------------------------------------------ views


@dataclass(frozen=True)
class View:
    """How an image is shown to a backbone (the paper's protocols) and at which sizes.

    `none` keeps the size, `short_side` scales the shorter side to `size_px`, `square` stretches to
    `size_px` × `size_px`, `centre_crop` scales the shorter side to `size_px` and crops the rest.
    Both sides end as multiples of `multiple_px` (the patch). `size_px` is not used by `none`.
    Raises InputError where a square is no multiple.
    """

    protocol: Protocol
    size_px: int
    multiple_px: int = 1

    def __post_init__(self) -> None:
        if self.protocol not in get_args(Protocol):
            known = ", ".join(get_args(Protocol))
            raise InputError(f"view: expected a protocol among {known}, got {self.protocol!r}; choose one")
        if self.multiple_px < 1 or (self.protocol != "none" and self.size_px < 1):
            got = f"size_px {self.size_px}, multiple_px {self.multiple_px}"
            raise InputError(f"view {self.protocol}: expected sizes of at least 1 px, got {got}; raise them")
        if self.protocol in ("square", "centre_crop") and self.size_px % self.multiple_px:
            raise InputError(
                f"view {self.protocol}: expected a size that is a multiple of {self.multiple_px} px, got "
                f"{self.size_px}; use {_nearest_multiple(self.size_px, 1, self.multiple_px)}"
            )


def view_size(view: View, height: int, width: int) -> tuple[int, int]:
    """(height, width) in pixels after the view. Raises InputError where that is absurdly large.

    ASSUME: a side is rounded to the nearest multiple (half up, never to nothing) rather than cropped:
    nothing of the image is lost and its shape changes by at most half a patch.
    """
    if view.protocol in ("square", "centre_crop"):
        return view.size_px, view.size_px
    short = min(height, width)
    scale = (1, 1) if view.protocol == "none" else (view.size_px, short)
    high = _nearest_multiple(height * scale[0], scale[1], view.multiple_px)
    wide = _nearest_multiple(width * scale[0], scale[1], view.multiple_px)
    if high * wide > _MOST_VIEW_PX:
        raise InputError(
            f"view {view.protocol} of {height} × {width} px: expected at most {_MOST_VIEW_PX:,} pixels, got "
            f"{high} × {wide}; remove the image or use a smaller size or centre_crop"
        )
    return high, wide


def view_image(image: UInt8[np.ndarray, "y x 3"], view: View) -> UInt8[np.ndarray, "y_view x_view 3"]:
    """The image as the view shows it; the same array where its size does not change.

    ASSUME: bilinear with antialiasing (PIL's), as the backbones' own preparation of images.
    """
    size = view_size(view, *image.shape[:2])
    if size == image.shape[:2]:
        return image
    top, left, height, width = _source(view, *image.shape[:2])
    box = (left, top, left + width, top + height)
    return np.array(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR, box=box))


def view_labels(labels: Int[np.ndarray, "y x"], view: View) -> Int16[np.ndarray, "y_view x_view"]:
    """The labels of the pixels `view_image` shows, by nearest neighbour."""
    return _nearest(labels, view).astype(np.int16, copy=False)


def view_mask(mask: Bool[np.ndarray, "y x"], view: View) -> Bool[np.ndarray, "y_view x_view"]:
    """The mask at the pixels `view_image` shows, by nearest neighbour."""
    return _nearest(mask, view)


def _nearest_multiple(numerator: int, denominator: int, multiple: int) -> int:
    """numerator / denominator to the nearest positive multiple, half up; integers, so never off by one."""
    return max((2 * numerator + denominator * multiple) // (2 * denominator * multiple), 1) * multiple


def _source(view: View, height: int, width: int) -> tuple[float, float, float, float]:
    """(top, left, height, width) of the pixels that the view shows.

    Cropping before scaling shows what cropping after it would, and never holds the long side.
    """
    if view.protocol != "centre_crop":
        return 0.0, 0.0, float(height), float(width)
    short = float(min(height, width))
    return (height - short) / 2, (width - short) / 2, short, short


def _nearest(labels: np.ndarray, view: View) -> np.ndarray:
    size = view_size(view, *labels.shape)
    if size == labels.shape:
        return labels
    top, left, height, width = _source(view, *labels.shape)
    rows = np.floor(top + (np.arange(size[0]) + 0.5) * height / size[0]).astype(np.intp)
    columns = np.floor(left + (np.arange(size[1]) + 0.5) * width / size[1]).astype(np.intp)
    return labels[np.ix_(rows, columns)]


# ----------------------------------------------------------------------------------------------- tokens


def token_grid(tokens: int, height_px: int, width_px: int) -> tuple[int, int]:
    """(rows, columns) of `tokens` equal cells on an image: the shape whose aspect is nearest the image's.

    Raises InputError where even that is off by more than 20 %: then the tokens are not a grid of this image.
    """
    if tokens < 1 or height_px < 1 or width_px < 1:
        got = f"{tokens} tokens on {height_px} × {width_px} px"
        raise InputError(f"token grid: expected at least one token and pixel, got {got}; check the capture")
    shapes = [(rows, tokens // rows) for rows in range(1, tokens + 1) if tokens % rows == 0]
    rows, columns = min(shapes, key=lambda shape: _aspect_error(shape[0], shape[1], height_px, width_px))
    off = _aspect_error(rows, columns, height_px, width_px)
    if off > _WORST_ASPECT:
        raise InputError(
            f"token grid: expected {tokens} tokens to tile {height_px} × {width_px} px, got at best {rows} × "
            f"{columns}, an aspect {off - 1:.0%} off; cut prefix tokens, or use a view of the model's shape"
        )
    return rows, columns


def _aspect_error(rows: int, columns: int, height_px: int, width_px: int) -> float:
    """How many times the grid is too high or too wide, at least 1: exp |log(rows/columns) - log(h/w)|."""
    high, wide = rows * width_px, columns * height_px
    return max(high, wide) / min(high, wide)


def tokens_to_pixels(regions: Int[np.ndarray, "row column"], height_px: int, width_px: int) -> Int16[np.ndarray, "y x"]:
    """The region of each pixel, from the region of each token.

    ASSUME: each region's indicator is interpolated bilinearly and the largest wins (ties: the lower
    number): outlines without the staircase of nearest neighbour, and the same at the centres of tokens.
    """
    present = np.unique(regions)
    if present[0] < np.iinfo(np.int16).min or present[-1] > np.iinfo(np.int16).max:
        raise InputError(f"regions: expected numbers of 16 bits, got up to {present[-1]}; number them from 0")
    down = _interpolation(regions.shape[0], height_px)
    indicators = (regions == present[:, None, None]) @ _interpolation(regions.shape[1], width_px).T
    pixels = np.full((height_px, width_px), present[0], dtype=np.int16)
    for first in range(0, height_px, step := max(1, _PIXELS_AT_ONCE // width_px)):
        rows = slice(first, first + step)
        most = down[rows] @ indicators[0]
        for region, across in zip(present[1:], indicators[1:], strict=True):
            share = down[rows] @ across
            pixels[rows][share > most] = region
            np.maximum(most, share, out=most)
    return pixels


def _interpolation(tokens: int, pixels: int) -> Float64[np.ndarray, "pixel token"]:
    """Weights of linear interpolation, times 2 × pixels: whole numbers, so that ties are exact."""
    place = np.clip((2 * np.arange(pixels) + 1) * tokens - pixels, 0, 2 * pixels * (tokens - 1))
    before, past = np.divmod(place, 2 * pixels)
    weights = np.zeros((pixels, tokens))
    weights[np.arange(pixels), before] += 2 * pixels - past
    weights[np.arange(pixels), np.minimum(before + 1, tokens - 1)] += past
    return weights
