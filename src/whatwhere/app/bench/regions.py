"""Regions beside those that people drew: borders, how many, and pictures of nothing; a table of each.

Images are solved once. What has a setting to choose is judged on every other image, the `tuned` half, and reported on
the rest, which no choice has seen.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from whatwhere.app.nothing import TIMES, departure, varies
from whatwhere.app.photos import Solved, protocol_of, solve_photo
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.progress import progress
from whatwhere.backbones.backbone import Backbone
from whatwhere.datasets import bsds500, folder, voc
from whatwhere.datasets.folder import image_paths
from whatwhere.datasets.images import View, read_image, token_grid, view_image
from whatwhere.datasets.record import Record
from whatwhere.evaluate.borders import to_pixels
from whatwhere.evaluate.counted import counted_table
from whatwhere.evaluate.crf import STEGO, CrfSettings, refine
from whatwhere.evaluate.oracle import COUNTS, mean_iou, oracle_counts
from whatwhere.evaluate.outlines import covering, harmonic, outline_scores
from whatwhere.method.choosing import diffusion_map, worth
from whatwhere.method.cluster import cluster
from whatwhere.method.rules import Rule

#: K of the partitions whose borders are compared: the paper's largest.
CLUSTERS = 10
#: Half sides of the guided filter's square, in tokens; steps of the diffusion map.
RADII, STEPS = (1.0, 2.0, 3.0), (1, 2, 3, 4)
#: Pixels of the image that the CRF sees: as many as make it no slower than a second.
CRF_PX = 2**15
#: Rules without a setting.
PLAIN: tuple[Rule, ...] = ("silhouette", "eigengap", "modularity", "shuffled")
HALVES = ("tuned", "reported")

Truths = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Seen:
    """A photograph of a data set, solved, and what people drew on it. `half`: 0, on which choices are made, or 1."""

    dataset: str
    half: int
    image: np.ndarray
    truths: Truths
    solved: Solved


def bench_regions(
    backbone: Backbone,
    *,
    voc_root: Path | None,
    bsds_root: Path | None,
    photos: Path | None,
    images: int,
) -> dict[str, pd.DataFrame]:
    """Tables by name: `borders` and `clusters` of so many `images` of PASCAL VOC and of BSDS500, `nothing` of so many
    `photos`; of what is None there are none. Raises `InputError` where all are.
    """
    if voc_root is None and bsds_root is None and photos is None:
        raise InputError("bench regions: expected --voc, --bsds or --photos, got none; name a folder")
    records = [*_voc(voc_root, images), *_bsds(bsds_root, images)]
    borders, clusters = [], []
    for name, half, record in progress(records, "solving and comparing"):
        image = record.image()
        seen = Seen(
            name, half, image, record.labels(), solve_photo(backbone, image, protocol=protocol_of(backbone.name))
        )
        borders += compared_borders(seen, record.id)
        clusters += compared_rules(seen)
    tables = {"borders": _borders_table(borders), "clusters": _clusters_table(clusters)} if records else {}
    return tables | ({"nothing": _nothing_table(backbone, photos, images)} if photos else {})


def _voc(root: Path | None, images: int) -> Iterator[tuple[str, int, Record]]:
    """Evenly drawn from the folder's photographs that have classes."""
    if root is not None:
        base = next(
            (level for level in (root, *root.glob("VOCdevkit/VOC2012")) if (level / "JPEGImages").is_dir()), root
        )
        classes = base / "SegmentationClass"
        found = folder.load("voc", root=base / "JPEGImages", labels_root=classes, classes=voc.CLASSES).records
        for place, record in enumerate(_some(found, images)):
            yield "PASCAL VOC 2012", place % 2, record


def _bsds(root: Path | None, images: int) -> Iterator[tuple[str, int, Record]]:
    if root is not None:
        for place, record in enumerate(_some(bsds500.load("bsds500", root=root).records, images)):
            yield "BSDS500", place % 2, record


