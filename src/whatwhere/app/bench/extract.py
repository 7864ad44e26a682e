"""What capture and storage add to a forward pass."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from whatwhere.artifacts.clock import machine, timed
from whatwhere.artifacts.progress import progress
from whatwhere.artifacts.store import Store
from whatwhere.backbones.backbone import Backbone
from whatwhere.datasets import Dataset, Record
from whatwhere.datasets.images import View
from whatwhere.stages.features import extract
from whatwhere.stages.images import write_images


def bench_extract(backbone: Backbone, *, size_px: int | None = None, images: int = 16) -> dict[str, Any]:
    """Seconds an image of the bare forward pass, and of extraction: capture, and the store whole and hashed."""

    side = size_px or backbone.size_px
    pixels = np.random.default_rng(0).integers(0, 256, (images, side, side, 3), dtype=np.uint8)
    records = tuple(Record(str(i), image=partial(pixels.__getitem__, i)) for i in range(images))
    view = View("none", side, backbone.patch_px)
    with TemporaryDirectory() as folder:
        shown = Path(folder, "images.json")
        ids = [record.id for record in records]
        numbers = {id_: i for i, id_ in enumerate(ids, 1)}
        given: dict[str, Any] = {"numbers": numbers, "view": view, "run_images": 16, "settings": {}}
        write_images(Dataset("bench", records), ids, shown, Path(folder, "i.json"), **given)
        choice: dict[str, Any] = {"values": False, "batch_images": 1, "run_images": 4, "seed": 0, "settings": {}}
        bare, written, stored = [], [], Path(folder, "features.json")
        for _ in progress(range(3), "extraction"):
            with torch.inference_mode():
                bare.append(
                    timed(lambda: [backbone.run(backbone.prepare(image[None])) for image in pixels])[0] / images
                )
            written.append(timed(lambda: extract(Store(shown), backbone, stored, **choice))[0] / images)
    best = {"forward_s": float(np.median(bare)), "extract_s": float(np.median(written))}
    return {
        "machine": machine(next(backbone.model.parameters()).device),
        "backbone": backbone.name,
        "image_px": side,
        "images": images,
        **best,
    }
