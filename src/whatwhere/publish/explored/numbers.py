"""What a page about one photograph holds, from what the method computes: plain values, and text made of bits.

Budget of a page of 32 × 32 tokens, 12 layers, 6 heads (DINOv2 ViT-S/14): 10 MB. What the solver sees of both pathways
takes 0.8 MB, single heads 7.8 to 8 MB, photograph, vectors, regions and code the rest; `heads` and `means` say how.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from whatwhere.artifacts.errors import InputError
from whatwhere.evaluate.borders import Borders, Guide, to_pixels
from whatwhere.method.cluster import cluster
from whatwhere.method.orthogonalise import orthogonalise
from whatwhere.method.rules import AUTO
from whatwhere.method.solve import solve
from whatwhere.method.walk import Pathway, Walks, random_walk
from whatwhere.publish.explored import heads, means
from whatwhere.publish.explored.bits import as_text, runs_text

if TYPE_CHECKING:
    from whatwhere.backbones.features import Features

#: Bytes of a page; larger grids may take more, as single heads have at least half of it.
LIMIT = 10_000_000
#: Bytes of all else but numbers: the photograph, words and code.
REST = 400_000
PATHWAYS: tuple[Pathway, ...] = get_args(Pathway)
#: Numbers of regions; of whole numbers that a vector's entries are, the largest; pixels of the photograph's long side.
CLUSTERS, VECTOR_LEVELS, LONG_SIDE_PX = tuple(range(2, 11)), 127, 640


@dataclass(frozen=True)
class Numbers:
    """`facts` are what the page reads at once; `blocks` what it reads when a layer is asked for, by name."""

    facts: dict[str, Any]
    blocks: dict[str, str]


def check_vectors(vectors: int) -> None:
    """Raises `InputError` for fewer than 3, which make no colours."""
    if vectors < 3:
        raise InputError(f"vectors: expected 3 or more, for red, green and blue, got {vectors}; ask for more")


def numbers_of(
    features: Features,
    image: UInt8[np.ndarray, "y x 3"],
    *,
    backbone: str,
    weights: str,
    vectors: int = 10,
    seed: int = 0,
    limit: int | None = None,
) -> Numbers:
    """The method's steps for each pathway and for both in one, on one photograph and its features, with values.

    `backbone` and `weights` are words on whose they are, `limit` the bytes of a page (`LIMIT`). Raises `InputError` as
    `check_vectors`.
    """
    check_vectors(vectors)
    shown = small(image)
    walks = {pathway: random_walk(features, pathway=pathway) for pathway in PATHWAYS}
    walks["both"].take_folds([walks["qk"], walks["vv"]])
    grid = walks["both"].grid
    guide = Guide.of(shown, grid)
    facts: dict[str, Any] = {
        "size": [shown.shape[1], shown.shape[0]],
        "grid": list(grid),
        "backbone": backbone,
        "weights": weights,
        "tolerance": heads.TOLERANCE,
        "means": {pathway: _mean(walks[pathway]) for pathway in PATHWAYS if pathway != "both"},
        "layers": _layers(features),
        "vectors": {},
        "regions": {},
    }
    for pathway in PATHWAYS:
        solution = solve(walks[pathway], vectors=vectors, seed=seed)
        X, values = orthogonalise(solution.vectors).numpy(), solution.values.numpy()
        facts["vectors"][pathway] = _vectors(X, values)
        facts["regions"][pathway] = _regions(X, values, shown, guide, seed)
    used, most = sum(len(mean["levels"]) for mean in facts["means"].values()) + REST, limit or LIMIT
    facts["stride"], blocks = _blocks(walks, max(most - used, most // 2))
    return Numbers(facts, blocks)


def small(image: UInt8[np.ndarray, "y x 3"], long_side_px: int = LONG_SIDE_PX) -> UInt8[np.ndarray, "y_page x_page 3"]:
    """The photograph as the page shows it; regions whose borders follow the image follow this one's. Or smaller."""
    scale = long_side_px / max(image.shape[:2])
    if scale >= 1:
        return image
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def as_jpeg(image: UInt8[np.ndarray, "y x 3"], quality: int = 85) -> bytes:
    """The bytes of a JPEG file."""
    file = BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return file.getvalue()


def _mean(walks: Walks) -> dict[str, str]:
    bits, largest = means.encoded(means.mean_walk(walks))
    return {"largest": as_text(largest.astype("<f4").tobytes()), "levels": bits.text()}


def _layers(features: Features) -> list[dict[str, Any]]:
    return [
        {"name": a.name, "sample": a.sample, "grid": list(a.grid), "heads": a.query.shape[1]} for a in features.layers
    ]


def _vectors(X: Float[np.ndarray, "token vector"], values: Float[np.ndarray, "vector"]) -> dict[str, Any]:
    largest = np.abs(X).max(0)
    levels = np.rint(X / largest * VECTOR_LEVELS).astype(np.int8)
    return {"values": values.tolist(), "largest": largest.tolist(), "levels": as_text(levels.T.tobytes())}


def _regions(
    X: Float[np.ndarray, "token vector"],
    values: Float[np.ndarray, "vector"],
    shown: UInt8[np.ndarray, "y x 3"],
    guide: Guide,
    seed: int,
) -> dict[str, Any]:
    """For every K the region of each token and of each pixel, for both borders; and the K that the rule takes."""
    found = cluster(X, candidates=CLUSTERS, seed=seed, choose=AUTO, values=values)
    regions: dict[str, Any] = {"chosen": max(found.clusters, CLUSTERS[0])}
    for clusters in CLUSTERS:
        labels = found.partitions[clusters].reshape(guide.grid)
        borders: tuple[Borders, ...] = get_args(Borders)
        regions[str(clusters)] = {
            border: runs_text(to_pixels(labels, shown, border, guide=guide)) for border in borders
        }
        regions[str(clusters)]["each"] = runs_text(labels)
    return regions


def _blocks(walks: dict[Pathway, Walks], limit: int) -> tuple[int, dict[str, str]]:
    """The heads of every layer, rows of every patch where they fit in, else of every second along each side, …"""
    stride = 1
    while True:
        if stride >= max(walks["qk"].grid) or _expected(walks, stride) <= limit:
            blocks = {
                f"{pathway}-{number}": _block(walks[pathway], number, stride)
                for pathway in ("qk", "vv")
                for number in range(len(walks["qk"].layers))
            }
            if stride >= max(walks["qk"].grid) or sum(map(len, blocks.values())) <= limit:
                return stride, blocks
        stride += 1


def _expected(walks: dict[Pathway, Walks], stride: int) -> float:
    """Letters that all heads will take, by a head of every sixth layer."""
    total = 0.0
    for pathway in ("qk", "vv"):
        layers = walks[pathway].layers
        taken = [len(heads.encoded(layer, number % layer.heads, stride)) for number, layer in enumerate(layers[2::6])]
        taken = taken or [len(heads.encoded(layers[0], 0, stride))]
        total += float(np.mean(taken)) * walks[pathway].graphs
    return total / 8 * 1.25


def _block(walks: Walks, number: int, stride: int) -> str:
    """All heads of a layer, each from a whole byte on; four bytes before each say how long it is."""
    layer, parts = walks.layers[number], []
    for head in range(layer.heads):
        data = heads.encoded(layer, head, stride).bytes()
        parts += [len(data).to_bytes(4, "little"), data]
    return as_text(b"".join(parts))
