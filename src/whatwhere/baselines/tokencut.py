"""TokenCut (Wang et al., 2022): an object from a vector of a thresholded graph (appendix B.3, Table 8)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from whatwhere.artifacts.errors import InputError
from whatwhere.baselines.ncut import check_grid, cosine_affinity, largest_entry, normalised_cut


@dataclass(frozen=True)
class Cut:
    """One object on the token grid.

    `mask` and `eigenvector` `[row, column]`, the vector positive on the foreground; `seed`, the token with the
    largest entry; `box` around the mask: x0, y0, x1, y1 in pixels, x1 and y1 exclusive.
    """

    mask: Bool[np.ndarray, "row column"]
    eigenvector: Float[np.ndarray, "row column"]
    seed: int
    box: tuple[int, int, int, int]


def tokencut(
    features: Float[np.ndarray, "token channel"],
    grid: tuple[int, int],
    *,
    threshold: float = 0.2,
    epsilon: float = 1e-5,
    patch_px: int = 1,
) -> Cut:
    """The most salient object of one image, from its features on `grid` (rows, columns).

    Graph: cosine above `threshold`. The second-smallest generalised eigenvector is split at its mean;
    foreground is the side with the largest absolute entry, and of it the connected part around that entry.
    `patch_px` is the side of a token in pixels; 1 leaves the box in tokens.

    ASSUME: tokens that touch at a corner only are not connected.
    """
    return tokencuts(features, grid, masks=1, threshold=threshold, epsilon=epsilon, patch_px=patch_px)[0]


def tokencuts(
    features: Float[np.ndarray, "token channel"],
    grid: tuple[int, int],
    *,
    masks: int = 3,
    threshold: float = 0.2,
    epsilon: float = 1e-5,
    patch_px: int = 1,
) -> tuple[Cut, ...]:
    """Several objects of one image, the row of Table 8 with 3 masks: `tokencut` for each of `masks` eigenvectors.

    The first is that of `tokencut`. They may overlap, and repeat each other.

    ASSUME: one mask from each of the second, third ... smallest generalised eigenvectors of the one graph; the paper
    does not say. They are what TokenCut has solved for already, and cutting the rest of the graph again is MaskCut.
    """
    check_grid(features, grid)
    if not 1 <= masks < len(features):
        raise InputError(f"masks: expected 1 to {len(features) - 1} for {len(features)} tokens, got {masks}")
    return cuts_of(cosine_affinity(features, threshold=threshold, epsilon=epsilon), grid, masks, patch_px)


def cuts_of(
    affinity: Float[np.ndarray, "token token"], grid: tuple[int, int], masks: int, patch_px: int = 1
) -> tuple[Cut, ...]:
    """The same of any graph of the tokens (`graph.weights`)."""
    # a vector's sign makes its largest absolute entry positive: the foreground is the upper side
    _, columns = normalised_cut(affinity, masks)
    return tuple(_cut(vector, grid, patch_px) for vector in columns.T)


def _cut(vector: Float[np.ndarray, "token"], grid: tuple[int, int], patch_px: int) -> Cut:
    seed = largest_entry(vector)
    mask = part_around((vector > vector.mean()).reshape(grid), seed)
    return Cut(mask, vector.reshape(grid), seed, bounding_box(mask, patch_px))


def part_around(side: Bool[np.ndarray, "row column"], token: int) -> Bool[np.ndarray, "row column"]:
    """The part of `side` that is connected to `token` (numbered along rows) through shared edges."""
    parts, _ = ndimage.label(side)
    return (parts == parts.flat[token]) & side


def bounding_box(mask: Bool[np.ndarray, "row column"], patch_px: int = 1) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 (exclusive) of a mask with at least one token, each times `patch_px`."""
    rows, columns = np.nonzero(mask)
    x0, y0, x1, y1 = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return int(x0) * patch_px, int(y0) * patch_px, int(x1) * patch_px, int(y1) * patch_px
