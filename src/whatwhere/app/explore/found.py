"""What `whatwhere discover` left in a folder, for pages over all of its photographs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from whatwhere.app.discover.folder import ARCHIVE, BOOK, photo_state
from whatwhere.app.discover.maps import read_labelled
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.progress import progress
from whatwhere.datasets.walk import files


@dataclass(frozen=True)
class Found:
    """A labelled photograph: its file, what `discover` calls it, hashes of its bytes and of its label map, the label
    map's height and width, and the part of it that each class covers.
    """

    photo: Path
    name: str
    content: str
    labels: str
    size: tuple[int, int]
    shares: Float[np.ndarray, "cluster"]


def is_found(folder: Path) -> bool:
    """Whether `discover` has left a codebook there."""
    return (folder / BOOK).is_file()


def labelled_photos(folder: Path, state: str) -> tuple[list[Found], list[str]]:
    """All that are labelled by the folder's codebook (`book_state`) and are still what they were, by name; and a line
    for each other.

    Raises `InputError` where none is left.
    """
    there = folder / ARCHIVE
    archives = [one for one in files(there) if one.suffix == ".npz"] if there.is_dir() else []
    found, odd = list[Found](), list[str]()
    for archive in progress(archives, "photographs"):
        try:
            name = archive.relative_to(there).with_suffix("").as_posix()
            found.append(_labelled(archive, name, state))
        except (InputError, OSError) as error:
            odd.append(f"{error}; left out: run whatwhere discover again")
    if not found:
        raise InputError(
            f"{folder}: expected photographs that whatwhere discover labelled, got none of {len(archives)}"
            + (f" ({odd[0]})" if odd else "; run it again")
        )
    return sorted(found, key=lambda one: one.name), odd


def labels_of(folder: Path, name: str) -> UInt8[np.ndarray, "y x"]:
    """A photograph's label map, before any merge."""
    kept = read_labelled(folder / ARCHIVE / f"{name}.npz")
    if kept is None:
        raise InputError(f"{name}: expected its labels in {folder / ARCHIVE}, got none; run whatwhere discover again")
    return kept[0].labels


def digest(*parts: bytes | str) -> str:
    """By which the same parts are known again."""
    found = hashlib.blake2b(digest_size=12)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        found.update(len(data).to_bytes(8, "little") + data)
    return found.hexdigest()


def _labelled(archive: Path, name: str, state: str) -> Found:
    kept = read_labelled(archive)
    if kept is None:
        raise InputError(f"{archive}: expected the labels of a photograph, got something else")
    one, about = kept
    photo = Path(about["photo"])
    if not photo.is_file():
        raise InputError(f"{photo}: expected the photograph that was labelled, got none there any more")
    if photo_state(photo) != about["state"]:
        raise InputError(f"{photo}: expected the photograph that was labelled, got a file that was changed since")
    if about["codebook"] != state:
        raise InputError(f"{photo}: expected labels of the folder's codebook, got those of another")
    labels = digest(str(one.labels.shape), one.labels.tobytes())
    height, width = one.labels.shape
    return Found(photo, name, digest(photo.read_bytes()), labels, (height, width), one.summary.shares)
