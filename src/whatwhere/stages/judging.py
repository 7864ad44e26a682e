"""Clusters of a whole data set and its labels -> the counts behind "what" and "where" (Tables 3, 4 and 5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from whatwhere.atomic import replacing
from whatwhere.cluster import Centres
from whatwhere.errors import InputError
from whatwhere.evaluate.matching import matching_counts
from whatwhere.evaluate.position import CoordinateRegression, label_features
from whatwhere.evaluate.spatial import left_right
from whatwhere.images import tokens_to_pixels
from whatwhere.progress import progress
from whatwhere.seeding import seed_for
from whatwhere.stages.segments import blocks, unit
from whatwhere.store import Store, create, write_json

#: Pixels of every cluster in every label, image by image; `target` is `what` (the classes) or `where` (their left and
#: right regions), `classes` how many labels that are.
COUNTS = ["image", "target", "classes", "clusters", "cluster", "label", "pixels"]
#: Partition of the segments that each target is matched with.
PARTITIONS = {"what": 0, "where": 1}


def write_matching(images: Sequence[Store], segments: Store, output: Path, *, least_px: int, ambiguous: float) -> None:
    """Counts of every image (Parquet, `COUNTS`); empty without labels.

    With an array `pixels` `[image, y, x]` (see `write_refined`) these are counted, for `what` only; else every token's
    cluster on all its pixels.
    """
    grid, clusters = segments.attributes["grid"], segments.attributes["clusters"]
    refined = "pixels" in segments.description["arrays"]
    frames = [pd.DataFrame(columns=COUNTS)]
    for number, store, index, name in _labelled(images, segments):
        classes = len(store.attributes["classes"])
        labels = store.read("labels", (index, 0))
        truths = {"what": (labels, classes)}
        if len(clusters) > 1 and not refined:
            truths["where"] = (left_right(labels, classes, least_px=least_px, ambiguous=float(ambiguous)), 2 * classes)
        for target, (truth, most) in truths.items():
            partition = PARTITIONS[target]
            if refined:
                found = segments.read("pixels", number)
            else:
                found = tokens_to_pixels(segments.read("regions", (number, partition)).reshape(grid), *truth.shape)
            counts = matching_counts(found, truth, clusters=clusters[partition], classes=most)
            frames.append(_frame(counts, name, target))
    table = pd.concat(frames[1:] or frames, ignore_index=True)
    with replacing(output) as partial:
        table[COUNTS].to_parquet(partial, index=False)


def write_refined(
    images: Sequence[Store],
    vectors: Sequence[Store],
    segments: Store,
    output: Path,
    *,
    crf: dict[str, Any],
    settings: dict[str, Any],
) -> None:
    """`pixels` `[image, y, x]`: the clusters after a dense CRF on each image (Table 3, "+CRF").

    ASSUME: a cluster's probability at a token is that of `Centres.log_probabilities` (of scores, of the scores
    themselves), interpolated bilinearly to pixels.
    """
    from whatwhere.evaluate.crf import CrfSettings, refine

    known = segments.attributes
    places = iter(progress(_places(images, segments), "CRF"))
    if [name for store in vectors for name in store.ids] != known["ids"]:
        wish = f"expected X of the images of {segments.path} in their order, got others"
        raise InputError(f"store {vectors[0].path}: {wish}; run: rm {segments.manifest} && snakemake --cores all")
    size = images[0].description["arrays"]["image"]["shape"][1:3]
    centres = Centres(segments.read("centres0"), known["spreads"][0]) if known["spreads"] else None
    attributes = {key: known[key] for key in ("ids", "dataset", "grid", "graphs", "clusters")}
    with create(output, settings, attributes) as store:
        shape = (len(known["ids"]), *size)
        array = store.array("pixels", shape, "int16", ("image", "y", "x"), run_images=16)
        for some, X in blocks(vectors, known["unit_rows"]):
            found = []
            for rows in X:
                shard, index = next(places)
                unary = centres.log_probabilities(rows) if centres else rows
                maps = _interpolated(unary, tuple(known["grid"]), tuple(size))
                found.append(refine(shard.read("image", index), maps, CrfSettings(**crf)).argmax(0))
            array[some] = np.stack(found).astype(np.int16)


def write_coordinates(
    images: Sequence[Store],
    vectors: Sequence[Store],
    output: Path,
    *,
    unit_rows: bool,
    resamples: int,
    seed: int,
    settings: dict[str, Any],
) -> None:
    """Mean squared error of a linear regression from X to the position of each token (Table 5), JSON.

    Without `vectors` the true labels are the features, of the images that have any.
    """
    regression = CoordinateRegression()
    for name, features, grid in _position_features(images, vectors, unit_rows):
        regression.add(features, grid, np.random.default_rng(seed_for(seed, "coordinates", name)))
    error = regression.error()
    low, high = regression.bootstrap_interval(
        resamples=resamples, rng=np.random.default_rng(seed_for(seed, "coordinates"))
    )
    write_json(output, {"mse": error.mse, "low": low, "high": high, "settings": settings})


def _position_features(
    images: Sequence[Store], vectors: Sequence[Store], unit_rows: bool
) -> Iterator[tuple[str, np.ndarray, tuple[int, int]]]:
    for store in vectors:
        grid = tuple(store.attributes["grid"])
        for index, name in enumerate(progress(store.ids, "coordinate regression")):
            X = store.read("vectors", index)
            yield name, unit(X) if unit_rows else X, grid
    if vectors:
        return
    labelled = [(s, index, name) for s in images for index, name in enumerate(s.ids) if _has_labels(s, index)]
    if not labelled:
        where = f"data set {images[0].attributes['dataset']}"
        raise InputError(f"{where}: expected labels with names, got none; take the method `truth` out of its tables")
    for store, index, name in progress(labelled, "coordinate regression"):
        labels = store.read("labels", (index, 0))
        yield name, label_features(labels, len(store.attributes["classes"])), (32, 32)


def _labelled(images: Sequence[Store], segments: Store) -> Iterator[tuple[int, Store, int, str]]:
    """Place in the segments, store, place there and id of every image that has labels with names."""
    places = zip(segments.ids, _places(images, segments), strict=True)
    for number, (name, (store, index)) in enumerate(progress(places, "matching", len(segments.ids))):
        if _has_labels(store, index):
            yield number, store, index, name


def _has_labels(store: Store, index: int) -> bool:
    return bool(store.attributes["classes"] and store.attributes["annotators"][index])


def _places(images: Sequence[Store], segments: Store) -> list[tuple[Store, int]]:
    """Store and place there of each image of the segments."""
    known = {name: (store, index) for store in images for index, name in enumerate(store.ids)}
    missing = [name for name in segments.ids if name not in known]
    if missing:
        raise InputError(
            f"store {segments.path}: expected the images of {images[0].path}, got {missing[0]}, which is not there; "
            "run: snakemake --cores all"
        )
    return [known[name] for name in segments.ids]


def _frame(counts: Int[np.ndarray, "cluster label"], name: str, target: str) -> pd.DataFrame:
    cluster, label = np.nonzero(counts)
    found = {"cluster": cluster, "label": label, "pixels": counts[cluster, label]}
    clusters, classes = counts.shape
    return pd.DataFrame(found).assign(image=name, target=target, classes=classes, clusters=clusters)


def _interpolated(unary: np.ndarray, grid: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Log-probabilities of tokens to those of pixels `[cluster, y, x]`; the probabilities are interpolated."""
    from scipy.special import softmax
    from skimage.transform import resize

    maps = softmax(unary, axis=1).reshape(*grid, -1)
    fine = resize(maps, (*size, maps.shape[2]), order=1, mode="edge", anti_aliasing=False)
    fine = np.moveaxis(np.clip(fine, 1e-12, None), -1, 0)
    return np.log(fine / fine.sum(0)).astype(np.float32)
