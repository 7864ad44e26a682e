"""CamVid: driving frames with 11 classes, in the layout and at the size (480 × 360) of SegNet's release."""

from __future__ import annotations

from pathlib import Path

from whatwhere.datasets import folder
from whatwhere.datasets.images import PathLike
from whatwhere.datasets.record import Dataset

CLASSES = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
)
UNLABELLED = 11


def load(name: str, *, root: PathLike, split: str = "val", limit: int | None = None) -> Dataset:
    """Frames `root/<split>/*.png` with labels `root/<split>annot/*.png`; label 11 is ignored; the first `limit`.

    Raises InputError for what is missing or does not fit, as `folder.load`.
    """
    return folder.load(
        name,
        root=Path(root) / split,
        labels_root=Path(root) / f"{split}annot",
        classes=CLASSES,
        ignore_label=UNLABELLED,
        limit=limit,
    )
