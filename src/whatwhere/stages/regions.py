"""X -> regions: a hard assignment of tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from whatwhere.cluster import cluster
from whatwhere.progress import progress
from whatwhere.seeding import seed_for
from whatwhere.store import Store, create


def write_regions(
    vectors: Store,
    output: Path,
    *,
    clusters: int | Literal["auto"],
    candidates: tuple[int, ...],
    restarts: int,
    seed: int,
    settings: dict[str, Any],
) -> None:
    """`regions` `[image, token]`; the chosen K and every silhouette, image by image, in the attributes."""
    X = vectors.read("vectors")
    found = [
        cluster(
            rows,
            clusters=clusters,
            candidates=candidates,
            restarts=restarts,
            seed=seed_for(seed, "cluster", name),
        )
        for rows, name in zip(progress(X, "clustering"), vectors.ids, strict=True)
    ]
    attributes = {key: vectors.attributes[key] for key in ("ids", "dataset", "grid")}
    attributes["clusters"] = [regions.clusters for regions in found]
    attributes["silhouettes"] = [{str(k): s for k, s in r.silhouettes.items()} for r in found]
    with create(output, settings, attributes) as store:
        labels = np.stack([regions.labels for regions in found])
        store.array("regions", labels.shape, "int16", ("image", "token"), run_images=len(labels))[:] = labels
