"""MaskCut's end, at the size of the image: CRF, filling of holes, and dropping what that changed too much (Table 8)."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Int, UInt8
from scipy import ndimage

from whatwhere.evaluate.crf import MASKCUT, CrfSettings, refine

#: A mask is dropped where its IoU with itself before the CRF is below this.
LEAST_AGREEMENT = 0.5


def refined_masks(
    masks: Bool[np.ndarray, "mask row column"], image: UInt8[np.ndarray, "y x 3"], settings: CrfSettings = MASKCUT
) -> Bool[np.ndarray, "mask y x"]:
    """MaskCut's masks at the size of the image (RGB): CRF, then holes filled; dropped ones are left empty.

    A mask is dropped where its IoU with itself before is below `LEAST_AGREEMENT`. Every mask is refined alone, against
    the rest of the image, from log-probabilities that differ by 1 between inside and outside, as MaskCut has them.
    Refined masks may overlap. MaskCut shows the CRF the image that the features were made of, at 480 pixels.
    """
    refined = np.zeros((len(masks), *image.shape[:2]), bool)
    for number, mask in enumerate(_enlarged(masks, *image.shape[:2])):
        if mask.any():  # the others were dropped before
            log_odds = np.stack([~mask, mask]).astype(np.float32)
            after = refine(image, log_odds - np.float32(np.log1p(math.e)), settings)
            filled = ndimage.binary_fill_holes(after[1] > after[0])
            agrees = (filled & mask).sum() >= LEAST_AGREEMENT * (filled | mask).sum()
            refined[number] = filled & agrees
    return refined


def _enlarged(masks: Bool[np.ndarray, "mask row column"], height: int, width: int) -> Bool[np.ndarray, "mask y x"]:
    """Each pixel is that of the token it lies in, by its centre."""
    rows, columns = (_token_of(size, count) for size, count in zip((height, width), masks.shape[1:], strict=True))
    return masks[:, rows[:, None], columns]


def _token_of(pixels: int, tokens: int) -> Int[np.ndarray, "pixel"]:
    return (2 * np.arange(pixels) + 1) * tokens // (2 * pixels)
