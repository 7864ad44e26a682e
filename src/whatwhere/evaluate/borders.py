"""Regions whose borders are the image's: what tokens were given, brought to pixels through the colours around them.

A guided filter (He, Sun and Tang, 2010) in its fast form (2015). Around every pixel the share of a region is a linear
function of the colours there, fitted to the share that the tokens say:

    q = a · I + b,   a = (Σ + ε)⁻¹ cov(I, p),   b = mean p − a · mean I

with means, Σ and cov over a square about the pixel. It is fitted on a small image and its coefficients, smoothed over
the same square, enlarged: the fit takes the same time for every photograph, the borders are those of a large one.
The share of each region is linear in its tokens, so regions and single masks are treated alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32, Int16, Integer, UInt8
from PIL import Image

from whatwhere.datasets.images import tokens_to_pixels

Borders = Literal["tokens", "image"]

#: Half a side of the square that is looked at, in tokens; and ε, of colours from 0 to 1. Chosen by
#: `whatwhere bench regions` on one half of its images.
RADIUS_TOKENS = 2.0
EPSILON = 1e-4
#: Pixels of the image that shares are fitted on, and at most of the one that they are read from; beyond it they are
#: enlarged.
FITTED_PX, SHOWN_PX = 2**15, 2**19
#: A mask that the colours change more than this, as IoU with what its tokens say, stays as the tokens say.
LEAST_AGREEMENT = 0.5


def to_pixels(
    regions: Integer[np.ndarray, "row column"],
    image: UInt8[np.ndarray, "y x 3"],
    borders: Borders = "image",
    *,
    radius_tokens: float = RADIUS_TOKENS,
    guide: Guide | None = None,
) -> Int16[np.ndarray, "y x"]:
    """The region of each pixel of the image (RGB), from the region of each token. `guide`: the image's for this grid,
    where it was made before.

    By the `tokens` alone as `tokens_to_pixels` has it. Through the `image`, the region with the largest filtered share
    (ties: the lower number), specks given to what surrounds them. A region that no pixel would be left of keeps the
    pixels that its tokens say.
    """
    present = np.unique(regions)
    if borders == "tokens" or len(present) < 2:
        return tokens_to_pixels(regions, *image.shape[:2])
    guide = guide or Guide.of(image, regions.shape, radius_tokens=radius_tokens)
    found = _largest((int(region), guide(regions == region)) for region in present)
    found = without_specks(found, speck_px(found.shape, regions.shape))
    lost = np.setdiff1d(present, found)
    if len(lost):
        plain = tokens_to_pixels(regions, *found.shape)
        found = np.where(np.isin(plain, lost), plain, found)
    return _enlarged(found, image.shape[:2])


def masks_to_pixels(
    masks: Bool[np.ndarray, "mask row column"], image: UInt8[np.ndarray, "y x 3"], borders: Borders = "image"
) -> Iterator[Bool[np.ndarray, "y x"]]:
    """Each mask in the pixels of the image (RGB), one at a time, as all of a large photograph's would not fit.

    Through the `image`, the pixels of which it has a filtered share above ½, without specks and holes of their size,
    unless these are far from what its tokens say (`LEAST_AGREEMENT`).
    """
    guide = Guide.of(image, masks.shape[1:]) if borders == "image" and len(masks) else None
    for mask in masks:
        numbers = mask.astype(np.int16)
        if guide is None or mask.all() or not mask.any():
            yield tokens_to_pixels(numbers, *image.shape[:2]) > 0
            continue
        share = guide(mask)
        found = without_specks((share > 0.5).astype(np.int16), speck_px(share.shape, mask.shape)) > 0
        plain = tokens_to_pixels(numbers, *found.shape) > 0
        agree = np.count_nonzero(found & plain) >= LEAST_AGREEMENT * np.count_nonzero(found | plain)
        yield _enlarged((found if agree else plain).astype(np.int16), image.shape[:2]) > 0


def speck_px(size: tuple[int, ...], grid: tuple[int, ...]) -> int:
    """Pixels of a token, under which a piece is a speck."""
    return size[0] * size[1] // (grid[0] * grid[1])


def without_specks(pixels: Int16[np.ndarray, "y x"], least_px: int) -> Int16[np.ndarray, "y x"]:
    """Connected pieces (over edges) of fewer than `least_px` given to the region that they share most edges with.

    Specks among specks alone follow in a later round; those of an image of nothing else stay.
    """
    from skimage.measure import label

    found = pixels.copy()
    while True:
        pieces = label(found, background=-1, connectivity=1) - 1
        small = np.bincount(pieces.ravel()) < least_px
        if not small.any() or small.all():
            return found
        given = np.full(len(small), -1)
        given[pieces.ravel()] = found.ravel()
        taken = _around(pieces, small, given)
        if not len(taken):
            return found
        given[list(taken)] = list(taken.values())
        found = given[pieces].astype(np.int16)


def _around(
    pieces: Integer[np.ndarray, "y x"], small: Bool[np.ndarray, "piece"], given: Integer[np.ndarray, "piece"]
) -> dict[int, int]:
    """Of every small piece beside a large one, the region that it shares most edges with; of equals the lower."""
    pairs = []
    for one, other in ((pieces[1:], pieces[:-1]), (pieces[:, 1:], pieces[:, :-1])):
        for speck, beside in ((one, other), (other, one)):
            edge = (speck != beside) & small[speck] & ~small[beside]
            pairs.append(np.stack([speck[edge], given[beside[edge]]], 1))
    met, times = np.unique(np.concatenate(pairs), axis=0, return_counts=True)
    order = np.lexsort((-met[:, 1], times))  # of a speck's entries the last one stays
    return dict(met[order].tolist())


def _largest(shares: Iterable[tuple[int, Float32[np.ndarray, "y x"]]]) -> Int16[np.ndarray, "y x"]:
    """The number of the largest share at each pixel; of equal ones the first."""
    each = iter(shares)
    number, most = next(each)
    found = np.full(most.shape, number, np.int16)
    for number, share in each:
        found[share > most] = number
        most = np.maximum(most, share)
    return found


def _enlarged(pixels: Int16[np.ndarray, "y x"], size: tuple[int, ...]) -> Int16[np.ndarray, "y_new x_new"]:
    """As `tokens_to_pixels`, of far more of them: the largest of the regions' interpolated indicators."""
    if pixels.shape == size:
        return pixels
    indicators = ((int(region), (pixels == region).astype(np.float32)) for region in np.unique(pixels))
    return _largest((region, _resized(indicator, size)) for region, indicator in indicators)


