"""One's own photographs to masks of objects, ranked, as COCO JSON and a picture (appendix D.2)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from whatwhere.app.photos import check_output, each_photo, protocol_of, solve_photo
from whatwhere.artifacts.atomic import replacing
from whatwhere.backbones import load_backbone
from whatwhere.datasets.images import tokens_to_pixels
from whatwhere.evaluate.instances import coco_results
from whatwhere.publish.figures import instance_overlay

if TYPE_CHECKING:
    from whatwhere.backbones.backbone import Backbone

#: K of the partitions that objects are sought in (appendix D.2).
CANDIDATES = tuple(range(2, 11))


def detect_photos(
    photos: Sequence[Path],
    out: Path,
    *,
    backbone: str,
    backbone_settings: dict[str, Any],
    report: Callable[[str], None],
    shown: int,
    **choice: Any,
) -> list[str]:
    """Writes `NAME_instances.json` and `NAME_instances.png` of every photo under `out`; the picture shows the first
    `shown` masks. `choice` is `detect`'s. Answers one line for each photo that could not be read.
    """
    check_output(out, photos)
    model = load_backbone(backbone, **backbone_settings)

    def work(photo: Path, name: str, image: np.ndarray) -> str:
        """The masks of one photograph, written; says how many."""
        found = detect(model, image, protocol=protocol_of(backbone), **choice)
        masks = found["masks"]
        with replacing(out / f"{name}_instances.json") as partial:
            partial.write_text(json.dumps(coco(photo.name, image, **found)), "utf-8")
        with replacing(out / f"{name}_instances.png") as partial:
            Image.fromarray(instance_overlay(image, masks[:shown])).save(partial, format="PNG")
        best = f", the best with score {found['scores'][0]:.2f}" if len(masks) else ""
        return f"{len(masks)} object{'' if len(masks) == 1 else 's'}{best} -> {out / f'{name}_instances.png'}"

    return each_photo(photos, out, work, doing="detecting", report=report)


def detect(
    backbone: Backbone,
    image: UInt8[np.ndarray, "y x 3"],
    *,
    seed: int = 0,
    threshold: float = 0.0,
    most: int = 100,
    **choice: Any,
) -> dict[str, np.ndarray]:
    """`masks` `[mask, y, x]` in the photograph's own pixels, by decreasing `scores` `[mask]`; `choice` is
    `solve_photo`'s.
    """
    from whatwhere.evaluate.proposals import propose
    from whatwhere.method.cluster import cluster

    solved = solve_photo(backbone, image, seed=seed, **choice)
    partitions = cluster(solved.vectors, candidates=CANDIDATES, seed=seed).partitions
    found = propose(solved.vectors, np.stack(list(partitions.values())), solved.grid, threshold=threshold, most=most)
    pixels = [tokens_to_pixels(mask.astype(np.int16), *image.shape[:2]) > 0 for mask in found.masks]
    masks = np.array(pixels, bool).reshape(-1, *image.shape[:2])
    seen = masks.any((1, 2))  # between the pixels of a photograph that has fewer than tokens a mask may vanish
    return {"masks": masks[seen], "scores": found.scores[seen]}


def coco(name: str, image: np.ndarray, masks: np.ndarray, scores: np.ndarray) -> dict[str, Any]:
    """A data set in COCO's format with this one image: each annotation also has its `score`."""
    height, width = image.shape[:2]
    found = coco_results(1, masks, scores)
    extra = [{"id": i, "area": float(mask.sum()), "iscrowd": 0} for i, mask in enumerate(masks, 1)]
    return {
        "images": [{"id": 1, "file_name": name, "height": height, "width": width}],
        "categories": [{"id": 1, "name": "object"}],
        "annotations": [{**entry, **more} for entry, more in zip(found, extra, strict=True)],
    }
