"""Silhouettes (Rousseeuw, 1987): of a partition (section 4.1), and of single masks as proposals (appendix D.2).

A token's silhouette is `(b − a) / max(a, b)`: a, its mean distance to the other tokens of its cluster; b, that
to the nearest other cluster. Distances are Euclidean between the features as they are, computed once.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial.distance import cdist

from whatwhere.errors import InputError


def silhouette(features: Float[np.ndarray, "token channel"], labels: Int[np.ndarray, "token"]) -> float:
    """Mean silhouette of a partition, from -1 to 1; a token alone in its cluster has 0.

    Raises `InputError` where there are fewer than two clusters.
    """
    numbers, member, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if len(numbers) < 2:
        raise InputError(f"labels: expected at least two clusters, got {len(numbers)}")
    own = np.arange(len(numbers)) == member[:, None]
    sums = cdist(features, features) @ own
    inside = sums[own] / np.maximum(sizes[member] - 1, 1)
    outside = np.where(own, np.inf, sums / sizes).min(1)
    return float(np.where(sizes[member] > 1, _score(inside, outside), 0).mean())


def mask_scores(
    features: Float[np.ndarray, "token channel"], masks: Bool[np.ndarray, "mask row column"]
) -> Float[np.ndarray, "mask"]:
    """Balanced silhouette of each mask, from -1 to 1: the mask against as many tokens, the nearest outside it.

    The mean over the tokens of both sides. 0 is the paper's threshold for a proposal. NaN for a mask without a
    token or without an outside.

    ASSUME: near is a small mean distance to the mask's tokens, and where less is left outside than the mask
    has, all of it is taken; the paper says "close to the foreground pixels in feature space". The released
    code's scores are others (tests/test_goldens.py): how it chooses the background is not known.
    """
    inside = masks.reshape(len(masks), -1).T
    if len(inside) != len(features):
        grid = f"{masks.shape[1]}×{masks.shape[2]}"
        raise InputError(f"masks: expected {len(features)} tokens as in the features, got a grid of {grid}")
    distances = cdist(features, features)
    size = inside.sum(0)
    to_mask = distances @ inside
    near = _nearest(np.where(inside, np.inf, to_mask), np.minimum(size, len(features) - size))
    count = near.sum(0)
    to_near = distances @ near
    with np.errstate(invalid="ignore", divide="ignore"):
        own = np.where(inside, to_mask / np.maximum(size - 1, 1), to_near / np.maximum(count - 1, 1))
        other = np.where(inside, to_near / count, to_mask / size)
        scores = np.where(np.where(inside, size, count) > 1, _score(own, other), 0)
        return np.where(inside | near, scores, 0).sum(0) / np.where(count > 0, size + count, np.nan)


def _nearest(
    distances: Float[np.ndarray, "token mask"], counts: Int[np.ndarray, "mask"]
) -> Bool[np.ndarray, "token mask"]:
    """The first `counts` tokens of each column by distance; equal ones in the order of tokens."""
    ranks = np.argsort(np.argsort(distances, axis=0, kind="stable"), axis=0, kind="stable")
    return ranks < counts


def _score(inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """`(b − a) / max(a, b)`; 0 where both are 0, for tokens without a difference."""
    largest = np.maximum(inside, outside)
    return np.divide(outside - inside, largest, out=np.zeros_like(largest), where=largest > 0)
