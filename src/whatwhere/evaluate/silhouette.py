"""Silhouettes (Rousseeuw, 1987) of single masks as proposals (appendix D.2); of a partition see `method.cluster`.

A token's silhouette is `(b − a) / max(a, b)`: a, its mean distance to the other tokens of its cluster; b, that
to the nearest other cluster. Distances are Euclidean between the features as they are, computed once.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.distance import cdist

from whatwhere.artifacts.errors import InputError


def mask_scores(
    features: Float[np.ndarray, "token channel"], masks: Bool[np.ndarray, "mask row column"]
) -> Float[np.ndarray, "mask"]:
    """Balanced silhouette of each mask, from -1 to 1: the mask against as many tokens outside it.

    That sample is the outside tokens with the shortest distance to any token of the mask, all of them where fewer
    are left than the mask has. The score is the mean of `(b − a) / max(a, b)` over mask and sample. 0 is the
    paper's threshold for a proposal. NaN for a mask without a token or without an outside; a token alone on its
    side of the mask has 0.

    ASSUME: as the released code scores (tests/test_goldens.py), where the paper says only that the background kept
    is "close to the foreground pixels in feature space". Tokens of the mask take b to the sample. Those of the
    sample take a to everything outside the mask and b to everything outside the sample, the far background
    included in both; where the mask has half of the tokens or more, this is the silhouette of mask and outside.
    """
    inside = masks.reshape(len(masks), -1).T
    if len(inside) != len(features):
        grid = f"{masks.shape[1]}×{masks.shape[2]}"
        raise InputError(f"masks: expected {len(features)} tokens as in the features, got a grid of {grid}")
    distances = cdist(features, features)
    near = _nearest(distances, inside)
    size, count, tokens = inside.sum(0), near.sum(0), len(features)
    to_mask, to_near, to_all = distances @ inside, distances @ near, distances.sum(1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        own = np.where(inside, to_mask, to_all - to_mask) / np.maximum(np.where(inside, size, tokens - size) - 1, 1)
        other = np.where(inside, to_near / count, (to_all - to_near) / (tokens - count))
        scores = np.where(np.where(inside, size, tokens - size) > 1, _score(own, other), 0)
        return np.where(inside | near, scores, 0).sum(0) / np.where(count > 0, size + count, np.nan)


def _nearest(
    distances: Float[np.ndarray, "token token"], inside: Bool[np.ndarray, "token mask"]
) -> Bool[np.ndarray, "token mask"]:
    """As many tokens outside each mask as it has, by their shortest distance to it; equal ones in token order."""
    near = np.zeros_like(inside)
    for mask, chosen in zip(inside.T, near.T, strict=True):
        outside = np.flatnonzero(~mask)
        away = distances[mask].min(0, initial=np.inf)[outside]
        chosen[outside[np.argsort(away, kind="stable")[: mask.sum()]]] = True
    return near


def _score(inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """`(b − a) / max(a, b)`; 0 where both are 0, for tokens without a difference."""
    largest = np.maximum(inside, outside)
    return np.divide(outside - inside, largest, out=np.zeros_like(largest), where=largest > 0)
