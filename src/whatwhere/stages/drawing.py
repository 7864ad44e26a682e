"""Images, vectors and regions -> the paper's Figure 3."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from einops import rearrange

from whatwhere.figures import Panel, figure3
from whatwhere.images import tokens_to_pixels
from whatwhere.store import Store


def draw_figure3(
    images: Sequence[str],
    vectors: Sequence[str],
    regions: Sequence[str],
    output: Path,
    figure: dict[str, Any],
) -> None:
    """The first `figure["images"]` images over all shards, as `figure["backbone"]` and `method` see them."""
    panels: list[Panel] = []
    for paths in zip(images, vectors, regions, strict=True):
        pictures, eigenvectors, labels = (Store(path) for path in paths)
        wanted = min(figure["images"] - len(panels), len(pictures.ids))
        panels += [_panel(pictures, eigenvectors, labels, index) for index in range(wanted)]
    title = f"{figure['dataset']}: {figure['backbone']}, {figure['method']}"
    figure3(panels, output, title=title, classes=tuple(Store(images[0]).attributes["classes"]))


def _panel(images: Store, vectors: Store, regions: Store, index: int) -> Panel:
    image = images.read("image", index)
    grid = tuple(vectors.attributes["grid"])
    labelled = images.attributes["annotators"][index]
    return Panel(
        id=images.ids[index],
        image=image,
        vectors=rearrange(vectors.read("vectors", index), "(row column) vector -> row column vector", row=grid[0]),
        regions=tokens_to_pixels(regions.read("regions", index).reshape(grid), *image.shape[:2]),
        truth=images.read("labels", (index, 0)) if labelled else None,
    )
