"""GPUs that are not here, by their published peaks."""

from __future__ import annotations

from whatwhere.artifacts.errors import InputError

#: ASSUME: of the published peaks so much is reached by convolutions, attention and large products.
UTILISATION = 0.4
#: From the vendor's data sheets: TFLOP/s of float32 without TF32, which torch leaves off, and of 16 bits, dense, with
#: float32 accumulation.
GPUS = {
    "A10": (31.2, 125.0),
    "A40": (37.4, 149.7),
    "A100": (19.5, 312.0),
    "H100": (66.9, 989.0),
    "H200": (66.9, 989.0),
    "L4": (30.3, 121.0),
    "L40S": (91.6, 362.0),
    "RTX 3090": (35.6, 71.0),
    "RTX 4090": (82.6, 165.0),
    "T4": (8.1, 65.0),
    "V100": (15.7, 125.0),
}


def gpu_called(name: str) -> str:
    """One of `GPUS`, however its name is written. Raises `InputError` for another."""
    found = next((one for one in GPUS if one.replace(" ", "") == name.replace(" ", "").replace("-", "").upper()), None)
    if not found:
        raise InputError(f"--gpu: expected one of {', '.join(GPUS)}, got {name!r}; choose the nearest")
    return found


def forward_s(name: str, flop: float, *, half: bool) -> float:
    """Seconds of so many operations of a network, in 16 bits (`half`) or 32."""
    return flop / (UTILISATION * 1e12 * GPUS[name][half])
