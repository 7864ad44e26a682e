"""How much memory a process has, or had."""

from __future__ import annotations

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
