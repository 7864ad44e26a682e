"""How time and memory grow with the images of a data set: what was measured, and arithmetic for sets that were not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from whatwhere.artifacts.clock import timed
from whatwhere.method.joint.search import nearest
from whatwhere.method.joint.sparsity import PAPER

#: Section 4.2: mini-batches of so many images, and so many of them.
PAPER_BATCH, PAPER_BATCHES = 160, 2100
#: Images of COCO-Stuff-27 (section 4.2.2) and of COCO's training set.
SETS = {"COCO-Stuff val": 2175, "COCO-Stuff train": 118_287}
#: Locations among which the rate of a search is measured: every block of products is as large as in a large set.
RATE_LOCATIONS = 4096


@dataclass(frozen=True)
class Shape:
    """So many attention layers of one shape: the tokens of an image, and the width of all heads together."""

    count: int
    tokens: int
    width: int


#: Section 4.2: the middle block and the first six of the way up, at 512 px.
STABLE_DIFFUSION = (Shape(1, 64, 1280), Shape(3, 256, 1280), Shape(3, 1024, 640))


def power(images: Sequence[int], seconds: Sequence[float]) -> float:
    """The p of seconds ∝ imagesᵖ: the slope of a straight line through logarithms, by least squares."""
    return float(np.polyfit(np.log(images), np.log(seconds), 1)[0])


def growth(runs: Iterable[Mapping[str, Any]], floors: Mapping[int, float]) -> list[dict[str, Any]]:
    """Of each solver and pathway: `power` over all sizes and over the `last_power` two, and `mb_per_1000_images`, the
    slope of anonymous memory above the floor (`floors`: images -> MB) by least squares.

    `runs` have `solver`, `pathway`, `images`, `seconds` and `anonymous_mb`.
    """
    lines: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for run in runs:
        lines.setdefault((run["solver"], run["pathway"]), []).append(run)
    found = []
    for (solver, pathway), line in lines.items():
        images, seconds = [run["images"] for run in line], [run["seconds"] for run in line]
        above = [run["anonymous_mb"] - floors[run["images"]] for run in line]
        fitted = {"power": power(images, seconds), "last_power": power(images[-2:], seconds[-2:])}
        slope = float(np.polyfit(images, above, 1)[0])
        found.append({"solver": solver, "pathway": pathway, **fitted, "mb_per_1000_images": 1000 * slope})
    return found


def search_rate(shape: Shape, device: str) -> float:
    """Floating-point operations a second of the exact search, selection included, among random unit vectors."""
    generator = torch.Generator().manual_seed(0)
    images = max(2, RATE_LOCATIONS // shape.tokens)
    rows = F.normalize(torch.randn(images, shape.tokens, shape.width, generator=generator), dim=-1).to(device)
    connections = {"inside": PAPER.intra, "across": PAPER.inter}
    seconds = [timed(lambda: nearest(rows, rows, **connections, search="exact"))[0] for _ in range(2)]
    return _operations(replace(shape, count=1), images) / min(seconds)


def on_paper(
    shapes: Sequence[Shape],
    rates: Mapping[Shape, float],
    *,
    images: int,
    vectors: int,
    samples: int,
    batch_images: int = PAPER_BATCH,
) -> dict[str, Any]:
    """Arithmetic, not measured: what the products of the search take (2 operations for each channel of each pair of
    locations, and inside an image once more), and what has to be held or stored.

    TFLOP and seconds (at `rates`, operations a second) of an `epoch` of mini-batches, of the paper's 2,100 `batches`,
    and of the `whole` set at once; GB of X with Adam's two moments (float32), of the basis of Lanczos, and of Q, K and
    V of every noise sample (float16).
    """
    batch = _costs([_operations(one, batch_images) for one in shapes], shapes, rates)
    whole = _costs([samples * _operations(one, images) for one in shapes], shapes, rates)
    locations = images * max(one.tokens for one in shapes)
    channels = sum(one.count * one.tokens * one.width for one in shapes)
    times = {"epoch": images / batch_images * batch, "batches": PAPER_BATCHES * batch, "whole": whole}
    searched = {f"{name}_tflop": float(both[0]) for name, both in times.items()}
    searched |= {f"{name}_s": float(both[1]) for name, both in times.items()}
    return {
        "images": images,
        "locations": locations,
        "samples": samples,
        **searched,
        "state_gb": 3 * 4 * locations * vectors / 1e9,
        "basis_gb": 4 * locations * (2 * vectors + 20) / 1e9,
        "features_gb": 3 * 2 * samples * images * channels / 1e9,
    }


def _operations(shape: Shape, images: int) -> float:
    """Of one search over all layers of one shape."""
    pairs = (images * shape.tokens) ** 2 + images * shape.tokens**2
    return 2.0 * shape.count * shape.width * pairs


def _costs(operations: Sequence[float], shapes: Sequence[Shape], rates: Mapping[Shape, float]) -> np.ndarray:
    """TFLOP and seconds."""
    seconds = sum(each / rates[shape] for each, shape in zip(operations, shapes, strict=True))
    return np.array([sum(operations) / 1e12, seconds])
