"""What surrounds one job of the workflow: its thread count, its log, its one-line errors, and what it took."""

from __future__ import annotations

import errno
import os
import re
import shutil
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from whatwhere.artifacts.errors import InputError, line
from whatwhere.artifacts.memory import memory_mb
from whatwhere.artifacts.words import bytes_words

#: What tells each library how many threads to take.
POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
#: The last line of a finished job's log.
_SPENT = re.compile(r"done in (?P<seconds>\d+\.\d) s, at most (?P<megabytes>\d+) MB of memory")


@dataclass(frozen=True)
class Spent:
    """What a job took: seconds of a clock, and the most memory of its first process, 10⁶ bytes (0: not known)."""

    seconds: float
    megabytes: int


@contextmanager
def job(log: str, threads: int) -> Iterator[None]:
    """Runs the block with exactly `threads` threads in every library, standard error going to `log`.

    The count comes from the config, not from the cores at hand: parallel sums are then the same on every
    machine, and two jobs do not fight over a core. Must be entered before numpy or torch is imported; a child of the
    warm parent (`artifacts.warm`), which was born with them, starts over by itself where they have another count.
    An `InputError` is shown as one line, a fault with its traceback in the log; exit status 2 and 1. The log of a
    job that ends well ends with what it took (`spent`), from here on: without the start of Python.
    """
    began = perf_counter()
    _start_over_unless(threads)
    os.environ.update(dict.fromkeys(POOLS, str(threads)))
    console = sys.stderr
    path = Path(log)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file, redirect_stderr(file):
        try:
            yield
            file.write(f"\ndone in {perf_counter() - began:.1f} s, at most {_peak_mb()} MB of memory\n")
            file.flush()
        except Exception as error:
            said, status = _words(error, path), 1 if _is_fault(error) else 2
            console.write(f"whatwhere: {said}\n")  # first: on a full disk there is no log
            console.flush()
            with suppress(OSError):
                traceback.print_exc(file=file) if status == 1 else file.write(f"whatwhere: {said}\n")
                file.flush()
            os._exit(status) if _is_full(error) else sys.exit(status)


#: What the system says where a disk is full, or not to be written to.
_FULL = (errno.ENOSPC, errno.EDQUOT)
_BARRED = (errno.EROFS, errno.EACCES, errno.EPERM)


def _is_full(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in _FULL


def _is_fault(error: BaseException) -> bool:
    """Whether it is none of what a person can do something about."""
    barred = isinstance(error, OSError) and error.errno in _BARRED
    return not (isinstance(error, InputError | MemoryError) or barred or _is_full(error))


def _words(error: Exception, log: Path) -> str:
    """One line: what went wrong, where, what to do."""
    where = getattr(error, "filename", None) or log.parent
    if isinstance(error, InputError):
        return str(error)
    if _is_full(error):
        left = bytes_words(shutil.disk_usage(log.parent).free)
        return f"{where}: expected room on the disk, got none ({left} free); make room there and run again: {_STAYS}"
    if isinstance(error, MemoryError):
        return f"{log}: expected enough memory for this job, got too little ({line(error)}); {_LESS}: {_STAYS}"
    if _is_fault(error):
        return f"{type(error).__name__}: {line(error)} (traceback in {log})"
    return f"{where}: expected to write there, got {line(error)}; change its permissions and run again: {_STAYS}"


_STAYS = "what is finished stays"
_LESS = "give the run more, or choose smaller images or shards"


def log_of(logs: Path, artifact: Path) -> Path:
    """The log, in a run's folder of `logs`, of the job that wrote an artifact, which is given by its place in the run.

    Of `a.json` and `a.instances.json` it is one.
    """
    log = logs / artifact.with_suffix(".log")
    shorter = log.with_suffix("").with_suffix(".log")
    return shorter if shorter.exists() and not log.exists() else log


def spent(log: Path) -> Spent | None:
    """What the job with this log took; None for one that is not there, or of a job that did not end well."""
    try:
        lines = log.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return None
    said = _SPENT.fullmatch(lines[-1]) if lines else None
    return Spent(float(said["seconds"]), int(said["megabytes"])) if said else None


def _start_over_unless(threads: int) -> None:
    loaded = getattr(sys.modules["__main__"], "LOADED_THREADS", threads)
    if loaded != threads:
        os.execv(sys.executable, [sys.executable, *sys.argv])


def _peak_mb() -> int:
    try:
        return round(memory_mb("self", "VmHWM"))
    except InputError:  # only Linux tells
        return 0
