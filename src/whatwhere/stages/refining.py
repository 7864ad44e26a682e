"""Clusters of a whole data set -> those of every pixel after a dense CRF on each image (Table 3, "+CRF")."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from whatwhere.artifacts.again import again
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.progress import progress
from whatwhere.artifacts.store import Store, create
from whatwhere.stages.segments import blocks, centres_of
from whatwhere.stages.set_images import places


def write_refined(
    images: Sequence[Store],
    vectors: Sequence[Store],
    segments: Store,
    output: Path,
    *,
    crf: dict[str, Any],
    settings: dict[str, Any],
) -> None:
    """`pixels` `[image, y, x]`: the clusters of the first partition after a dense CRF on each image (Table 3, "+CRF").

    ASSUME: a cluster's probability at a token is that of `Centres.log_probabilities` (of scores, of the scores
    themselves), interpolated bilinearly to pixels.
    """
    from whatwhere.evaluate.crf import CrfSettings, refine

    known = segments.attributes
    stored = iter(progress(places(images, segments), "CRF"))
    if [name for store in vectors for name in store.ids] != segments.ids:
        wish = f"expected X of the images of {segments.path} in their order, got others"
        raise InputError(f"store {vectors[0].path}: {wish}; run: rm {segments.manifest} && {again(segments.manifest)}")
    size = images[0].description["arrays"]["rgb"]["shape"][1:3]
    centres = centres_of(segments, 0)
    attributes = {key: known[key] for key in ("dataset", "grid", "graphs")}
    along = {"image": segments.ids, "partition": segments.coordinate("partition")[0]}
    with create(output, settings, attributes, along) as store:
        shape = (len(segments.ids), *size)
        array = store.array("pixels", shape, "int16", ("image", "y", "x"), run_images=16)
        for some, X in blocks(vectors, known["unit_rows"]):
            found = []
            for rows in X:
                shard, index = next(stored)
                unary = centres.log_probabilities(rows) if centres else rows
                maps = _interpolated(unary, tuple(known["grid"]), tuple(size))
                found.append(refine(shard.read("rgb", index), maps, CrfSettings(**crf)).argmax(0).astype(np.int16))
            array[some] = np.stack(found)


def _interpolated(unary: np.ndarray, grid: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Log-probabilities of tokens to those of pixels `[cluster, y, x]`; the probabilities are interpolated."""
    from scipy.special import softmax
    from skimage.transform import resize

    maps = softmax(unary, axis=1).reshape(*grid, -1)
    fine = resize(maps, (*size, maps.shape[2]), order=1, mode="edge", anti_aliasing=False)
    fine = np.moveaxis(np.clip(fine, 1e-12, None), -1, 0)
    return np.log(fine / fine.sum(0)).astype(np.float32)
