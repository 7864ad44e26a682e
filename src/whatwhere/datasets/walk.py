"""The files of a person's folder, as they are: links followed, what a desktop or an editor left there passed over."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

#: Left in folders by desktops and archivers; names that begin with a dot are hidden anyway.
LITTER = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir"})


def files(root: Path) -> Iterator[Path]:
    """Every file under a folder that a person put there, sorted in each folder; pipes and sockets are no files.

    A link to a folder is followed, but never back into one that it lies in; a link to nothing is answered, for whoever
    reads it to say.
    """
    return (path for path in entries(root) if not is_strange(path))


def entries(root: Path) -> Iterator[Path]:
    """`files`, and pipes, sockets and devices among them (`is_strange`), at which a reader might wait for ever."""
    yield from _entries(root, frozenset({_identity(root)}))


def is_strange(path: Path) -> bool:
    """Whether something is there that is neither a file nor a folder."""
    return path.exists() and not path.is_file()


def shown(folder: Path) -> list[Path]:
    """What lies right in a folder, by name: files, folders and all else that is neither hidden nor passed over."""
    return sorted(path for path in folder.iterdir() if not _passed_over(path.name))


def left_out(folder: Path, others: Iterable[Path]) -> str:
    """A line on what of a folder is not taken, how many of each kind; empty where that is nothing."""
    counts = Counter(map(_kind, others))
    said = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
    return f"{folder}: no photographs, and left out: {said}" if said else ""


def _kind(path: Path) -> str:
    if path.is_dir():
        return "folder below it"
    return "pipe, socket or device" if is_strange(path) else path.suffix.lower() or "file without an ending"


def _entries(folder: Path, above: frozenset[tuple[int, int]]) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        shown = sorted((entry for entry in entries if not _passed_over(entry.name)), key=lambda entry: entry.name)
    for entry in shown:
        path = folder / entry.name
        if entry.is_dir():
            if (own := _identity(path)) not in above:
                yield from _entries(path, above | {own})
        else:
            yield path


def _passed_over(name: str) -> bool:
    return name.startswith(".") or name.casefold() in LITTER


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino
