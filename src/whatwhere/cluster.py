"""From eigenvectors to regions: K-means, with K given or chosen by the silhouette (section 4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int16
from threadpoolctl import threadpool_limits

from whatwhere.errors import InputError


@dataclass(frozen=True)
class Regions:
    """A region number (0 … clusters − 1) for each token, and the silhouette of every K that was tried."""

    labels: Int16[np.ndarray, "token"]
    clusters: int
    silhouettes: dict[int, float]


def cluster(
    vectors: Float[Any, "token vector"],
    *,
    clusters: int | Literal["auto"] = "auto",
    candidates: Sequence[int] = tuple(range(2, 11)),
    restarts: int = 4,
    seed: int = 0,
) -> Regions:
    """K-means on the rows of `vectors` (array or tensor); `auto` keeps the K of the best silhouette.

    The winning fit itself is kept, never refitted. Regions are numbered by decreasing size, so that the
    numbers do not depend on the draw. Raises `InputError` where there are fewer distinct rows than K.
    """
    rows = np.asarray(vectors, dtype=np.float64)
    most = len(np.unique(rows, axis=0))
    tried = [k for k in candidates if k <= most] if clusters == "auto" else [clusters]
    if not tried or not all(1 <= k <= most for k in tried):
        raise InputError(f"clusters: expected 1 to {most} (different tokens in the image), got {clusters}")
    # one thread: the order of a parallel sum would make results depend on the machine's cores
    with threadpool_limits(1):
        fits = {k: _kmeans(rows, k, restarts, seed) for k in tried}
        scores = _silhouettes(rows, fits)
    best = max(tried, key=lambda k: scores.get(k, -1.0))
    return Regions(_by_size(fits[best]), best, scores)


def _kmeans(rows: np.ndarray, clusters: int, restarts: int, seed: int) -> np.ndarray:
    from sklearn.cluster import KMeans

    return KMeans(clusters, n_init=restarts, random_state=seed).fit(rows).labels_


def _silhouettes(rows: np.ndarray, fits: dict[int, np.ndarray]) -> dict[int, float]:
    """Mean silhouette of each partition; distances are computed once for all of them."""
    from sklearn.metrics import pairwise_distances, silhouette_score

    distances = pairwise_distances(rows)
    np.fill_diagonal(distances, 0)
    return {
        k: float(silhouette_score(distances, labels, metric="precomputed"))
        for k, labels in fits.items()
        if 1 < len(np.unique(labels)) < len(rows)
    }


def _by_size(labels: np.ndarray) -> Int16[np.ndarray, "token"]:
    order = np.argsort(-np.bincount(labels), kind="stable")
    return np.argsort(order).astype(np.int16)[labels]
