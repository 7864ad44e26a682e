"""What every data set yields: records of one type, read lazily."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Int16, UInt8

#: Label of pixels that no score counts.
IGNORE = -1


@dataclass(frozen=True)
class Instance:
    """One object: its class (index into `Dataset.classes`) and its visible pixels.

    `crowd`: a group outlined together, which no score counts. `box`: left, top, width and height in pixels, where the
    data set has its own beside the mask.
    """

    category: int
    mask: Bool[np.ndarray, "y x"]
    crowd: bool = False
    box: tuple[float, float, float, float] | None = None


def nothing() -> tuple:
    """What a record answers for labels, instances or captions that its data set does not have."""
    return ()


@dataclass(frozen=True)
class Record:
    """One image with whatever ground truth its data set has.

    `id` is unique in the data set and safe as a file name. The callables read from disk (or render) at
    each call and keep nothing, so a data set of any size fits in memory. `labels` answers one map per
    annotator at the image's own size (class indices, or segment numbers where the data set names no
    classes; `IGNORE` where nothing is scored).
    """

    id: str
    image: Callable[[], UInt8[np.ndarray, "y x 3"]]
    labels: Callable[[], tuple[Int16[np.ndarray, "y x"], ...]] = nothing
    instances: Callable[[], tuple[Instance, ...]] = nothing
    captions: Callable[[], tuple[str, ...]] = nothing


@dataclass(frozen=True)
class Dataset:
    """A named sequence of records. `classes` is empty where labels are segments without names."""

    name: str
    records: tuple[Record, ...]
    classes: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    """How many things of what kind lie with the data and are none of it."""
    took: str = ""
    """Which of several releases, and how much of it, was found and is read."""
