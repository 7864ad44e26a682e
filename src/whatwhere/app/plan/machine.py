"""How fast a machine is: published peaks of named GPUs, and this machine's own processor, measured in half a second."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from whatwhere.artifacts.errors import InputError

#: ASSUME: of the published peaks so much is reached by convolutions, attention and large products.
GPU_UTILISATION = 0.4
#: Of the rate at which this processor multiplies matrices, and moves memory. Measured on two cores: a ViT-S/16 at
#: 448 px reaches 0.58 to 0.79 of the first.
CPU_UTILISATION = 0.6
#: Seconds of one backward pass of a descent beside its arithmetic: measured 0.4 to 0.7 ms at 256 tokens on a CPU.
#: ASSUME: as much on a GPU, where it is the start of some fifty kernels.
PASS_S = 1e-3


@dataclass(frozen=True)
class Rate:
    """What is reached, utilisation included: operations a second in 32 bits and in 16, and bytes moved a second."""

    name: str
    flop_s: float
    half_flop_s: float
    bytes_s: float


@dataclass(frozen=True)
class Gpu:
    """Published peaks: TFLOP/s of float32 without TF32, which torch leaves off; of 16 bits; GB/s of its memory."""

    float32_tflops: float
    half_tflops: float
    gb_s: float


#: From the vendor's data sheets; of 16 bits dense, with float32 accumulation.
GPUS = {
    "A10": Gpu(31.2, 125.0, 600.0),
    "A40": Gpu(37.4, 149.7, 696.0),
    "A100": Gpu(19.5, 312.0, 2039.0),
    "H100": Gpu(66.9, 989.0, 3350.0),
    "H200": Gpu(66.9, 989.0, 4800.0),
    "L4": Gpu(30.3, 121.0, 300.0),
    "L40S": Gpu(91.6, 362.0, 864.0),
    "RTX 3090": Gpu(35.6, 71.0, 936.0),
    "RTX 4090": Gpu(82.6, 165.0, 1008.0),
    "T4": Gpu(8.1, 65.0, 320.0),
    "V100": Gpu(15.7, 125.0, 900.0),
}


def gpu_rate(name: str) -> Rate:
    """What is expected of a GPU of `GPUS`, however its name is written. Raises `InputError` for another."""
    known = {_plain(one): one for one in GPUS}
    if _plain(name) not in known:
        raise InputError(f"--gpu: expected one of {', '.join(GPUS)}, got {name!r}; choose the nearest")
    found = known[_plain(name)]
    gpu = GPUS[found]
    tflops = (gpu.float32_tflops * 1e12, gpu.half_tflops * 1e12)
    return Rate(found, *(GPU_UTILISATION * peak for peak in (*tflops, gpu.gb_s * 1e9)))


def cpu_rate() -> Rate:
    """This processor with all its cores: products of float32 matrices, and sums over 4 MiB, which a cache holds."""
    import numpy as np

    side, numbers = 1024, 2**20
    matrix = np.ones((side, side), np.float32)
    row, out, sums = np.ones(numbers, np.float32), np.empty_like(matrix), np.empty(numbers, np.float32)
    product_s = _fastest(lambda: np.matmul(matrix, matrix, out=out), 0.4)
    sum_s = _fastest(lambda: np.add(row, row, out=sums), 0.1)
    flop_s, bytes_s = 2 * side**3 / product_s, 12 * numbers / sum_s
    # ASSUME: a processor is no faster in 16 bits than in 32
    return Rate(f"CPU ({cores()} cores)", *(CPU_UTILISATION * rate for rate in (flop_s, flop_s, bytes_s)))


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _fastest(action: Callable[[], object], seconds: float) -> float:
    """The least time that `action` took within so many seconds: others may be using the machine."""
    action()
    least, end = float("inf"), time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        action()
        least = min(least, time.perf_counter() - start)
    return least


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())
