"""Rendered scenes as a data set, with exact labels, instances and captions (see `whatwhere.scenes`)."""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np
from jaxtyping import Int16, UInt8

from whatwhere.artifacts.errors import InputError
from whatwhere.datasets.record import Dataset, Instance, Record
from whatwhere.scenes.render import Scene, render
from whatwhere.scenes.world import CLASSES


@lru_cache(maxsize=64)
def _rendered(seed: int, size_px: int) -> Scene:
    """The last scenes: whoever goes through a set several times renders each once."""
    return render(seed, size_px=size_px)


def _image(seed: int, size_px: int) -> UInt8[np.ndarray, "y x 3"]:
    return _rendered(seed, size_px).image.copy()


def _labels(seed: int, size_px: int) -> tuple[Int16[np.ndarray, "y x"], ...]:
    return (_rendered(seed, size_px).labels.copy(),)


def _masks(seed: int, size_px: int) -> tuple[Instance, ...]:
    return tuple(Instance(one.category, one.mask.copy()) for one in _rendered(seed, size_px).instances)


def _captions(seed: int, size_px: int) -> tuple[str, ...]:
    return (_rendered(seed, size_px).caption,)


def load(name: str, *, images: int, size_px: int, first_seed: int) -> Dataset:
    """`images` scenes of the seeds from `first_seed` on.

    Each is rendered when it is read (13 ms at 128 pixels).
    Raises `InputError` for a negative number of images or seed, or a size below 16 pixels.
    """
    if images < 0 or size_px < 16 or first_seed < 0:
        got = f"images {images}, size_px {size_px}, first_seed {first_seed}"
        raise InputError(f"data set {name}: expected images >= 0, size_px >= 16, first_seed >= 0, got {got}")
    records = tuple(
        Record(
            id=f"scene-{seed:06d}",
            image=partial(_image, seed, size_px),
            labels=partial(_labels, seed, size_px),
            instances=partial(_masks, seed, size_px),
            captions=partial(_captions, seed, size_px),
        )
        for seed in range(first_seed, first_seed + images)
    )
    return Dataset(name, records, CLASSES)
