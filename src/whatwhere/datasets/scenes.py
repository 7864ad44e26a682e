"""Rendered scenes with exact ground truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
from jaxtyping import Float32, Int16, Int32, UInt8

from whatwhere.datasets.record import Dataset, Instance, Record
from whatwhere.datasets.scene_places import compose
from whatwhere.datasets.scene_raster import FIRST_THING, cast_shadows, draw, shade, sheet
from whatwhere.datasets.scene_stuff import View, paint
from whatwhere.datasets.scene_world import CLASSES, THINGS, Plan

SUPERSAMPLING = 2


@dataclass(frozen=True)
class Scene:
    image: UInt8[np.ndarray, "y x 3"]
    labels: Int16[np.ndarray, "y x"]
    instances: tuple[Instance, ...]
    caption: str


def render(seed: int, *, size_px: int = 128) -> Scene:
    plan = compose(np.random.default_rng(seed))
    canvas = size_px * SUPERSAMPLING
    view = paint(plan, canvas)
    code = view.code
    cast_shadows(view, plan)
    if plan.things or plan.blocks:
        drawn = sheet(plan)
        parts, clear = draw(drawn, canvas)
        if clear.size > 1:
            w = view.code == 6
            shade(view, drawn, np.where(w, clear, 0), plan.light)
        shade(view, drawn, parts, plan.light)
    code = view.code[::2, ::2]
    table = np.concatenate([np.arange(100), [t.label for t in plan.things]]).astype(np.int16)
    labels = table[code]
    img = view.colour.reshape(size_px, 2, size_px, 2, 3).mean((1, 3))
    rng = np.random.default_rng([seed, 1])
    img = img + rng.normal(0, 0.012, img.shape)
    image = (np.clip(img, 0, 1) * 255).astype(np.uint8)
    return Scene(image, labels, (), plan.layout)
