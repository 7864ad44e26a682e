"""How many regions an image has: what each of its partitions is worth, by rules that know no labels.

`silhouette` is the paper's (section 4.1). It counts every column of X alike, so it likes as many clusters as X has
columns. The others, and what they found beside what people drew, are compared by `whatwhere bench regions`:

- `diffusion`: clusters and silhouettes of the diffusion map (Coifman and Lafon, 2006): X, each column times its
  eigenvalue to the power of the walk's steps, so that what the walk forgets first counts least. One region where no
  partition has a modularity above 0.
- `modularity` (Newman, 2006) of the walk that X and its eigenvalues stand for: what of it stays in its region, less
  what would by chance.
- `eigengap`: how much less the next eigenvalue is.
- `shuffled`: the silhouette, less that of clusters of X with every column in an order of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float, Integer

from whatwhere.artifacts.errors import InputError
from whatwhere.method.rules import Rule

#: Steps of the walk in a diffusion map.
STEPS = 2

Partitions = Mapping[int, Integer[np.ndarray, "token"]]


def worth(
    rule: Rule,
    rows: Float[np.ndarray, "token vector"],
    partitions: Partitions,
    *,
    scores: Mapping[int, float],
    values: Float[np.ndarray, "vector"] | None = None,
    again: Callable[[np.ndarray, int], np.ndarray],
    seed: int = 0,
) -> dict[int, float]:
    """Of each partition, by its number of clusters; the highest is the one to take. One that cannot be judged is left
    out: one region by a rule that never says one, as many as tokens.

    `rows` are X, `values` the eigenvalues of its columns, `scores` the silhouettes of the partitions. `again(rows, k)`
    clusters other rows. Raises `InputError` for a rule that needs the eigenvalues and has none.
    """
    if rule in ("modularity", "eigengap"):
        if values is None:
            raise InputError(f"choose: expected eigenvectors with eigenvalues for {rule}, got none; choose silhouette")
        gaps = dict(enumerate((values[:-1] - values[1:]).tolist(), 1))
        by_gap = {k: gaps[k] for k in partitions if k > 1 and k in gaps}
        return by_gap if rule == "eigengap" else modularities(rows, values, partitions)
    if rule == "diffusion":
        stays = dict.fromkeys(scores, 1.0) if values is None else modularities(rows, values, partitions)
        return {1: -1.0} | {k: score for k, score in scores.items() if stays[k] > 0}
    if rule == "shuffled":
        mixed = np.random.default_rng(seed).permuted(rows, axis=0)
        chance = silhouettes(mixed, {k: again(mixed, k) for k in partitions if k > 1})
        return {1: 0.0} | {k: score - chance.get(k, 0.0) for k, score in scores.items()}
    return dict(scores)


def diffusion_map(
    rows: Float[np.ndarray, "token vector"], values: Float[np.ndarray, "vector"], steps: int = STEPS
) -> Float[np.ndarray, "token vector"]:
    """X, each column as long as its eigenvalue to the power `steps`; negative ones count as none, and so does the
    first, which says how much a token is walked to and not where it belongs.
    """
    weights = np.clip(values, 0, None) ** steps
    weights[: len(weights) > 1] = 0
    return _at_unit_length(rows) * weights


def modularities(
    rows: Float[np.ndarray, "token vector"], values: Float[np.ndarray, "vector"], partitions: Partitions
) -> dict[int, float]:
    """Of each partition on the graph `Σ λ u uᵀ` whose nodes all have the same degree, u the columns at unit length."""
    columns = _at_unit_length(rows)
    found = {}
    for k, labels in partitions.items():
        members = np.eye(int(labels.max()) + 1)[labels]
        stays = (values[:, None] * np.square(columns.T @ members)).sum() / len(rows)
        found[k] = float(stays - np.square(members.mean(0)).sum())
    return found


def _at_unit_length(rows: Float[np.ndarray, "token vector"]) -> Float[np.ndarray, "token vector"]:
    lengths = np.linalg.norm(rows, axis=0)
    return rows / np.where(lengths > 0, lengths, 1)


def silhouettes(rows: Float[np.ndarray, "token vector"], partitions: Partitions) -> dict[int, float]:
    """Mean silhouette of each partition of 2 clusters or more; distances are computed once for all of them."""
    from sklearn.metrics import pairwise_distances

    distances = pairwise_distances(rows)
    np.fill_diagonal(distances, 0)
    return {k: _silhouette(distances, labels) for k, labels in partitions.items() if 1 < labels.max() + 1 < len(rows)}


def _silhouette(distances: Float[np.ndarray, "token token"], labels: Integer[np.ndarray, "token"]) -> float:
    """(b - a) / max(a, b), a token's mean distance to its own cluster and to the nearest other; 0 for one by itself.

    As scikit-learn's, by one product of matrices instead of a loop over tokens.
    """
    own = labels[:, None] == np.arange(labels.max() + 1)
    sizes = own.sum(0)
    sums = distances @ own.astype(distances.dtype)
    within = sums[own] / np.maximum(sizes[labels] - 1, 1)
    nearest = np.where(own, np.inf, sums / sizes).min(1)
    widest = np.maximum(within, nearest)
    worth = np.divide(nearest - within, widest, out=np.zeros(len(labels)), where=(sizes[labels] > 1) & (widest > 0))
    return float(worth.mean())
