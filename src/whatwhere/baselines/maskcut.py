"""MaskCut (Wang et al., 2023): TokenCut again and again, each time without what was found (Table 1, Table 8).

`maskcut` answers masks on the token grid; `refined_masks` is what MaskCut then does at the size of the image: CRF,
filling of holes, and dropping what that changed too much.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy import ndimage

from whatwhere.baselines.ncut import check_grid, cosine_affinity, largest_entry, normalised_cut
from whatwhere.baselines.tokencut import part_around
from whatwhere.errors import InputError
from whatwhere.evaluate.crf import MASKCUT, CrfSettings, refine

#: A side with this many of the grid's four corners is the background.
CORNERS = 3
#: A later mask is dropped where its IoU with the one before is above this,
MOST_OVERLAP = 0.5
#: or where it covers no more than this share of the grid.
LEAST_AREA = 0.01
#: A mask is dropped where its IoU with itself before the CRF is below this.
LEAST_AGREEMENT = 0.5


@dataclass(frozen=True)
class Objects:
    """`masks` `[mask, row, column]` in the order found, disjoint, empty where dropped; `eigenvectors` alike."""

    masks: Bool[np.ndarray, "mask row column"]
    eigenvectors: Float[np.ndarray, "mask row column"]


def maskcut(
    features: Float[np.ndarray, "token channel"],
    grid: tuple[int, int],
    *,
    threshold: float = 0.15,
    masks: int = 3,
    epsilon: float = 1e-5,
) -> Objects:
    """Up to `masks` objects of one image, from its features on `grid` (rows, columns).

    After each object the features of its tokens become zero, which leaves them edges of `epsilon`. A later
    mask is dropped where it repeats the one before (`MOST_OVERLAP`) or is too small (`LEAST_AREA`); tokens of
    earlier masks are taken out of what remains.

    ASSUME: overlap and area are those of the whole mask, before earlier ones are taken out. A mask that is
    dropped, or adds no token, leaves the graph as it was, and all later ones would repeat it: they are left
    empty, with the same vector, unsolved.
    """
    check_grid(features, grid)
    if masks < 1:
        raise InputError(f"masks: expected at least 1, got {masks}")
    found = np.zeros((masks, *grid), bool)
    vectors = np.zeros((masks, *grid))
    taken = before = np.zeros(grid, bool)
    for number in range(masks):
        left = np.where(taken.reshape(-1, 1), 0, features)
        affinity = cosine_affinity(left, threshold=threshold, epsilon=epsilon)
        mask, vectors[number:] = _salient(normalised_cut(affinity, 1)[1][:, 0], grid)
        if (number and _dropped(mask, before)) or not (mask & ~taken).any():
            break
        found[number] = mask & ~taken
        taken, before = taken | mask, mask
    return Objects(found, vectors)


def _salient(
    vector: Float[np.ndarray, "token"], grid: tuple[int, int]
) -> tuple[Bool[np.ndarray, "row column"], Float[np.ndarray, "row column"]]:
    """The object that a vector shows, and the vector with its sign: positive on the object's side.

    ASSUME: corners are counted on the side with the largest absolute entry, so that the answer does not
    depend on the sign that a solver happens to give.
    """
    side = (vector > vector.mean()).reshape(grid)
    if side[[0, 0, -1, -1], [0, -1, 0, -1]].sum() >= CORNERS:
        vector, side = -vector, ~side
    return part_around(side, largest_entry(vector)), vector.reshape(grid)


def _dropped(mask: Bool[np.ndarray, "row column"], before: Bool[np.ndarray, "row column"]) -> bool:
    overlap = (mask & before).sum() / (mask | before).sum()
    return bool(overlap > MOST_OVERLAP or mask.mean() <= LEAST_AREA)


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
