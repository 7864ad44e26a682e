"""BSDS500: photographs, each segmented by several people; segments have numbers, not names."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int16

from whatwhere.artifacts.errors import InputError
from whatwhere.datasets.folder import image_paths
from whatwhere.datasets.images import PathLike, image_size, read_image
from whatwhere.datasets.record import Dataset, Record

#: Where the archive keeps images/ and groundTruth/, seen from the folder it was unpacked in.
_NESTING = ("", "data", "BSDS500/data", "BSR/BSDS500/data")


def load(name: str, *, root: PathLike, split: str = "val", limit: int | None = None) -> Dataset:
    """Images `images/<split>/*.jpg` with one map of segments (from 0) per annotator.

    The maps come from `groundTruth/<split>/*.mat`; a missing or unreadable one is an InputError when that
    image's labels are read. `root` may be the archive's own top folder.
    Only the first `limit`, if given. Raises InputError for no images.
    """
    root = Path(root)
    data = next((root / level for level in _NESTING if (root / level / "images").is_dir()), root)
    truth = data / "groundTruth" / split
    paths = image_paths(name, data / "images" / split)[:limit]
    records = (
        Record(path.stem, partial(read_image, path), partial(_labels, path, truth / f"{path.stem}.mat"))
        for path in paths
    )
    return Dataset(name, tuple(records))


def _labels(image: Path, path: Path) -> tuple[Int16[np.ndarray, "y x"], ...]:
    maps = tuple(_from_zero(stored) for stored in _stored(path))
    size = image_size(image)
    if not maps or any(segments.shape != size for segments in maps):
        got = ", ".join(" × ".join(map(str, segments.shape)) for segments in maps) or "none"
        raise InputError(
            f"{str(path)!r}: expected segmentations of the image's {size[0]} × {size[1]} px, got {got}; "
            "fetch the archive again"
        )
    return maps


def _stored(path: Path) -> list[np.ndarray]:
    """The arrays in the file, one per annotator, as MATLAB numbered them."""
    from scipy.io import loadmat

    if not path.is_file():
        raise InputError(f"{str(path)!r}: expected human segmentations (MATLAB), got no file; check root")
    try:
        cells = loadmat(path)["groundTruth"].ravel()
        return [cell["Segmentation"].item() for cell in cells]
    except Exception as error:  # damaged files make scipy raise ValueError, zlib.error, TypeError, ...
        got = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(
            f"{str(path)!r}: expected a MATLAB file with the cells groundTruth{{i}}.Segmentation, got "
            f"{got}; fetch the archive again"
        ) from error


def _from_zero(stored: np.ndarray) -> Int16[np.ndarray, "y x"]:
    _, segments = np.unique(stored, return_inverse=True)
    return segments.reshape(stored.shape).astype(np.int16)
