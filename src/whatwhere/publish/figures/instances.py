"""Objects by themselves: masks that may overlap, each in a colour of its own over the photograph (paper, Figure 14)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from whatwhere.artifacts.errors import InputError
from whatwhere.publish.figures.colours import PALETTE, Picture, bands, greyed, line_px

#: The weight of a mask's colour over the photograph.
STRENGTH = 0.55


def instance_overlay(image: Picture, masks: Bool[np.ndarray, "mask row column"]) -> Picture:
    """The photograph under translucent masks with outlines.

    Masks are on the image's pixels or any grid over it, and are brought to its size. Mask i has the i-th colour of the
    palette, which starts again after 40. ASSUME: smaller masks lie on larger ones, whatever their order: of proposals
    within each other all are seen. An empty mask is not drawn; without masks the photograph stays as it is.

    Raises InputError for masks that are not boolean `[mask, row, column]`.
    """
    check_masks(masks)
    picture, grey, width, areas = image.copy(), greyed(image), line_px(image), masks.sum((1, 2))
    drawn = sorted(np.flatnonzero(areas), key=lambda place: (-areas[place], -place))
    for place in drawn:  # one at a time: all masks of a large image would not fit
        _paint(picture, grey, fit_mask(masks[place], *image.shape[:2]), PALETTE[place % len(PALETTE)], width)
    return picture


def check_masks(masks: Bool[np.ndarray, "..."]) -> None:
    """Raises InputError for anything but boolean `[mask, row, column]`."""
    if masks.ndim != 3 or masks.dtype != bool:
        got = f"{masks.dtype} {list(masks.shape)}"
        raise InputError(f"instances: expected boolean masks [mask, row, column], got {got}; stack one array a mask")


def fit_mask(mask: Bool[np.ndarray, "row column"], height: int, width: int) -> Bool[np.ndarray, "{height} {width}"]:
    """A mask that is not empty at `height` × `width` pixels, interpolated as regions are: no staircase.

    A pixel belongs to it from half of its largest share on, so that no mask vanishes.
    """
    resized = Image.fromarray(mask.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    share = np.asarray(resized)
    return share >= share.max() / 2


def _paint(
    picture: Picture, grey: Float[np.ndarray, "y x 1"], mask: Bool[np.ndarray, "y x"], colour: np.ndarray, width: int
) -> None:
    """Into `picture`: colour over the photograph in grey, an outline inside the mask, white around it."""
    from scipy.ndimage import maximum_filter, minimum_filter

    near = _around(mask, 2 * width)
    inside, part, shades = mask[near], picture[near], grey[near] * (1 - STRENGTH)
    for rows in bands(part):
        part[rows][inside[rows]] = np.rint(shades[rows][inside[rows]] + colour * STRENGTH)
    part[maximum_filter(inside, width + 2) & ~inside] = 255
    part[inside & ~minimum_filter(inside, 2 * width + 1)] = np.rint(colour * 0.8)


def _around(mask: Bool[np.ndarray, "y x"], more: int) -> tuple[slice, slice]:
    """The mask's box and `more` pixels on each side, as far as there are."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    top, left = (max(int(lines[0]) - more, 0) for lines in (rows, columns))
    return slice(top, int(rows[-1]) + more + 1), slice(left, int(columns[-1]) + more + 1)
