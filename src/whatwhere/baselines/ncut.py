"""Normalised cut of one graph (Shi and Malik, 2000): the rows "Ncut + K-Means" of Table 1 (appendix B.3).

The graph is made of final features (`cosine_affinity`) or of the final attention (`attention_affinity`);
`normalised_cut` answers its vectors (Eq. 1), and `cluster.cluster` makes regions of them. The paper takes
15 vectors, and 8 for the graph of TokenCut.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy import linalg, special

from whatwhere.artifacts.errors import InputError
from whatwhere.baselines.graph import weights

#: Entries within this share of the largest count as equal to it: rounding must not choose between them.
TIE = 1e-9


def cosine_affinity(
    features: Float[np.ndarray, "token channel"], *, threshold: float | None, epsilon: float = 1e-5
) -> Float[np.ndarray, "token token"]:
    """Graph of cosines between tokens: 1 where the cosine exceeds `threshold`, `epsilon` elsewhere.

    `threshold` lies in [0, 1). `None` keeps the cosines themselves, at least `epsilon`. Every edge is
    positive, so the graph is connected. A token of zeros has cosine 0 with all, itself included.

    Raises `InputError` for features that are not finite and for a threshold or `epsilon` out of range.
    """
    similarity = cosines(features)
    if threshold is not None and not 0 <= threshold < 1:
        raise InputError(f"threshold: expected None or a cosine from 0 to below 1, got {threshold}")
    if not 0 < epsilon < 1:
        raise InputError(f"epsilon: expected a weight between 0 and 1 for edges under the threshold, got {epsilon}")
    return weights(similarity, threshold=threshold, epsilon=epsilon)


def cosines(features: Float[np.ndarray, "token channel"]) -> Float[np.ndarray, "token token"]:
    """Cosine of every two tokens; a token of zeros has cosine 0 with all, itself included.

    Raises `InputError` for features that are not finite.
    """
    if not np.isfinite(features).all():
        raise InputError(f"features: expected finite numbers, got {int((~np.isfinite(features)).sum())} that are not")
    rows = features.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    found: Float[np.ndarray, "token token"] = unit @ unit.T
    return found


def attention_affinity(
    queries: Float[np.ndarray, "head token channel"], keys: Float[np.ndarray, "head key channel"], scale: float
) -> Float[np.ndarray, "token token"]:
    """Graph of one attention layer: mean over heads of `softmax(QKᵀ·scale)`, and that with its transpose.

    One head's matrix exists at a time. ASSUME: heads are averaged, for the baseline needs a single graph, and
    the mean of a matrix and its transpose is taken, for Eq. 1 asks for a symmetric one; the paper says neither.
    """
    if queries.shape != keys.shape:
        raise InputError(f"keys: expected {queries.shape} (head, token, channel) as the queries, got {keys.shape}")
    total = np.zeros((queries.shape[1],) * 2)
    for query, key in zip(queries, keys, strict=True):
        total += special.softmax((query.astype(np.float64) * scale) @ key.T, axis=-1)
    return (total + total.T) / (2 * len(queries))


def normalised_cut(
    affinity: Float[np.ndarray, "token other"], vectors: int
) -> tuple[Float[np.ndarray, "vector"], Float[np.ndarray, "token vector"]]:
    """Smallest eigenvalues of `(D − W) x = λ D x` (Eq. 1) after the trivial one, and their vectors.

    Values ascend; vectors have `xᵀDx = 1`, `1ᵀDx = 0`, and their largest entry positive. Solved as a dense
    symmetric problem for the wanted vectors only: 15 vectors take 0.04 s at 784 tokens, 0.19 s at 1,369
    (one core).

    Raises `InputError` where the graph is not square, symmetric and non-negative with an edge at every token.
    """
    _check_graph(affinity, vectors)
    root = np.sqrt(affinity.sum(1, dtype=np.float64))
    trivial = root / np.linalg.norm(root)
    # D^-½ W D^-½ has the same vectors and its spectrum in [-1, 1]: the trivial vector (value 1) moves to -2,
    # below all others, so that it mixes with no wanted vector where the graph all but falls into parts
    moved = affinity / np.outer(root, root) - 3 * np.outer(trivial, trivial)
    tokens = len(affinity)
    values, columns = linalg.eigh(
        moved, subset_by_index=(tokens - vectors, tokens - 1), overwrite_a=True, check_finite=False
    )
    found = columns[:, ::-1] / root[:, None]
    signs = [1.0 if x[largest_entry(np.abs(x))] > 0 else -1.0 for x in found.T]
    return 1 - values[::-1], found * signs


def largest_entry(vector: Float[np.ndarray, "token"]) -> int:
    """First token whose entry is the largest, up to rounding (`TIE`): equal tokens have equal entries."""
    return int(np.argmax(vector >= vector.max() - TIE * np.abs(vector).max()))


def check_grid(features: Float[np.ndarray, "token channel"], grid: tuple[int, int]) -> None:
    """Raise `InputError` unless `features` has one row for each token of `grid` (rows, columns)."""
    if len(features) != grid[0] * grid[1]:
        raise InputError(
            f"features: expected {grid[0] * grid[1]} tokens for a grid of {grid[0]}×{grid[1]}, got {len(features)}"
        )


def _check_graph(affinity: np.ndarray, vectors: int) -> None:
    shape = affinity.shape
    if shape[0] != shape[1]:
        raise InputError(f"affinity: expected as many rows as columns, got {shape[0]}×{shape[1]}")
    if not 0 < vectors < shape[0]:
        raise InputError(f"vectors: expected 1 to {shape[0] - 1} for a graph of {shape[0]} tokens, got {vectors}")
    if not np.isfinite(affinity).all() or affinity.min() < 0:
        raise InputError("affinity: expected finite weights of at least 0, got others; clip negative weights")
    if np.abs(affinity - affinity.T).max() > 1e-6 * affinity.max():
        raise InputError("affinity: expected a symmetric graph, got W ≠ Wᵀ; use (W + Wᵀ)/2")
    alone = int((affinity.sum(1) <= 0).sum())
    if alone:
        raise InputError(f"affinity: expected an edge at every token, got {alone} tokens without; add a small weight")
