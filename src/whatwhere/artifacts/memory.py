"""How much memory a process has, had, or may have."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Literal

from whatwhere.artifacts.errors import InputError


def memory_mb(process: int | Literal["self"], name: Literal["RssAnon", "VmHWM"]) -> float:
    """Memory of a process in units of 10⁶ bytes, as Linux tells it: anonymous and resident now (`RssAnon`), or all
    that was ever resident at a time since it started its program (`VmHWM`); 0 where it has ended.

    Not `getrusage`: what that answers begins with the peak of the process that started this one. Raises `InputError`
    where there is no such system.
    """
    file = Path(f"/proc/{process}/status")
    try:
        found = file.read_text().partition(f"{name}:")[2].split()
    except OSError as error:
        raise InputError(f"memory: expected Linux's {file}, got {error.strerror}; measure on Linux") from error
    return int(found[0]) * 1024 / 1e6 if found else 0.0


def free_bytes() -> float:
    """How much more memory this process may take: what the machine has to spare, its control group's limit and its own
    (`ulimit -v`), whichever is least; infinity where nobody tells.
    """
    return min(_spare(), _left_of_group(), _left_of_limit())


def _spare() -> float:
    with suppress(OSError, ValueError, IndexError):
        return 1.0 * int(Path("/proc/meminfo").read_text().partition("MemAvailable:")[2].split()[0]) * 1024
    return float("inf")


def _left_of_group() -> float:
    """Control groups, version 2: in a container the root's is the container's own."""
    group = Path("/sys/fs/cgroup")
    with suppress(OSError, ValueError):
        return (
            1.0 * int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()) + _cached(group)
        )
    return float("inf")


def _cached(group: Path) -> int:
    """What the group holds of files, which gives way."""
    return int((group / "memory.stat").read_text().partition("\ninactive_file ")[2].split()[0])


def _left_of_limit() -> float:
    with suppress(OSError, ValueError, IndexError, ImportError):
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft != resource.RLIM_INFINITY:
            return 1.0 * soft - int(Path("/proc/self/status").read_text().partition("VmSize:")[2].split()[0]) * 1024
    return float("inf")
