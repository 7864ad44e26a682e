"""How steps are timed, and on what machine."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from whatwhere.artifacts.progress import progress

Result = TypeVar("Result")

REPEATS = 3
#: What takes longer is timed once, its first run: warming up no longer shows.
LONG_S = 1.0


def machine(device: torch.device | str) -> str:
    """What computes on `device`: the GPU where that is one, the processor, and the threads that it computes with."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    gpu = f"{torch.cuda.get_device_name(device)}, " if torch.device(device).type == "cuda" else ""
    return f"{gpu}{(models or [platform.processor() or platform.machine()])[0]}, {torch.get_num_threads()} threads"


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def timed(action: Callable[[], Result], *, busy: bool = False) -> tuple[float, Result]:
    """Seconds that `action` took, and what it answered. `busy`: others use this machine, so that what counts are
    seconds of the processors that this process had, all threads together.
    """
    clock = time.process_time if busy else time.perf_counter
    _finish()
    start = clock()
    result = action()
    _finish()
    return clock() - start, result


def _finish() -> None:
    """Waits for a GPU, whose work is only queued."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def median(action: Callable[[], Result]) -> tuple[float, Result]:
    """Median seconds of `REPEATS` runs, which a slow first one does not move, or of one longer than `LONG_S`."""
    first_s, result = timed(action)
    if first_s > LONG_S:
        return first_s, result
    runs = [timed(action) for _ in progress(range(REPEATS - 1), "timing")]
    return float(np.median([first_s, *(seconds for seconds, _ in runs)])), runs[-1][1]
