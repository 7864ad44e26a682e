"""Natural-looking randomness for rendered scenes: periodic noise fields, made once, and their sampling."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float32

#: Texels of one period of a noise field, in either direction (a power of two: wrapping is a bit mask).
PERIOD = 512


@lru_cache(maxsize=8)
def fractal(slope: float, low: float = 1.0, seed: int = 0) -> Float32[np.ndarray, "y x"]:
    """A periodic Gaussian field whose amplitude spectrum falls as frequency^-slope; mean 0, deviation 1.

    `low` is the lowest frequency kept, in cycles per period: the outer scale of the texture. The array is
    [PERIOD + 1, PERIOD + 1] with the first row and column repeated at the end, so that interpolation needs
    no wrapping.
    """
    frequency = np.hypot(np.fft.fftfreq(PERIOD)[:, None], np.fft.rfftfreq(PERIOD)[None]) * PERIOD
    amplitude = np.where(frequency >= low, np.maximum(frequency, 1.0) ** -slope, 0.0)
    rng = np.random.default_rng([seed, int(slope * 100), int(low * 100)])
    phase = rng.uniform(0.0, 2 * np.pi, amplitude.shape)
    field = np.fft.irfft2(amplitude * np.exp(1j * phase), s=(PERIOD, PERIOD))
    # Rounding hides the last bits, in which Fourier transforms differ from one processor to another.
    field = np.round((field - field.mean()) / field.std(), 4).astype(np.float32)
    return np.pad(field, ((0, 1), (0, 1)), mode="wrap")


def sample(
    field: Float32[np.ndarray, "py px"], y: Float32[np.ndarray, "..."], x: Float32[np.ndarray, "..."]
) -> Float32[np.ndarray, "..."]:
    """The field at texel coordinates (y, x), which broadcast, wrap around and need not be whole: bilinear."""
    row, column = np.floor(y), np.floor(x)
    down, right = y - row, x - column
    mask, stride = PERIOD - 1, PERIOD + 1
    corner = (row.astype(np.int32) & mask) * stride + (column.astype(np.int32) & mask)
    flat = field.ravel()
    near = flat.take(corner)
    near += right * (flat.take(corner + 1) - near)
    corner += stride
    far = flat.take(corner)
    far += right * (flat.take(corner + 1) - far)
    far -= near
    far *= down
    far += near
    return far


def line(
    field: Float32[np.ndarray, "py px"], x: Float32[np.ndarray, " x"], *, texels: float, origin: float
) -> Float32[np.ndarray, " x"]:
    """A one-dimensional profile: one row of the field, `texels` of them across x from 0 to 1."""
    return sample(field, np.full_like(x, origin), origin * 7.0 + x * np.float32(texels))


def smooth_step(value: Float32[np.ndarray, "..."]) -> Float32[np.ndarray, "..."]:
    """0 below 0, 1 above 1, and a smooth rise between."""
    t = np.clip(value, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)
