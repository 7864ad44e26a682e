"""A user's own directory of images, with or without label maps."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int16

from whatwhere.artifacts.errors import InputError
from whatwhere.datasets.images import PathLike, image_size, read_image
from whatwhere.datasets.labels import read_labels
from whatwhere.datasets.record import IGNORE, Dataset, Record, nothing
from whatwhere.datasets.walk import entries, is_strange

#: Endings of the files that count as images, in any case.
SUFFIXES = (".avif", ".bmp", ".gif", ".heic", ".heif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
#: Of label maps, in this order.
LABEL_SUFFIXES = (".png", ".bmp", ".tif", ".tiff")
#: Longest id before a number is added: file systems allow 255 bytes and artifacts add their own endings.
_LONGEST_ID = 120


def load(
    name: str,
    *,
    root: PathLike,
    labels_root: PathLike | None = None,
    classes: Sequence[str] = (),
    ignore_label: int = 255,
    limit: int | None = None,
) -> Dataset:
    """Every image under `root`, by relative path; the label map of `a/b.jpg` is `labels_root/a/b.png`.

    Only the first `limit`, if given. Label maps hold class indices, `ignore_label` where nothing is scored. A missing
    or wrong label map is an
    InputError when that image's labels are read; a missing or empty directory is one here.
    """
    root, label_dir = Path(root), None if labels_root is None else Path(labels_root)
    paths = image_paths(name, root, leave_out=label_dir)[:limit]
    if label_dir is not None:
        _check_labels(name, root, label_dir)
        _check_alone(name, [path.relative_to(root) for path in paths])
    labels = [
        partial(_labels, path, label_dir / path.relative_to(root), classes, ignore_label)
        if label_dir is not None
        else nothing
        for path in paths
    ]
    ids = safe_ids([path.relative_to(root) for path in paths])
    records = (
        Record(id_, partial(read_image, path), label) for id_, path, label in zip(ids, paths, labels, strict=True)
    )
    return Dataset(name, tuple(records), tuple(classes), _left_out(root, label_dir))


def _left_out(root: Path, labels: Path | None) -> dict[str, int]:
    """How many of what lies under the root are no images, and which no files at all."""
    found = list(_entries(root, labels))
    strange = sum(map(is_strange, found))
    others = sum(1 for path in found if path.suffix.lower() not in SUFFIXES and not is_strange(path))
    folders = {path for inside in found for path in inside.parents if path.suffix.lower() in SUFFIXES}
    counts = {
        "files that are no images": others,
        "pipes, sockets or devices": strange,
        "folders named as images are (what is in them was taken)": sum(root in path.parents for path in folders),
    }
    return {what: count for what, count in counts.items() if count}


def _check_labels(name: str, root: Path, labels: Path) -> None:
    """Raises InputError where label maps have no directory, or that of the images."""
    if not labels.is_dir():
        got = f"{'a file' if labels.exists() else 'nothing'} at {str(labels)!r}"
        raise InputError(f"data set {name}: expected a directory of label maps, got {got}; check labels_root")
    if labels.resolve() == root.resolve():
        got = f"root itself, {str(root)!r}"
        raise InputError(f"data set {name}: expected label maps elsewhere than images, got {got}; check labels_root")


def _check_alone(name: str, relative: Sequence[Path]) -> None:
    """Raises InputError for two images that would have one label map."""
    first: dict[Path, Path] = {}
    for path in relative:
        if (other := first.setdefault(path.with_suffix(""), path)) != path:
            raise InputError(
                f"data set {name}: expected a label map for every image, got {path.with_suffix('.png')} for both "
                f"{other} and {path}; rename one of them and its label map"
            )


def image_paths(name: str, root: Path, leave_out: Path | None = None) -> list[Path]:
    """The images under a directory and what links lead to, sorted by relative path; hidden files are not images.

    `leave_out` is a directory whose files do not count (label maps kept under the images' own root).
    Raises InputError where the directory is missing or has no image.
    """
    if not root.is_dir():
        got = "a file" if root.exists() else "nothing"
        raise InputError(f"data set {name}: expected a directory of images, got {got} at {str(root)!r}; check root")
    found = [path for path in _entries(root, leave_out) if not is_strange(path)]
    images = [path for path in found if path.suffix.lower() in SUFFIXES]
    if not images:
        raise InputError(
            f"data set {name}: expected images ({', '.join(suffix[1:] for suffix in SUFFIXES)}) under "
            f"{str(root)!r}, got none among {len(found)} files; check root"
        )
    return sorted(images, key=lambda path: path.relative_to(root).as_posix())


def _entries(root: Path, leave_out: Path | None) -> Iterator[Path]:
    skipped = None
    if leave_out is not None and root.resolve() in leave_out.resolve().parents:
        skipped = root / leave_out.resolve().relative_to(root.resolve())
    return (path for path in entries(root) if skipped not in path.parents)


def safe_ids(relative: Sequence[Path]) -> list[str]:
    """Unique file-name-safe ids. Case does not make a difference: on some file systems it makes none."""
    taken: set[str] = set()
    return [_unique(_safe(path), taken) for path in relative]


def _safe(path: Path) -> str:
    """The path in letters that every file system has; those of other scripts by their numbers."""
    spelled = "".join(f"u{ord(c):x}" if _is_foreign(c) else c for c in path.with_suffix("").as_posix())
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", spelled)
    return plain[-_LONGEST_ID:].lstrip("._-") or "image"


def _is_foreign(letter: str) -> bool:
    return letter.isalnum() and not any(part.isascii() for part in unicodedata.normalize("NFKD", letter))


def _unique(plain: str, taken: set[str]) -> str:
    """`plain`, or `plain` with the first free number; notes what it answers in `taken`."""
    number, unique = 1, plain
    while unique.casefold() in taken:
        number += 1
        unique = f"{plain}-{number}"
    taken.add(unique.casefold())
    return unique


def _labels(image: Path, place: Path, classes: Sequence[str], ignore_label: int) -> tuple[Int16[np.ndarray, "y x"]]:
    """The label map of one image, checked against the image's size and the number of classes."""
    path = _label_map(image, place)
    stored = read_labels(path)
    if stored.shape != (size := image_size(image)):
        raise InputError(
            f"{str(path)!r}: expected the image's {size[0]} × {size[1]} px, got {stored.shape[0]} × "
            f"{stored.shape[1]}; export the label map at the image's size"
        )
    labels = np.where(stored == ignore_label, np.int16(IGNORE), stored)
    if classes and (most := labels.max(initial=IGNORE)) >= len(classes):
        from_one = most == len(classes) and not (labels == 0).any()
        advice = (
            "take 1 from each if they count from 1, or check classes and ignore_label"
            if from_one
            else "check classes and ignore_label"
        )
        raise InputError(
            f"{str(path)!r}: expected labels 0 to {len(classes) - 1} or {ignore_label} (ignored), got {most}; {advice}"
        )
    return (labels,)


def _label_map(image: Path, place: Path) -> Path:
    """The file beside which an image's label map would lie, with the ending that there is. Raises InputError."""
    found = [path for ending in LABEL_SUFFIXES if (path := place.with_suffix(ending)).is_file()]
    if len(found) == 1:
        return found[0]
    wish = str(place.with_suffix(LABEL_SUFFIXES[0]))
    if found:
        got = " and ".join(path.name for path in found)
        raise InputError(f"{str(image)!r}: expected one label map, such as {wish!r}, got {got}; remove one")
    lossy = next((path.name for path in (place.with_suffix(".jpg"), place.with_suffix(".jpeg")) if path.is_file()), "")
    if lossy:
        raise InputError(
            f"{str(image)!r}: expected its label map {wish!r}, got {lossy}, whose labels JPEG has mixed; save it as PNG"
        )
    raise InputError(f"{str(image)!r}: expected its label map {wish!r}, got none; add it")
