"""One's own photographs to masks of objects, ranked, as COCO JSON and a picture (appendix D.2)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from whatwhere.app.eyes import opened
from whatwhere.app.photos import COMPRESS_LEVEL, check_output, each_photo, place_of, protocol_of, solve_photo
from whatwhere.artifacts.atomic import replacing
from whatwhere.artifacts.provenance import VERSION
from whatwhere.evaluate.borders import Borders, masks_to_pixels
from whatwhere.evaluate.instances import coco_results
from whatwhere.publish.figures import instance_overlay

if TYPE_CHECKING:
    from whatwhere.backbones.backbone import Backbone
    from whatwhere.evaluate.proposals import Proposals

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
    borders: Borders = "image",
    warn: Callable[[str], None] = lambda line: None,
    **choice: Any,
) -> list[str]:
    """Writes `NAME_instances.json` and `NAME_instances.png` of every photo under `out`; the picture shows the first
    `shown` masks. `choice` is `proposals`'s. Where the folder holds those of several, `instances.json` is all of them.

    Answers one line for each photo that could not be done. `report` gets a line a photo, `warn` what to know of the
    backbone (`eyes.caution`).
    """
    check_output(out, photos)
    model = opened(backbone, backbone_settings, warn=warn)

    def work(photo: Path, name: str, image: np.ndarray) -> Callable[[], str]:
        """The masks of one photograph, to be written; says how many."""
        found = proposals(model, image, protocol=protocol_of(backbone), **choice)
        return lambda: _write(out, name, photo, image, found, shown, borders, model.weights)

    failures = each_photo(photos, out, work, doing="detecting", report=report, whose=partial(_whose, out))
    _write_together(out)
    return failures


def proposals(
    backbone: Backbone,
    image: UInt8[np.ndarray, "y x 3"],
    *,
    seed: int = 0,
    threshold: float = 0.0,
    most: int = 100,
    **choice: Any,
) -> Proposals:
    """Masks on the grid of X, by decreasing score, none of a picture that shows nothing; `choice` as `solve_photo`."""
    from whatwhere.evaluate.proposals import Proposals, propose
    from whatwhere.method.cluster import cluster

    solved = solve_photo(backbone, image, seed=seed, **choice)
    if solved.shows_nothing(backbone):
        return Proposals(np.zeros((0, *solved.grid), bool), np.zeros(0))
    partitions = cluster(solved.vectors, candidates=CANDIDATES, seed=seed).partitions
    return propose(solved.vectors, np.stack(list(partitions.values())), solved.grid, threshold=threshold, most=most)


def in_pixels(
    found: Proposals, image: UInt8[np.ndarray, "y x 3"], borders: Borders = "image"
) -> Iterator[tuple[Bool[np.ndarray, "y x"], float]]:
    """Each mask in the photograph's own pixels, and its score: one at a time, as all of a large one would not fit.

    Between the pixels of a photograph that has fewer than tokens a mask may vanish: then it is left out.
    """
    for pixels, score in zip(masks_to_pixels(found.masks, image, borders), found.scores.tolist(), strict=True):
        if pixels.any():
            yield pixels, score


def coco(name: str, image: np.ndarray, masks: Iterable[tuple[np.ndarray, float]], weights: str = "") -> dict[str, Any]:
    """A data set in COCO's format with this one image, of masks with scores: each annotation also has its `score`.

    `weights` says whose eyes these were.
    """
    height, width = image.shape[:2]
    annotations: list[dict[str, Any]] = []
    for number, (mask, score) in enumerate(masks, 1):
        (entry,) = coco_results(1, mask[None], np.array([score]))
        annotations.append({**entry, "id": number, "area": float(mask.sum()), "iscrowd": 0})
    return {
        "info": {"description": "objects found by whatwhere", "version": VERSION, "weights": weights},
        "images": [{"id": 1, "file_name": name, "height": height, "width": width}],
        "categories": [{"id": 1, "name": "object"}],
        "annotations": annotations,
    }


def together(described: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Data sets of `coco` as one: images and annotations are numbered through."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    weights: list[str] = []
    for one in described:
        images.append({**one["images"][0], "id": len(images) + 1})
        for entry in one["annotations"]:
            annotations.append({**entry, "id": len(annotations) + 1, "image_id": len(images)})
        weights.append(one["info"].get("weights", ""))
    info = {
        "description": "objects found by whatwhere",
        "version": VERSION,
        "weights": ", ".join(dict.fromkeys(weights)),
    }
    return {"info": info, "images": images, "categories": [{"id": 1, "name": "object"}], "annotations": annotations}


def _write_together(out: Path) -> None:
    """`instances.json` where the folder holds masks of several photographs, of this call and earlier ones."""
    found = [one for file in sorted(out.glob("*_instances.json")) if (one := _read(file))]
    if len(found) > 1:
        with replacing(out / "instances.json") as unfinished:
            unfinished.write_text(json.dumps(together(found)), "utf-8")


def _read(file: Path) -> dict[str, Any] | None:
    """What was written of one photograph; nothing of a file that is something else."""
    with suppress(OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        found = json.loads(file.read_text("utf-8"))
        if found["images"][0]["path"] and all(isinstance(entry, dict) for entry in found["annotations"]):
            return found if isinstance(found["info"], dict) else None
    return None


def _whose(out: Path, name: str) -> str | None:
    """Which photograph the masks of a name are of."""
    if not (file := out / f"{name}_instances.json").exists():
        return None
    found = _read(file)
    return str(found["images"][0]["path"]) if found else "?"


def _write(
    out: Path, name: str, photo: Path, image: np.ndarray, found: Proposals, shown: int, borders: Borders, weights: str
) -> str:
    """Both files, or none that is not whole; says how many objects there are, and where to look."""
    size = image.shape[:2]
    drawn = np.zeros((min(shown, len(found.masks)), *size), bool)

    def passing() -> Iterator[tuple[np.ndarray, float]]:
        """Each mask once; the first stay for the picture."""
        for place, (mask, score) in enumerate(in_pixels(found, image, borders)):
            if place < len(drawn):
                drawn[place] = mask
            yield mask, score

    described = coco(photo.name, image, passing(), weights)
    described["images"][0]["path"] = place_of(photo)
    with replacing(out / f"{name}_instances.json") as unfinished:
        unfinished.write_text(json.dumps(described), "utf-8")
    overlay = instance_overlay(image, drawn)
    with replacing(out / f"{name}_instances.png") as unfinished:
        Image.fromarray(overlay).save(unfinished, format="PNG", compress_level=COMPRESS_LEVEL)
    scores = [entry["score"] for entry in described["annotations"]]
    best = f", the best with score {scores[0]:.2f}" if scores else ""
    return f"{len(scores)} object{'' if len(scores) == 1 else 's'}{best} -> {out / f'{name}_instances.png'}"