@dataclass(frozen=True)
class Guide:
    """What of an image shares are filtered by, made once: `colours` and their `means`, 0 to 1, with the `inverse` of
    Σ + ε, all at the size of the fit, and half the side of its squares; `shown`, the colours that shares are read from.
    """

    colours: Float32[np.ndarray, "3 y_fit x_fit"]
    means: Float32[np.ndarray, "3 y_fit x_fit"]
    inverse: Float32[np.ndarray, "y_fit x_fit 3 3"]
    shown: Float32[np.ndarray, "3 y_shown x_shown"]
    radius: tuple[int, int]

    @classmethod
    def of(
        cls,
        image: UInt8[np.ndarray, "y x 3"],
        grid: tuple[int, ...],
        *,
        radius_tokens: float = RADIUS_TOKENS,
        epsilon: float = EPSILON,
    ) -> Guide:
        """Of an RGB image that `grid` (rows, columns) of tokens saw."""
        colours, shown = (_colours(image, most) for most in (FITTED_PX, SHOWN_PX))
        rows, columns = (
            max(1, round(radius_tokens * side / tokens)) for side, tokens in zip(colours.shape[1:], grid, strict=True)
        )
        radius = (rows, columns)
        means = np.stack([_mean(channel, radius) for channel in colours])
        spread = np.empty((*colours.shape[1:], 3, 3), np.float32)
        for one in range(3):
            for other in range(one, 3):
                common = _mean(colours[one] * colours[other], radius) - means[one] * means[other]
                spread[..., one, other] = spread[..., other, one] = common
        inverse = np.linalg.inv(spread + np.float32(epsilon) * np.eye(3, dtype=np.float32))
        return cls(colours, means, inverse, shown, radius)

    def __call__(self, tokens: Bool[np.ndarray, "row column"]) -> Float32[np.ndarray, "y_shown x_shown"]:
        """The filtered share that these tokens have of each pixel shown, about 0 to 1."""
        share = _resized(tokens.astype(np.float32), self.colours.shape[1:])
        mean = _mean(share, self.radius)
        along = np.stack([_mean(channel * share, self.radius) for channel in self.colours], axis=-1)
        slope = np.einsum("yxij,yxj->iyx", self.inverse, along - np.moveaxis(self.means, 0, -1) * mean[..., None])
        offset = mean - np.einsum("iyx,iyx->yx", slope, self.means)
        found = _resized(_mean(offset, self.radius), self.shown.shape[1:])
        for channel, steepness in zip(self.shown, slope, strict=True):
            found += _resized(_mean(steepness, self.radius), self.shown.shape[1:]) * channel
        return found


def _colours(image: UInt8[np.ndarray, "y x 3"], most_px: int) -> Float32[np.ndarray, "3 y_small x_small"]:
    """0 to 1, of an image of at most so many pixels."""
    height, width = image.shape[:2]
    scale = min(1.0, (most_px / (height * width)) ** 0.5)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = image if scale == 1 else np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    return np.moveaxis(small, -1, 0).astype(np.float32) / 255


def _mean(plane: Float32[np.ndarray, "y x"], radius: tuple[int, int]) -> Float32[np.ndarray, "y x"]:
    """Over the square about each pixel."""
    from scipy.ndimage import uniform_filter

    return uniform_filter(plane, (2 * radius[0] + 1, 2 * radius[1] + 1), mode="nearest")


def _resized(plane: Float32[np.ndarray, "y x"], size: tuple[int, ...]) -> Float32[np.ndarray, "y_new x_new"]:
    """Bilinear; pixel `i` covers `[i, i + 1)` as everywhere."""
    if plane.shape == size:
        return plane
    return np.array(Image.fromarray(plane).resize((size[1], size[0]), Image.Resampling.BILINEAR))
