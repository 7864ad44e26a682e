"""The graph that Ncut, TokenCut and MaskCut cut, from similarities of tokens (cosines, or attention).

A setting made for one network breaks on another (DINOv2's keys have cosines of 0.75 to 0.98 throughout: at a threshold
of 0.2 their graph is complete), so there are three ways: a threshold as published, one by quantile, and soft weights.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from whatwhere.artifacts.errors import InputError

#: Weight of an edge that the threshold takes away.
EPSILON = 1e-5


def weights(
    similarity: Float[np.ndarray, "token token"],
    *,
    threshold: float | None = None,
    quantile: float | None = None,
    power: float | None = None,
    epsilon: float = EPSILON,
) -> Float[np.ndarray, "token token"]:
    """A graph of positive weights.

    One of: `threshold`, 1 where the similarity exceeds it and `epsilon` elsewhere; `quantile`, the same with the value
    that this share of all pairs of two tokens does not exceed; `power`, soft: the similarity from the lowest (0) to 1,
    to that power. Without any of them the similarities themselves. None is below `epsilon`.
    Raises `InputError` for more than one of the three.
    """
    if sum(one is not None for one in (threshold, quantile, power)) > 1:
        got = f"threshold {threshold}, quantile {quantile}, power {power}"
        raise InputError(f"graph: expected one of threshold, quantile and power, got {got}; take one")
    if quantile is not None:
        threshold = float(np.quantile(similarity[~np.eye(len(similarity), dtype=bool)], quantile))
    if threshold is not None:
        return np.where(similarity > threshold, 1.0, epsilon)
    if power is None:
        return np.maximum(similarity, epsilon)
    lowest, highest = similarity.min(), similarity.max()
    spread = highest - lowest
    scaled = (similarity - lowest) / spread if spread > 0 else np.ones_like(similarity)
    return np.maximum(scaled**power, epsilon)


def share_joined(graph: Float[np.ndarray, "token token"], epsilon: float = EPSILON) -> float:
    """Share of all pairs of two tokens with more than the least weight between them: 1 is complete, 0 empty."""
    pairs = graph[~np.eye(len(graph), dtype=bool)]
    return float((pairs > epsilon).mean())
