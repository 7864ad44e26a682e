"""One solve at a time in a folder, also where processes of an earlier one were left behind."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import sleep

from whatwhere.artifacts.errors import InputError

#: How long one waits for another: what a kill took away needs a moment to be gone.
PATIENCE_S = 3.0
_LOOK_S = 0.1


class Alone:
    """A lock that is held. Processes that inherit `descriptor` hold it too, until the last of them ends."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def held_by(self, process: int) -> None:
        """Whom somebody else who comes is told of."""
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, f"{process} {os.getpgid(process)}".encode(), 0)


@contextmanager
def alone(folder: Path) -> Iterator[Alone]:
    """Holds the lock beside a folder (`NAME.lock`), which is removed at the end; a killed one's the system frees.

    Raises `InputError` where another process holds it.
    """
    path = folder.with_name(f"{folder.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = Alone(_locked(path, folder))
    try:
        lock.held_by(os.getpid())
        yield lock
    finally:
        path.unlink(missing_ok=True)
        os.close(lock.descriptor)


def _locked(path: Path, folder: Path) -> int:
    """The descriptor of the lock file, ours alone."""
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR)
        try:
            with suppress(OSError):  # a file system without locks: two solves at once are then the person's to avoid
                _lock(descriptor, folder)
            if _is(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # whoever had it took the file away just now


def _lock(descriptor: int, folder: Path) -> None:
    for _ in range(round(PATIENCE_S / _LOOK_S)):
        with suppress(BlockingIOError):
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        sleep(_LOOK_S)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        process, _, group = os.pread(descriptor, 40, 0).decode(errors="replace").partition(" ")
        raise InputError(
            f"joint solve {str(folder)!r}: expected to be alone, got process {process} of process group {group} still "
            f"at work there; wait for it, or stop it (kill {process}) and run again: what is finished stays"
        ) from error


def _is(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
