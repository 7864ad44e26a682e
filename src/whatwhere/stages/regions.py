"""X -> regions: a hard assignment of tokens, for every K."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.progress import progress
from whatwhere.artifacts.seeding import seed_for
from whatwhere.artifacts.store import Store, create
from whatwhere.evaluate.borders import Borders
from whatwhere.method.cluster import Regions, cluster
from whatwhere.method.rules import Rule

#: What is known of a shard and passed on from stage to stage.
PASSED_ON = ("dataset", "grid", "graphs")


def write_regions(
    vectors: Store,
    output: Path,
    *,
    clusters: int | Literal["auto"],
    candidates: tuple[int, ...],
    restarts: int,
    seed: int,
    choose: Rule = "silhouette",
    borders: Borders = "tokens",
    settings: dict[str, Any],
) -> None:
    """`regions` `[image, partition, token]`: a partition for each K that was tried, by which it is called; `borders`
    is for those that bring them to pixels.

    The coordinate `chosen` says which of them is each image's own, `silhouettes` `[image, partition]` how good each
    is (NaN where it cannot be said). A method that answers masks has one partition, its label map, and no silhouettes.
    """
    attributes = {key: vectors.attributes[key] for key in PASSED_ON} | {"borders": borders}
    if "masks" in vectors.description["arrays"]:
        masks = vectors.read("masks")
        labels = _label_maps(masks)[:, None]
        tried, silhouettes = [masks.shape[1] + 1], None
        chosen = tried * len(masks)
    else:
        choice: dict[str, Any] = {"clusters": clusters, "candidates": candidates, "restarts": restarts}
        choice["choose"] = choose
        each = zip(progress(vectors.read("vectors"), "clustering"), vectors.ids, _eigenvalues(vectors), strict=True)
        found = [
            _cluster(rows, name, {**choice, "seed": seed_for(seed, "cluster", name), "values": values})
            for rows, name, values in each
        ]
        tried = list(found[0].partitions)
        labels = np.stack([np.stack(list(regions.partitions.values())) for regions in found])
        chosen = [min(k for k in tried if k >= regions.clusters) for regions in found]
        silhouettes = np.array([[_silhouette(regions, k) for k in tried] for regions in found])
    along = {"image": vectors.ids, "partition": tried, "chosen": ("image", chosen)}
    if "joined" in vectors.description["coordinates"]:
        along["joined"] = ("image", vectors.coordinate("joined"))
    with create(output, settings, attributes, along) as store:
        array = store.array("regions", labels.shape, "int16", ("image", "partition", "token"), run_images=len(labels))
        array[:] = labels
        if silhouettes is not None:
            axes = ("image", "partition")
            store.array("silhouettes", silhouettes.shape, "float64", axes, run_images=len(labels))[:] = silhouettes


def _eigenvalues(vectors: Store) -> Sequence[np.ndarray | None]:
    """Of each image's columns; none where a descent found X, whose columns Eq. 8 mixes, or a baseline."""
    exact = "value" in vectors.description["coordinates"] and "history" not in vectors.description["arrays"]
    return list(np.array(vectors.coordinate("value"))) if exact else [None] * len(vectors.ids)


def _silhouette(regions: Regions, clusters: int) -> float:
    """Of the partition called `clusters`, which has fewer where there are not as many different tokens."""
    scores = regions.silhouettes
    return scores.get(clusters, scores.get(len(np.unique(regions.partitions[clusters])), np.nan))


def _cluster(rows: np.ndarray, name: str, choice: dict[str, Any]) -> Regions:
    try:
        return cluster(rows, **choice)
    except InputError as error:
        raise InputError(f"image {name}: {error}; leave it out, or choose fewer clusters") from error


def _label_maps(masks: np.ndarray) -> np.ndarray:
    """`[image, mask, token]` to `[image, token]`: 0 for the background, n for mask n.

    ASSUME: where masks overlap the earlier one stands: it was found first, in the graph with everything in it.
    """
    numbers = np.arange(1, masks.shape[1] + 1, dtype=np.int16)[:, None]
    first = np.where(masks > 0, numbers, masks.shape[1] + 1).min(1)
    return np.where(first > masks.shape[1], 0, first).astype(np.int16)
