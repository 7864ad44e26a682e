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
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Bool, Float32, Int16, Integer, UInt8
from PIL import Image

from whatwhere.datasets.images import tokens_to_pixels

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Borders = Literal["tokens", "image"]

#: Half a side of the square that is looked at, in tokens; and ε, of colours from 0 to 1. Chosen by
#: `whatwhere bench regions` on one half of its images.
RADIUS_TOKENS = 2.0
EPSILON = 1e-4
#: Pixels of the image that shares are fitted on, and at most of the one that they are read from; beyond it they are
#: enlarged.
FITTED_PX, SHOWN_PX = 2**15, 2**19
#: Masks whose shares a guide remembers.
KNOWN = 16
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
    found = _largest(guide.shares(regions, present))
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
    speckled, pairs, regions = small[pieces], [], int(given.max()) + 1
    for edge in ((slice(1, None), slice(None)), (slice(None), slice(1, None))):
        back = tuple(slice(None, -1) if one.start else one for one in edge)
        for here, beside in ((edge, back), (back, edge)):
            meets = speckled[here] & ~speckled[beside]
            pairs.append(pieces[here][meets] * regions + given[pieces[beside][meets]])
    met, times = np.unique(np.concatenate(pairs), return_counts=True)
    specks, found = np.divmod(met, regions)
    order = np.lexsort((-found, times))  # of a speck's entries the last one stays
    return dict(zip(specks[order].tolist(), found[order].tolist(), strict=True))


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
    Matrices for rows and for columns: `spreading` brings tokens to the fit, `averaging` to means over its squares,
    `enlarging` the fit to what is shown. `known`: shares of the last masks, which the next partition often has again.
    """

    colours: Float32[np.ndarray, "3 y_fit x_fit"]
    means: Float32[np.ndarray, "3 y_fit x_fit"]
    inverse: Float32[np.ndarray, "3 3 y_fit x_fit"]
    shown: Float32[np.ndarray, "3 x_shown y_shown"]
    spreading: tuple[Float32[np.ndarray, "y_fit row"], Float32[np.ndarray, "x_fit column"]]
    averaging: tuple[Float32[np.ndarray, "y_fit row"], Float32[np.ndarray, "x_fit column"]]
    enlarging: tuple[csr_array, csr_array]
    radius: tuple[int, int]
    grid: tuple[int, int]
    known: dict[bytes, Float32[np.ndarray, "y_shown x_shown"]] = field(default_factory=dict, repr=False)

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
        from scipy.sparse import csr_array

        colours, shown = (_colours(image, most) for most in (FITTED_PX, SHOWN_PX))
        rows, columns = (
            max(1, round(radius_tokens * side / tokens)) for side, tokens in zip(colours.shape[1:], grid, strict=True)
        )
        radius = (rows, columns)
        means = _mean(colours, radius)
        spread = np.empty((*colours.shape[1:], 3, 3), np.float32)
        for one in range(3):
            for other in range(one, 3):
                common = _mean(colours[one] * colours[other], radius) - means[one] * means[other]
                spread[..., one, other] = spread[..., other, one] = common
        inverse = np.linalg.inv(spread + np.float32(epsilon) * np.eye(3, dtype=np.float32))
        planes = np.ascontiguousarray(np.moveaxis(inverse, (0, 1), (2, 3)))
        across_first = np.ascontiguousarray(shown.transpose(0, 2, 1))
        spreading = _enlarging(grid[0], colours.shape[1]), _enlarging(grid[1], colours.shape[2])
        averaging = _mean(spreading[0], (rows, 0)), _mean(spreading[1], (columns, 0))
        enlarging = (
            csr_array(_enlarging(colours.shape[1], shown.shape[1])),
            csr_array(_enlarging(colours.shape[2], shown.shape[2])),
        )
        matrices = (spreading, averaging, enlarging)
        return cls(colours, means, planes, across_first, *matrices, radius, (grid[0], grid[1]))

    def shares(
        self, regions: Integer[np.ndarray, "row column"], present: Integer[np.ndarray, "region"]
    ) -> Iterator[tuple[int, Float32[np.ndarray, "y_shown x_shown"]]]:
        """Of each region that is `present` its number and filtered share; the last has what the others leave of 1."""
        left = np.ones(self.shown.shape[:0:-1], np.float32)
        for region in present[:-1]:
            share = self(regions == region)
            left -= share
            yield int(region), share
        yield int(present[-1]), left

    def __call__(self, tokens: Bool[np.ndarray, "row column"]) -> Float32[np.ndarray, "y_shown x_shown"]:
        """The filtered share that these tokens have of each pixel shown, about 0 to 1."""
        asked = tokens.tobytes()
        if asked not in self.known:
            found = self._read(_mean(self._fitted(tokens.astype(np.float32)), self.radius))
            self.known[asked] = found
            if len(self.known) > KNOWN:
                del self.known[next(iter(self.known))]
        return self.known[asked]

    def _fitted(self, tokens: Float32[np.ndarray, "row column"]) -> Float32[np.ndarray, "4 y_fit x_fit"]:
        """Slopes and offset of each square."""
        share, mean = (down @ tokens @ across.T for down, across in (self.spreading, self.averaging))
        along = _mean(self.colours * share, self.radius)
        along -= self.means * mean
        found = np.empty((4, *mean.shape), np.float32)
        slope = np.einsum("ijyx,jyx->iyx", self.inverse, along, out=found[:3])
        np.subtract(mean, np.einsum("iyx,iyx->yx", slope, self.means), out=found[3])
        return found

    def _read(self, coefficients: Float32[np.ndarray, "4 y_fit x_fit"]) -> Float32[np.ndarray, "y_shown x_shown"]:
        """Slopes and offset, enlarged (bilinear) to the colours that are shown and met with them: what a sparse matrix
        enlarges lies first.
        """
        down, across = self.enlarging
        rows, columns = coefficients.shape[1:]
        high = down @ np.ascontiguousarray(coefficients.transpose(1, 0, 2)).reshape(rows, -1)
        wide = across @ np.ascontiguousarray(high.reshape(len(high), 4, columns).transpose(2, 1, 0)).reshape(
            columns, -1
        )
        wide = wide.reshape(len(wide), 4, len(high))
        found = np.einsum("xiy,ixy->xy", wide[:, :3], self.shown)
        found += wide[:, 3]
        return np.ascontiguousarray(found.T)


def _colours(image: UInt8[np.ndarray, "y x 3"], most_px: int) -> Float32[np.ndarray, "3 y_small x_small"]:
    """0 to 1, of an image of at most so many pixels."""
    height, width = image.shape[:2]
    scale = min(1.0, (most_px / (height * width)) ** 0.5)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = image if scale == 1 else np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    return np.moveaxis(small, -1, 0).astype(np.float32) / 255


def _mean(planes: Float32[np.ndarray, "*plane y x"], radius: tuple[int, int]) -> Float32[np.ndarray, "*plane y x"]:
    """Over the square about each pixel."""
    from scipy.ndimage import uniform_filter

    sides = (2 * radius[0] + 1, 2 * radius[1] + 1)
    return uniform_filter(planes, (1,) * (planes.ndim - 2) + sides, mode="nearest")


def _enlarging(size: int, larger: int) -> Float32[np.ndarray, "larger size"]:
    """`_resized` of one side as a matrix."""
    return _resized(np.eye(size, dtype=np.float32), (larger, size))


def _resized(plane: Float32[np.ndarray, "y x"], size: tuple[int, ...]) -> Float32[np.ndarray, "y_new x_new"]:
    """Bilinear; pixel `i` covers `[i, i + 1)` as everywhere."""
    if plane.shape == size:
        return plane
    return np.array(Image.fromarray(plane).resize((size[1], size[0]), Image.Resampling.BILINEAR))
