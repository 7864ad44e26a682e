"""Dense CRF (Krähenbühl and Koltun, 2011): regions that follow the edges of the image ("+CRF", Table 3).

Mean field over two Gaussian kernels, one of positions and one of positions and colours, Potts compatibility:

    Q(x) ∝ exp(log p(x) + Σ_k w_k (D_k^-½ K_k D_k^-½ Q)(x)),   D_k = diag(K_k 1)

K is applied as in `whatwhere.evaluate.lattice`, built once for an image and used for all iterations and clusters.
The answers are those of the package pydensecrf, with nothing to compile.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Float32, UInt8

from whatwhere.artifacts.errors import InputError
from whatwhere.evaluate.lattice import gaussian_filter

#: Least probability of a cluster, as STEGO and MaskCut have it from their helper.
LEAST_PROBABILITY = 1e-5
#: Log-probabilities may be above zero by this much, the rounding of half precision.
ROUNDING = 1e-3


@dataclass(frozen=True)
class CrfSettings:
    """Standard deviations in pixels and in steps of 0–255 colours, and the weight of each kernel.

    `library` is "own" (this module) or "pydensecrf" (the optional package). Raises `InputError` for a number
    out of range.
    """

    iterations: int
    gaussian_px: float
    gaussian_weight: float
    bilateral_px: float
    bilateral_rgb: float
    bilateral_weight: float
    library: Literal["own", "pydensecrf"] = "own"

    def __post_init__(self) -> None:
        for name in ("gaussian_px", "bilateral_px", "bilateral_rgb"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{name}: expected a number above 0, got {getattr(self, name)}")
        for name in ("iterations", "gaussian_weight", "bilateral_weight"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"{name}: expected 0 or more, got {getattr(self, name)}")
        if self.library not in ("own", "pydensecrf"):
            raise InputError(f"library: expected own or pydensecrf, got {self.library}")


#: STEGO (Hamilton et al., 2022), which Table 3 follows.
STEGO = CrfSettings(10, 1.0, 3.0, 67.0, 3.0, 4.0)
#: MaskCut (Wang et al., 2023).
MASKCUT = CrfSettings(10, 3.0, 7.0, 50.0, 5.0, 10.0)


def refine(
    image: UInt8[np.ndarray, "_y _x 3"],
    log_probabilities: Float[np.ndarray, "cluster y x"],
    settings: CrfSettings = STEGO,
) -> Float32[np.ndarray, "cluster y x"]:
    """Probability of each cluster at each pixel after `settings.iterations` of mean field; the image is RGB.

    Where the probabilities given do not sum to 1, as after resizing, they are made to, and those below
    `LEAST_PROBABILITY` are raised to it, both as in STEGO's protocol; so -inf may be among them.

    Raises `InputError` for sizes that differ, no cluster, log-probabilities that are NaN or above 0, a pixel
    where all are -inf, Gaussians too narrow for the lattice, and where `library` is not installed.
    """
    _check(image, log_probabilities)
    unary = _log_softmax(np.asarray(log_probabilities, np.float32).reshape(len(log_probabilities), -1).T)
    np.clip(unary, math.log(LEAST_PROBABILITY), 0, out=unary)
    mean_field = _mean_field if settings.library == "own" else _pydensecrf
    return np.ascontiguousarray(mean_field(image, unary, settings).T).reshape(log_probabilities.shape)


def _check(image: np.ndarray, log_probabilities: np.ndarray) -> None:
    clusters, *size = log_probabilities.shape
    if [*image.shape[:2]] != size:
        grid = "×".join(map(str, image.shape[:2]))
        raise InputError(f"log_probabilities: expected {grid} pixels as in the image, got {'×'.join(map(str, size))}")
    if not clusters or not image.size:
        raise InputError(f"log_probabilities: expected a cluster and a pixel at least, got {log_probabilities.shape}")
    highest = log_probabilities.max(0)
    faults = np.argwhere(~((highest > -np.inf) & (highest <= ROUNDING)))
    if len(faults):
        y, x = faults[0]
        wanted = "expected at most 0 and not all -inf; give log_softmax over clusters"
        raise InputError(f"log_probabilities: {wanted}; got {highest[y, x]:.4g} at y {y}, x {x}")


def _mean_field(
    image: UInt8[np.ndarray, "_y _x 3"], unary: Float32[np.ndarray, "pixel cluster"], settings: CrfSettings
) -> Float32[np.ndarray, "pixel cluster"]:
    near = _features(image, settings.gaussian_px)
    alike = _features(image, settings.bilateral_px, settings.bilateral_rgb)
    terms = ((settings.gaussian_weight, near), (settings.bilateral_weight, alike))
    kernels = [gaussian_filter(features).normalised(weight) for weight, features in terms if weight]
    found = _softmax(unary.copy())
    for _ in range(settings.iterations):
        energy = unary.copy()
        for kernel in kernels:
            energy += kernel(found)
        found = _softmax(energy)
    return found


def _pydensecrf(
    image: UInt8[np.ndarray, "_y _x 3"], unary: Float32[np.ndarray, "pixel cluster"], settings: CrfSettings
) -> Float32[np.ndarray, "pixel cluster"]:
    try:
        from pydensecrf.densecrf import DenseCRF2D
    except ImportError as error:
        install = "pip install 'whatwhere[crf]', or set library: own"
        raise InputError(f"library: expected pydensecrf, but it is not installed; {install}") from error
    model = DenseCRF2D(image.shape[1], image.shape[0], unary.shape[1])
    model.setUnaryEnergy(np.ascontiguousarray(-unary.T))
    model.addPairwiseGaussian(sxy=settings.gaussian_px, compat=settings.gaussian_weight)
    model.addPairwiseBilateral(
        sxy=settings.bilateral_px,
        srgb=settings.bilateral_rgb,
        rgbim=np.ascontiguousarray(image),
        compat=settings.bilateral_weight,
    )
    return np.array(model.inference(settings.iterations), np.float32).T


def _features(
    image: UInt8[np.ndarray, "_y _x 3"], px: float, rgb: float | None = None
) -> Float32[np.ndarray, "pixel dimension"]:
    """x, y and, with `rgb`, the colours of each pixel in standard deviations."""
    y, x = np.indices(image.shape[:2]).reshape(2, -1, 1)
    position = np.hstack([x, y]) / np.float32(px)
    colours = [] if rgb is None else [image.reshape(-1, 3) / np.float32(rgb)]
    return np.hstack([position, *colours]).astype(np.float32)


def _softmax(logits: Float32[np.ndarray, "pixel cluster"]) -> Float32[np.ndarray, "pixel cluster"]:
    """Softmax of each row, in place."""
    logits -= logits.max(1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(1, keepdims=True)
    return logits


def _log_softmax(logits: Float32[np.ndarray, "pixel cluster"]) -> Float32[np.ndarray, "pixel cluster"]:
    logits = np.subtract(logits, logits.max(1, keepdims=True), order="C")
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))
