"""From eigenvectors to regions: K-means, with K given or chosen by the silhouette (section 4.1) or another rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int16
from threadpoolctl import threadpool_limits

from whatwhere.artifacts.errors import InputError
from whatwhere.method.choosing import diffusion_map, silhouettes, worth
from whatwhere.method.rules import MAY_SAY_ONE, Rule


@dataclass(frozen=True)
class Regions:
    """A region number (0 … clusters − 1) for each token, and the silhouette of every K that was tried.

    `partitions` has the labels for every candidate K, `labels` those of the K that was chosen.
    """

    labels: Int16[np.ndarray, "token"]
    clusters: int
    silhouettes: dict[int, float]
    partitions: dict[int, Int16[np.ndarray, "token"]]

    def __repr__(self) -> str:
        tried = ", ".join(f"{clusters}: {score:.3f}" for clusters, score in self.silhouettes.items())
        return f"Regions({self.clusters} of {len(self.labels)} tokens; silhouettes {{{tried}}})"


def cluster(
    vectors: Float[Any, "token vector"],
    *,
    clusters: int | Literal["auto"] = "auto",
    candidates: Sequence[int] = tuple(range(2, 11)),
    restarts: int = 4,
    seed: int = 0,
    choose: Rule = "silhouette",
    values: Float[np.ndarray, "vector"] | None = None,
) -> Regions:
    """K-means on the rows of `vectors` (array or tensor) for each candidate K and for `clusters` if it is a number.

    `auto` takes the K that is worth most by the rule `choose` (see `choosing`), which may say 1: then that is among the
    partitions. `values` are the eigenvalues of the columns, where they have any; `diffusion` clusters their map, and
    rows without them as they are. The fit itself is kept, never refitted. Regions are numbered by decreasing size, so
    that the numbers do not depend on the draw. A candidate K beyond the number of distinct rows has the partition of as
    many clusters as there are.

    Raises `InputError` where there are fewer distinct rows than `clusters`, or than two for a rule that never says 1.
    """
    X = np.asarray(vectors, dtype=np.float64)
    rows = diffusion_map(X, values) if choose == "diffusion" and values is not None else X
    most = len(np.unique(rows, axis=0))
    one = (1,) if choose in MAY_SAY_ONE else ()
    wanted = sorted({*candidates, *one} if clusters == "auto" else {*candidates, clusters})
    if most < ((2 - len(one)) if clusters == "auto" else clusters) or wanted[0] < 1:
        raise InputError(f"clusters: expected 1 to {most} (different tokens in the image), got {clusters}")
    # one thread: the order of a parallel sum would make results depend on the machine's cores
    with threadpool_limits(1):
        fits = {k: _by_size(_kmeans(rows, k, restarts, seed)) for k in dict.fromkeys(min(k, most) for k in wanted)}
        scores = silhouettes(rows, fits)
        again = partial(_kmeans, restarts=restarts, seed=seed)
        if clusters != "auto":
            best = clusters
        else:
            rated = worth(choose, X, fits, scores=scores, values=values, again=again, seed=seed)
            best = max(fits, key=lambda k: rated.get(k, -np.inf))
    return Regions(fits[best], best, scores, {k: fits[min(k, most)] for k in wanted})


def _kmeans(rows: np.ndarray, clusters: int, restarts: int, seed: int) -> np.ndarray:
    from sklearn.cluster import KMeans

    return KMeans(clusters, n_init=restarts, random_state=seed).fit(rows).labels_


def _by_size(labels: np.ndarray) -> Int16[np.ndarray, "token"]:
    order = np.argsort(-np.bincount(labels), kind="stable")
    return np.argsort(order).astype(np.int16)[labels]


@dataclass(frozen=True)
class Centres:
    """Clusters of a whole data set: their centres, numbered by decreasing size, and the spread about them.

    `spread` is the mean squared distance of a row from its centre, a channel.
    """

    centres: Float[np.ndarray, "cluster vector"]
    spread: float

    def assign(self, rows: Float[np.ndarray, "token vector"]) -> Int16[np.ndarray, "token"]:
        """The nearest centre of each row, the lower where two are."""
        return _squared_distances(rows, self.centres).argmin(1).astype(np.int16)

    def log_probabilities(self, rows: Float[np.ndarray, "token vector"]) -> Float[np.ndarray, "token cluster"]:
        """Of each cluster for each row.

        ASSUME: the clusters are Gaussians of one spherical variance, the `spread`, and equally likely: the model of
        which K-means is the limit.
        """
        from scipy.special import log_softmax

        farther = _squared_distances(rows, self.centres)
        farther -= farther.min(1, keepdims=True)  # without spread the nearest is certain, not one of many infinities
        with np.errstate(over="ignore"):
            exponents = -farther / max(2 * self.spread, np.finfo(np.float32).tiny)
            return log_softmax(exponents, axis=1).astype(np.float32)


def fit_centres(rows: Float[np.ndarray, "token vector"], *, clusters: int, restarts: int, seed: int) -> Centres:
    """K-means over the rows of many images (section 4.2.2), the best of `restarts`.

    Raises `InputError` where there are fewer distinct rows than clusters.
    """
    from sklearn.cluster import KMeans

    check_distinct(rows, clusters)
    with threadpool_limits(1):
        fitted = KMeans(clusters, n_init=restarts, random_state=seed).fit(rows)
    order = np.argsort(-np.bincount(fitted.labels_, minlength=clusters), kind="stable")
    return Centres(fitted.cluster_centers_[order].astype(np.float32), float(fitted.inertia_ / rows.size))


def check_distinct(rows: Float[np.ndarray, "token vector"], clusters: int) -> None:
    """Raises `InputError` where there are fewer distinct rows than clusters."""
    distinct = len(np.unique(rows[: 50 * clusters], axis=0))  # mostly enough, and far fewer
    if distinct < clusters:
        distinct = len(np.unique(rows, axis=0))
    if distinct < clusters:
        raise InputError(
            f"clusters: expected at least {clusters} different rows of X over the data set, got {distinct}; "
            "take more images, or more vectors"
        )


def _squared_distances(
    rows: Float[np.ndarray, "token vector"], centres: Float[np.ndarray, "cluster vector"]
) -> Float[np.ndarray, "token cluster"]:
    middle = centres.mean(0)  # which distances do not depend on, but their rounding does
    rows, centres = rows - middle, centres - middle
    lengths = np.square(rows).sum(1)[:, None] + np.square(centres).sum(1)
    return np.maximum(lengths - 2 * rows @ centres.T, 0)
