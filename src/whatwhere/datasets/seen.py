"""What is in files, told by their bytes, which are read again only where a file's size, times or place changed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from whatwhere.artifacts.atomic import replacing
from whatwhere.artifacts.manifest import digest

#: Of a file: size, time of change in ns (of the content, of the entry), number on its disk; and then its digest.
_Note = list[int | str]


def digest_of_files(named: Iterable[tuple[str, Path]], notes: Path | None = None) -> str:
    """One digest over files, by name and bytes; a link to nothing and what may not be read count as that.

    `notes` is a file for the digests of each, written anew where it does not have them all.
    """
    known, whole, now = _known(notes), hashlib.blake2b(digest_size=8), {}
    for name, file in named:
        note = _note(file, known.get(str(file)))
        now[str(file)] = note
        whole.update(f"{name}\0{note[-1]}\n".encode(errors="surrogateescape"))
    if notes and any(known.get(path) != note for path, note in now.items()):
        with suppress(OSError, UnicodeEncodeError), replacing(notes) as partial:
            partial.write_text(json.dumps({**known, **now}), "utf-8")
    return whole.hexdigest()


def _note(file: Path, known: _Note | None) -> _Note:
    try:
        status = file.stat()
        state: _Note = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        return known if known and known[:-1] == state else [*state, digest(file)]
    except OSError:
        return [os.path.lexists(file), "unread"]


def _known(notes: Path | None) -> dict[str, _Note]:
    """What was noted; nothing of a file that is damaged or not there."""
    with suppress(OSError, ValueError):
        found = json.loads(notes.read_text("utf-8")) if notes else {}
        return {path: note for path, note in found.items() if isinstance(note, list)} if isinstance(found, dict) else {}
    return {}