def _some(found: tuple[Any, ...], images: int) -> list[Any]:
    return [found[place * len(found) // min(images, len(found))] for place in range(min(images, len(found)))]


# ------------------------------------------------------------------------------------------------ borders


def compared_borders(seen: Seen, name: str) -> list[dict[str, Any]]:
    """A row for each way to the pixels: outlines, seconds, and the counts of an oracle's mIoU."""
    labels = cluster(seen.solved.vectors, clusters=CLUSTERS, candidates=(CLUSTERS,)).labels
    regions = labels.reshape(seen.solved.grid)
    rows = []
    for way, work in _ways().items():
        start = perf_counter()
        pixels = work(regions, seen.image)
        seconds = perf_counter() - start
        pieces = [
            oracle_counts(pixels, truth) | {"image": name, "annotator": annotator}
            for annotator, truth in enumerate(seen.truths)
        ]
        precision, recall = outline_scores(pixels, seen.truths)
        scores = {"precision": precision, "recall": recall, "seconds": seconds, "counts": counted_table(pieces, COUNTS)}
        rows.append({"dataset": seen.dataset, "half": seen.half, "way": way, **scores})
    return rows


def _ways() -> dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]:
    def guided(radius: float) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        """By a square of this half side."""
        return lambda regions, image: to_pixels(regions, image, radius_tokens=radius)

    ways = {"tokens": lambda regions, image: to_pixels(regions, image, "tokens"), "dense CRF": by_crf}
    return ways | {f"guided filter, {radius:g} tokens": guided(radius) for radius in RADII}


def by_crf(regions: np.ndarray, image: np.ndarray) -> np.ndarray:
    """The region of each pixel by a dense CRF (STEGO's) on a small image, its answer enlarged."""
    scale = min(1.0, (CRF_PX / image[..., 0].size) ** 0.5)
    width, height = (max(1, round(side * scale)) for side in image.shape[1::-1])
    small = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
    shares = np.stack([_resized(regions == region, (width, height)) for region in range(regions.max() + 1)])
    shares = np.clip(shares, 1e-5, 1) / np.clip(shares, 1e-5, 1).sum(0)
    settings = CrfSettings(5, STEGO.gaussian_px, STEGO.gaussian_weight, 0.13 * width, 3.0, STEGO.bilateral_weight)
    found = refine(small, np.minimum(np.log(shares), 0), settings)
    return np.stack([_resized(share, image.shape[1::-1]) for share in found]).argmax(0).astype(np.int16)


def _resized(plane: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    drawn = Image.fromarray(plane.astype(np.float32))
    return np.asarray(drawn.resize((size[0], size[1]), Image.Resampling.BILINEAR))


def _borders_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    lines = []
    for key, found in pd.DataFrame(rows).groupby(["dataset", "way"], sort=False):
        dataset, way = map(str, key)
        line: dict[str, Any] = {"data set": dataset, "borders": way}
        for half, name in enumerate(HALVES):
            mine = found[found.half == half]
            if len(mine):
                counts = pd.concat(list(mine.counts))
                precision, recall = mine.precision.mean(), mine.recall.mean()
                line[f"mIoU ({name})"] = f"{mean_iou(counts, shared_classes=dataset != 'BSDS500'):.3f}"
                line[f"outlines: precision ({name})"], line[f"recall ({name})"] = f"{precision:.3f}", f"{recall:.3f}"
                line[f"F ({name})"] = f"{harmonic(precision, recall):.3f}"
        lines.append({**line, "seconds an image": f"{found.seconds.median():.2f}", "images": len(found)})
    return pd.DataFrame(lines)


# ----------------------------------------------------------------------------------------------- how many


def compared_rules(seen: Seen) -> list[dict[str, Any]]:
    """A row for each rule: the K that it takes, how many segments people drew, and the covering."""
    X, values = seen.solved.vectors.astype(np.float64), seen.solved.values
    plain = cluster(X)
    partitions = {1: np.zeros(len(X), np.int16), **plain.partitions}
    chosen: dict[str, np.ndarray] = {}
    for rule in PLAIN:
        rated = worth(rule, X, partitions, scores=plain.silhouettes, values=values, again=_again)
        chosen[rule] = partitions[max(rated, key=rated.__getitem__)]
    for steps in STEPS:
        chosen[f"diffusion, {steps} steps"] = cluster(diffusion_map(X, values, steps), choose="diffusion").labels
    chosen[f"always {CLUSTERS}"] = partitions[CLUSTERS]
    people = float(np.median([len(np.unique(truth[truth >= 0])) for truth in seen.truths]))
    return [{**_of_rule(seen, labels), "rule": rule, "people": people} for rule, labels in chosen.items()]


def _again(rows: np.ndarray, k: int) -> np.ndarray:
    return cluster(rows, clusters=k, candidates=(k,), restarts=1).labels


def _of_rule(seen: Seen, labels: np.ndarray) -> dict[str, Any]:
    pixels = to_pixels(labels.reshape(seen.solved.grid), seen.image, "tokens")
    covered = float(np.mean([covering(pixels, truth) for truth in seen.truths]))
    return {"dataset": seen.dataset, "half": seen.half, "K": len(np.unique(labels)), "covering": covered}


def _clusters_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    lines = []
    for key, found in pd.DataFrame(rows).groupby(["dataset", "rule"], sort=False):
        dataset, rule_name = map(str, key)
        line: dict[str, Any] = {"data set": dataset, "rule": rule_name}
        for half, name in enumerate(HALVES):
            mine = found[found.half == half]
            line[f"covering ({name})"] = f"{mine.covering.mean():.3f}"
        last = found[found.half == 1]
        line |= {"mean K": f"{last.K.mean():.1f}", "people's": f"{last.people.mean():.1f}"}
        lines.append({**line, "mean difference": f"{(last.K - last.people).abs().mean():.1f}", "images": len(found)})
    return pd.DataFrame(lines)


# ------------------------------------------------------------------------------------------------ nothing


def empty_pictures(height: int = 375, width: int = 500) -> Iterator[tuple[str, np.ndarray]]:
    """Pictures of nothing, each with the name of its kind."""
    rng = np.random.default_rng(0)
    for colour in ((255, 255, 255), (0, 0, 0), (128, 128, 128), (200, 30, 30)):
        yield "flat", np.full((height, width, 3), colour, np.uint8)
    for mean, spread in ((230, 3), (128, 10), (20, 60)):
        noise = np.clip(rng.normal(mean, spread, (height, width, 3)), 0, 255).astype(np.uint8)
        yield "noise", noise
        packed = io.BytesIO()
        Image.fromarray(noise).save(packed, "JPEG", quality=60)
        yield "noise, as JPEG", np.asarray(Image.open(packed))
    yield "noise", rng.integers(0, 256, (height, width, 3), np.uint8)
    yield "noise", rng.integers(0, 2, (height, width, 1), np.uint8).repeat(3, 2) * 255


def _nothing_table(backbone: Backbone, photos: Path, images: int) -> pd.DataFrame:
    pictures = [("photographs", read_image(path)) for path in image_paths("photos", photos)[:images]]
    rows = []
    for kind, image in progress([*empty_pictures(), *pictures], "pictures of nothing"):
        view = View(protocol_of(backbone.name), backbone.size_px, backbone.patch_px)
        shown = view_image(image, view)
        asked = not varies(shown, backbone.patch_px)
        times = departure(backbone, shown, _answer(backbone, shown)) if asked else np.nan
        rows.append({"kind": kind, "asked": asked, "times": times})
    lines: list[dict[str, Any]] = []
    for name, found in pd.DataFrame(rows).groupby("kind", sort=False):
        of_asked = found.times.dropna()
        line: dict[str, Any] = {"picture": name, "pictures": len(found), "network asked": int(found.asked.sum())}
        if len(of_asked):
            line |= {"least": f"{of_asked.min():.2f}", "largest": f"{of_asked.max():.2f}"}
        lines.append({**line, "nothing": int((of_asked < TIMES).sum())})
    return pd.DataFrame(lines).fillna("")


def _answer(backbone: Backbone, shown: np.ndarray) -> np.ndarray:
    """The backbone's last features on their grid."""
    import torch

    with torch.inference_mode():
        final = backbone.run(backbone.prepare(shown[None]))[0].float().cpu().numpy()
    return final.reshape(*token_grid(len(final), *shown.shape[:2]), -1)
