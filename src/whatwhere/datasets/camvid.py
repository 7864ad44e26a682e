"""CamVid: driving frames with 11 classes, in the layout and at the size (480 × 360) of SegNet's release."""

from __future__ import annotations

from pathlib import Path

from whatwhere.artifacts.errors import InputError
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
    if _in_colours(Path(root)):
        raise InputError(
            f"data set {name}: expected SegNet's release of CamVid in {str(root)!r} ({split}/, and {split}annot/ with "
            "a number a pixel), got the release in colours (*_L.png); fetch SegNet's, or check root"
        )
    return folder.load(
        name,
        root=Path(root) / split,
        labels_root=Path(root) / f"{split}annot",
        classes=CLASSES,
        ignore_label=UNLABELLED,
        limit=limit,
    )


def _in_colours(root: Path) -> bool:
    """Whether label maps are there whose classes are colours, under the names that the first release gave them."""
    places = (root, *(path for path in root.iterdir() if path.is_dir())) if root.is_dir() else ()
    return any(next(place.glob("*_L.png"), None) for place in places)
