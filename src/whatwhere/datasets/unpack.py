"""Archives to folders that are whole or absent. Nothing an archive names can end up outside its folder."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.progress import progress
from whatwhere.artifacts.words import bytes_words
from whatwhere.datasets.images import PathLike


@dataclass(frozen=True)
class _Member:
    """One entry of an archive; `kind` is empty for a plain file."""

    name: str
    size_bytes: int
    kind: str
    open: Callable[[], IO[bytes] | None]


#: A known archive of photographs, label maps or annotations holds at most four times its size; one of more than so
#: many times, and of more than so many bytes, is made to fill a disk.
MOST_TIMES = 100
ALWAYS_BYTES = 10**8


def unpack(archive: PathLike, folder: PathLike, *, members: Sequence[str] = ("*",), known: bool = False) -> int:
    """Writes the files of a tar (plain, gz, bz2, xz) or zip archive that match a pattern; answers how many.

    `folder` must not exist; it appears whole, by renaming `folder.partial`. A `*` in a pattern matches any
    characters, slashes too. Folders without files are not made; owners, modes and times are not kept.
    ASSUME: links are refused even where they stay inside, as data sets of images have no use for them.
    Raises InputError for a member that would leave the folder or is no plain file, a name that comes twice, a
    damaged archive, none that match, a full disk, and for files that are more than the disk has room for or, unless the
    archive is `known` by its checksum, than an archive of its size can honestly hold; nothing is left then.
    """
    archive, folder = Path(archive), Path(folder)
    written, size = 0, 0
    with filling(folder) as unfinished, _reading(archive):
        for member in progress(_members(archive), f"unpacking {archive.name}"):
            size += member.size_bytes  # also of what is passed over, which takes its time
            _check_size(archive, size, known)
            path = PurePosixPath(member.name)
            if member.kind == "folder" or not any(fnmatchcase(str(path), pattern) for pattern in members):
                continue
            if member.kind or _escapes(member.name):
                got = f"{member.kind or 'a path out of it'}, {member.name!r}"
                raise _refusal(archive, "plain files inside the folder", got)
            _check_room(archive, member.size_bytes, unfinished)
            _write(archive, member, unfinished / path)
            written += 1
        if not written:
            raise _refusal(archive, f"files that match {', '.join(members)}", "none")
    return written


def _check_size(archive: Path, size: int, known: bool) -> None:
    """Raises InputError where what is said to be in an archive is more than one of its size holds."""
    most = max(ALWAYS_BYTES, MOST_TIMES * archive.stat().st_size)
    if size > most and not known:
        raise _refusal(
            archive, f"at most {bytes_words(most)} in an archive of its size", f"{bytes_words(size)} or more"
        )


def _check_room(archive: Path, size: int, folder: Path) -> None:
    if size > (free := shutil.disk_usage(folder).free):
        got = f"{bytes_words(free)}; make room, or choose another root"
        raise InputError(f"{str(archive)!r}: expected room for {bytes_words(size)} more on the disk, got {got}")


@contextmanager
def filling(folder: Path) -> Iterator[Path]:
    """An empty folder to write to that takes the name `folder` when the block ends well, else goes.

    Raises InputError where `folder` exists or the disk fails; `folder.partial`, what a killed process left, is emptied.
    """
    unfinished = folder.with_name(f"{folder.name}.partial")
    try:
        if os.path.lexists(folder):
            raise InputError(f"{str(folder)!r}: expected nothing there, got a file or folder; move it and run again")
        _remove(unfinished)
        unfinished.mkdir(parents=True)
        yield unfinished
        os.replace(unfinished, folder)
    except OSError as error:
        got = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(
            f"{str(folder)!r}: expected to write files there, got {got}; free space or check permissions, and run again"
        ) from error
    finally:
        _remove(unfinished)


def _remove(unfinished: Path) -> None:
    if unfinished.is_symlink() or unfinished.is_file():  # what a link leads to is not ours to empty
        unfinished.unlink()
    shutil.rmtree(unfinished, ignore_errors=True)


def _members(archive: Path) -> Iterator[_Member]:
    if not archive.is_file():
        raise InputError(f"{str(archive)!r}: expected an archive, got no file; fetch it first")
    # in this order: a tar may well end with a zip, by which a zip is known
    return _tar_members(archive) if tarfile.is_tarfile(archive) else _zip_members(archive)


def _tar_members(archive: Path) -> Iterator[_Member]:
    with tarfile.open(archive) as tar:
        for entry in tar:
            plain = entry.isreg() and not entry.issparse()
            kind = "folder" if entry.isdir() else "" if plain else "a link or device"
            yield _Member(entry.name, entry.size, kind, partial(tar.extractfile, entry))
        # the loop also ends, without a word, at a cut or at a header that makes no sense
        assert tar.fileobj is not None
        tar.fileobj.seek(tar.offset)
        if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("no end of the archive where its members end")
        for _ in range(ALWAYS_BYTES >> 20):  # to where a compressed stream's own checksum is compared
            if not tar.fileobj.read(1 << 20):
                return
        raise tarfile.ReadError("no end of the stream after the end of the archive")


def _zip_members(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as opened:
        for entry in opened.infolist():
            plain = stat.S_IFMT(entry.external_attr >> 16) in (0, stat.S_IFREG)  # 0: not from Unix
            kind = "folder" if entry.is_dir() else "" if plain else "a link or device"
            yield _Member(entry.filename, entry.file_size, kind, partial(opened.open, entry))


def _escapes(name: str) -> bool:
    """Whether a name leaves the folder, on this or another system; backslashes count as slashes."""
    parts = re.split(r"[\\/]", name)
    return not parts[0] or ".." in parts or ":" in parts[0] or "\0" in name


def _write(archive: Path, member: _Member, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        target = path.open("xb")
    except (FileExistsError, NotADirectoryError) as error:
        raise _refusal(archive, "every name once", f"{member.name!r} again") from error
    with target, member.open() as source:  # type: ignore[union-attr]  # only what is no file opens as nothing
        _copy(source, target, member.size_bytes + 1)  # one that holds more than it says is noticed, and not written
    if path.stat().st_size != member.size_bytes:
        raise _refusal(archive, f"{member.size_bytes:,} bytes in {member.name!r}", f"{path.stat().st_size:,}")


def _copy(source: Any, target: IO[bytes], most: int) -> None:
    """At most so many bytes; what opens as nothing is no file."""
    while source and most > 0 and (piece := source.read(min(most, 1 << 20))):
        target.write(piece)
        most -= len(piece)


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:  # damaged files make the libraries raise EOFError, zlib.error, struct.error, ...
        if isinstance(error, OSError) and error.errno:
            raise  # the disk's fault, not the archive's
        got = " ".join(f"a damaged or unsupported one ({type(error).__name__}: {error})".split())
        raise _refusal(archive, "a tar or zip archive", got) from error


def _refusal(archive: Path, expected: str, got: str) -> InputError:
    return InputError(f"{str(archive)!r}: expected {expected}, got {got}; remove the archive and fetch it again")
