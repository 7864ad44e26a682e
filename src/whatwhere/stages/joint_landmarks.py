"""X of a data set by a sample of it: that is solved, every other image extended to by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from whatwhere.artifacts.progress import progress
from whatwhere.artifacts.seeding import seed_for
from whatwhere.method.joint.extension import extend
from whatwhere.method.joint.landmarks import SolvedSample, solve_sample
from whatwhere.method.joint.sample import drawn
from whatwhere.method.joint.seen import seen_from
from whatwhere.method.joint.source import Cached
from whatwhere.method.joint.sparsity import Sparsity


@contextmanager
def landmark_vectors(
    source: Cached, output: Path, method: dict[str, Any], sparsity: Sparsity, *, dataset: str, seed: int
) -> Iterator[tuple[Float[np.ndarray, "image token vector"], Float[np.ndarray, "vector"], str]]:
    """X of all images, its columns weighed by their eigenvalues, these, and how it went.

    X lies in a file beside `output` that is gone after the block: in memory are the sample and one image at a time.
    """
    sample = drawn(source.ids, method["sample"], seed=seed_for(seed, "landmarks", dataset))
    found = solve_sample(
        [seen_from(source, image, pathway=method["pathway"]) for image in sample],
        pathway=method["pathway"],
        sparsity=sparsity,
        **{key: method[key] for key in ("vectors", "search", "tolerance", "landmarks")},
        seed=seed_for(seed, "solve", dataset),
    )
    file = output.with_suffix(".vectors.partial")
    file.parent.mkdir(parents=True, exist_ok=True)
    weights = np.maximum(found.landmarks.values, 0) ** method["time"]
    tokens = len(found.vectors[0])
    try:
        X = np.memmap(file, np.float32, "w+", shape=(len(source.ids), tokens, len(weights)))
        for image, rows in _each(source, dict(zip(sample, found.vectors, strict=True)), found, method["pathway"]):
            X[image] = rows * weights
        words = f"{len(sample)} images solved, {found.landmarks.count} landmarks, {found.status}"
        yield X, found.landmarks.values, words
    finally:
        file.unlink(missing_ok=True)


def _each(
    source: Cached, solved: dict[int, np.ndarray], found: SolvedSample, pathway: str
) -> Iterator[tuple[int, Float[np.ndarray, "token vector"]]]:
    """Rows of every image: of the sample as it was solved, of the others as they are extended to."""
    for image in progress(range(len(source.ids)), "images by landmarks"):
        if image in solved:
            yield image, solved[image]
        else:
            yield image, extend(found.landmarks, seen_from(source, image, pathway=pathway)).vectors
