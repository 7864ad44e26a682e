"""One's own photographs to regions: the five steps on one image, and the pictures of what they found."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from einops import rearrange
from jaxtyping import UInt8
from PIL import Image

from whatwhere.backbones.backbone import Backbone
from whatwhere.errors import InputError
from whatwhere.figures import eigenvector_rgb, label_colours, region_overlay
from whatwhere.progress import progress
from whatwhere.steps import (
    View,
    capture,
    cluster,
    load_backbone,
    orthogonalise,
    random_walk,
    read_image,
    solve,
    tokens_to_pixels,
    view_image,
)


def segment_photos(
    photos: Sequence[Path],
    out: Path,
    *,
    backbone: str,
    backbone_settings: dict[str, Any],
    vectors: int,
    clusters: int | Literal["auto"],
    size_px: int,
    pathway: Literal["qk", "vv"],
    solver: str,
    seed: int,
    report: Callable[[str], None],
) -> list[str]:
    """Segments every photo into files under `out`; answers one line for each that could not be read.

    A bad photo leaves the others unharmed, and none of its own files behind. `report` gets a line a photo.
    """
    failures = []
    images = {}
    for photo in photos:
        try:
            images[photo] = read_image(photo)
        except InputError as error:
            failures.append(str(error))
    if not images:
        return failures
    model = load_backbone(backbone, **backbone_settings)
    names = _output_names(list(images))
    for photo, image in progress(images.items(), "segmenting", total=len(images)):
        found = segment(
            model, image, vectors=vectors, clusters=clusters, size_px=size_px, pathway=pathway, solver=solver, seed=seed
        )
        written = _write(out, names[photo], image, found)
        report(f"{photo}: {found['clusters']} regions -> {written}")
    return failures


def segment(
    backbone: Backbone,
    image: UInt8[np.ndarray, "y x 3"],
    *,
    vectors: int = 10,
    clusters: int | Literal["auto"] = "auto",
    size_px: int = 448,
    pathway: Literal["qk", "vv"] = "qk",
    solver: str = "exact",
    seed: int = 0,
) -> dict[str, Any]:
    """The five steps on one photograph shown at short side `size_px`.

    Answers `labels` `[y, x]` at the photograph's own size, `vectors` `[row, column, vector]`, `values`
    `[vector]`, `clusters`.
    """
    view = View("short_side", size_px, backbone.patch_px)
    features = capture(backbone, view_image(image, view)[None], values=pathway == "vv")
    solution = solve(random_walk(features, pathway=pathway), vectors=vectors, solver=solver, seed=seed)
    X = orthogonalise(solution.vectors)
    regions = cluster(X, clusters=clusters, seed=seed)
    return {
        "labels": tokens_to_pixels(regions.labels.reshape(solution.grid), *image.shape[:2]),
        "vectors": rearrange(X.numpy(), "(row column) vector -> row column vector", row=solution.grid[0]),
        "values": solution.values.numpy(),
        "clusters": regions.clusters,
    }


def _output_names(photos: list[Path]) -> dict[Path, str]:
    """A name for each photo's files; a number is added where two photos share a stem."""
    names: dict[Path, str] = {}
    for photo in photos:
        stem, number = photo.stem, 2
        while stem in names.values():
            stem, number = f"{photo.stem}-{number}", number + 1
        names[photo] = stem
    return names


def _write(out: Path, name: str, image: np.ndarray, found: dict[str, Any]) -> Path:
    """All four files or none: they are written under other names and renamed together."""
    out.mkdir(parents=True, exist_ok=True)
    palette = label_colours(np.arange(found["clusters"])[None], found["clusters"])[0]
    indexed = Image.fromarray(found["labels"].astype(np.uint8), mode="P")
    indexed.putpalette(palette.astype(np.uint8).tobytes())
    pictures = {
        f"{name}_regions.png": Image.fromarray(region_overlay(image, found["labels"])),
        f"{name}_vectors.png": Image.fromarray(_vector_strip(found["vectors"], *image.shape[:2])),
        f"{name}_labels.png": indexed,
    }
    partial = {out / file: out / f".{file}.partial" for file in [*pictures, f"{name}.npz"]}
    try:
        for file, picture in pictures.items():
            picture.save(partial[out / file], format="PNG")
        with partial[out / f"{name}.npz"].open("wb") as opened:
            np.savez_compressed(opened, **found)
        for final, temporary in partial.items():
            os.replace(temporary, final)
    finally:
        for temporary in partial.values():
            temporary.unlink(missing_ok=True)
    return out / f"{name}_regions.png"


def _vector_strip(vectors: np.ndarray, height: int, width: int) -> UInt8[np.ndarray, "y x 3"]:
    """Eigenvectors 1-3, 4-6, 7-9 … side by side, three at a time as RGB; what is left of a triple is cut."""
    triples = range(0, max(1, vectors.shape[-1] - 2), 3)
    return np.concatenate([eigenvector_rgb(vectors, first, height, width) for first in triples], axis=1)
