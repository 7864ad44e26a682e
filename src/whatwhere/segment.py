"""One's own photographs to regions: the five steps on one image, and the pictures of what they found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from einops import rearrange
from jaxtyping import UInt8
from PIL import Image

from whatwhere.atomic import replacing
from whatwhere.backbones import PRESETS
from whatwhere.backbones.backbone import Backbone
from whatwhere.errors import InputError
from whatwhere.figures import eigenvector_rgb, label_colours, region_overlay
from whatwhere.images import Protocol
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
    size_px: int | None,
    pathway: Literal["qk", "vv"],
    solver: str,
    seed: int,
    report: Callable[[str], None],
) -> list[str]:
    """Segments every photo into files under `out`; answers one line for each that could not be read.

    A bad photo leaves the others unharmed, and none of its own files behind. `report` gets a line a photo.
    """
    _check_output(out, photos)
    model = load_backbone(backbone, **backbone_settings)
    preset = PRESETS.get(backbone)
    names = _output_names(photos)
    failures = []
    for photo in progress(photos, "segmenting"):
        try:
            image = read_image(photo)
            found = segment(
                model,
                image,
                vectors=vectors,
                clusters=clusters,
                protocol=preset.view[0] if preset else "short_side",
                size_px=size_px,
                pathway=pathway,
                solver=solver,
                seed=seed,
            )
            written = _write(out, names[photo], image, found)
        except InputError as error:
            failures.append(str(error) if str(photo) in str(error) else f"{photo}: {error}")
        else:
            report(f"{photo}: {found['clusters']} regions -> {written}")
    return failures


def segment(
    backbone: Backbone,
    image: UInt8[np.ndarray, "y x 3"],
    *,
    vectors: int = 10,
    clusters: int | Literal["auto"] = "auto",
    protocol: Protocol = "short_side",
    size_px: int | None = None,
    pathway: Literal["qk", "vv"] = "qk",
    solver: str = "exact",
    seed: int = 0,
) -> dict[str, Any]:
    """The five steps on one photograph, all of it (`protocol` short_side, square or none) shown at `size_px`, by
    default the backbone's own.

    Answers `labels` `[y, x]` at the photograph's own size, `vectors` `[row, column, vector]`, `values`
    `[vector]`, `clusters`.
    """
    view = View(protocol, size_px or backbone.size_px, backbone.patch_px)
    features = capture(backbone, view_image(image, view)[None], values=pathway == "vv")
    walks = random_walk(features, pathway=pathway, operator="normalised" if solver == "exact" else "walk")
    solution = solve(walks, vectors=vectors, solver=solver, seed=seed)
    X = orthogonalise(solution.vectors)
    regions = cluster(X, clusters=clusters, seed=seed)
    return {
        "labels": tokens_to_pixels(regions.labels.reshape(solution.grid), *image.shape[:2]),
        "vectors": rearrange(X.numpy(), "(row column) vector -> row column vector", row=solution.grid[0]),
        "values": solution.values.numpy(),
        "clusters": regions.clusters,
    }


def _output_names(photos: Sequence[Path]) -> dict[Path, str]:
    """A name for each photo's files; a number is added where two photos share a stem."""
    names: dict[Path, str] = {}
    for photo in photos:
        stem, number = photo.stem, 2
        while stem in names.values():
            stem, number = f"{photo.stem}-{number}", number + 1
        names[photo] = stem
    return names


def _check_output(out: Path, photos: Sequence[Path]) -> None:
    """The folder can be made, and is none that a photo lies in: nothing of the user's is ever written over."""
    missing = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        for folder in missing:  # only tried: the first photo's files bring the folder with them
            folder.rmdir()
    except OSError as error:
        raise InputError(f"--out {out}: expected a folder that can be made, got {error.strerror}") from error
    inside = [photo for photo in photos if photo.parent.resolve() == out.resolve()]
    if inside:
        raise InputError(f"--out {out}: expected a folder without the photos in it, got that of {inside[0]}")


def _write(out: Path, name: str, image: np.ndarray, found: dict[str, Any]) -> Path:
    """All four files, or none that is not whole."""
    pictures = {
        "regions": Image.fromarray(region_overlay(image, found["labels"])),
        "vectors": Image.fromarray(_vector_strip(found["vectors"], *image.shape[:2])),
        "labels": _label_map(found["labels"], found["clusters"]),
    }
    try:
        for kind, picture in pictures.items():
            with replacing(out / f"{name}_{kind}.png") as partial:
                picture.save(partial, format="PNG")
        with replacing(out / f"{name}.npz") as partial, partial.open("wb") as opened:
            np.savez_compressed(opened, **found)
    except OSError as error:
        raise InputError(f"--out {out}: expected to write {name}'s files there, got {error.strerror}") from error
    return out / f"{name}_regions.png"


def _label_map(labels: np.ndarray, clusters: int) -> Image.Image:
    """Region numbers as an indexed PNG in the overlay's colours; as 16-bit grey where there are over 256."""
    if clusters > 256:
        return Image.fromarray(labels.astype(np.uint16))
    indexed = Image.fromarray(labels.astype(np.uint8), mode="P")
    indexed.putpalette(label_colours(np.arange(clusters)[None], clusters)[0].astype(np.uint8).tobytes())
    return indexed


def _vector_strip(vectors: np.ndarray, height: int, width: int) -> UInt8[np.ndarray, "y x 3"]:
    """Eigenvectors 1-3, 4-6, 7-9 … side by side, three at a time as RGB; what is left of a triple is cut."""
    triples = range(0, max(1, vectors.shape[-1] - 2), 3)
    return np.concatenate([eigenvector_rgb(vectors, first, height, width) for first in triples], axis=1)
