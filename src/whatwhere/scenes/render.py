"""Rendered scenes: pictures of places that never were, drawn from a seed, with exact ground truth.

A scene is composed in metres (`places`), seen by a pinhole camera and painted from far to near on a
canvas twice as fine as the image (`stuff`, `raster`). Image, labels and instances come from that
one canvas. Nothing but the seed decides what a scene shows; its size in pixels only decides how finely.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Int16, UInt8

from whatwhere.artifacts.errors import InputError
from whatwhere.scenes.caption import caption
from whatwhere.scenes.ground import paint_ground, paint_water
from whatwhere.scenes.places import compose
from whatwhere.scenes.raster import (
    FIRST_THING,
    Sheet,
    cast_shadows,
    draw,
    shade,
    sheet,
    visible,
    without,
)
from whatwhere.scenes.stuff import View, paint_clouds, paint_range, paint_sky, paint_tree_line
from whatwhere.scenes.world import CLASSES, THINGS, Light, Plan, Visible

__all__ = ["CLASSES", "THINGS", "Scene", "render"]

#: Canvas pixels per image pixel, along each side.
SUPERSAMPLING = 2
#: Canvas on which it is decided what is too hidden to be drawn, whatever the size of the image.
_REFERENCE_PX = 256
#: Least number of its pixels that a thing must show: 30 pixels of a 128-pixel image.
_LEAST_VISIBLE = 120


@dataclass(frozen=True)
class Scene:
    """One rendered image with its ground truth: every pixel labelled, one mask per visible thing."""

    image: UInt8[np.ndarray, "y x 3"]
    labels: Int16[np.ndarray, "y x"]
    instances: tuple[Visible, ...]
    caption: str


def render(seed: int, *, size_px: int = 128) -> Scene:
    """The scene of a seed, `size_px` high and wide: the same seed and size give the same bytes.

    Raises `InputError` for a size below 16 pixels or a negative seed.
    """
    if size_px < 16 or seed < 0:
        raise InputError(f"expected a seed >= 0 and size_px >= 16, got seed {seed} and size_px {size_px}")
    plan, drawn = _settle(compose(np.random.default_rng(seed)))
    view = _paint(plan, SUPERSAMPLING * size_px)
    if drawn is not None:
        cast_shadows(view, plan)
        shade(view, drawn, plan.light)
    image = _develop(view.colour, plan.light, rng=np.random.default_rng([seed, 1]))
    labels, owner = _truth(view.code, plan)
    instances = _instances(owner, plan)
    words = caption(labels, instances, plan.light.phrase, rng=np.random.default_rng([seed, 2]))
    return Scene(image, labels, instances, words)


def _paint(plan: Plan, canvas_px: int) -> View:
    """Everything that has no outline of its own, from far to near."""
    view = View.blank(plan, canvas_px)
    paint_sky(view)
    paint_clouds(view, plan.clouds)
    for mountains in plan.ranges:
        paint_range(view, mountains)
    paint_ground(view, plan)
    for trees in plan.tree_lines:
        paint_tree_line(view, trees)
    paint_water(view, plan)
    return view


def _settle(plan: Plan) -> tuple[Plan, Sheet | None]:
    """Leaves out the things of which too little would show, and prepares the rest, if any, for drawing."""
    if not (plan.blocks or plan.things):
        return plan, None
    drawn = sheet(plan)
    counts = visible(draw(drawn, _REFERENCE_PX), drawn)
    hidden = counts < _LEAST_VISIBLE
    hidden[: len(plan.blocks)] = False
    if not hidden.any():
        return plan, drawn
    shown = ~hidden[len(plan.blocks) :]
    kept = replace(plan, things=tuple(thing for thing, keep in zip(plan.things, shown, strict=True) if keep))
    return kept, without(drawn, hidden, kept)


def _truth(code: Int16[np.ndarray, "Y X"], plan: Plan) -> tuple[Int16[np.ndarray, "y x"], Int16[np.ndarray, "y x"]]:
    """Class of every image pixel, and the index of the thing there or -1."""
    winner = majority(code)
    stuff = np.arange(FIRST_THING, dtype=np.int16)
    table = np.concatenate([stuff, np.array([thing.label for thing in plan.things], np.int16)])
    return table[winner], np.maximum(winner - FIRST_THING, -1).astype(np.int16)


def majority(code: Int16[np.ndarray, "Y X"]) -> Int16[np.ndarray, "y x"]:
    """The commonest code of every block of 2 by 2 pixels; of equally common ones the greatest.

    Codes grow from far to near, so a tie goes to what is nearer, and thin near things keep their pixels.
    """
    a, b, c, d = (code[y::2, x::2] for y in (0, 1) for x in (0, 1))
    # A sorting network for four: least <= low <= high <= most.
    a, b, c, d = np.minimum(a, b), np.maximum(a, b), np.minimum(c, d), np.maximum(c, d)
    least, most = np.minimum(a, c), np.maximum(b, d)
    a, b = np.maximum(a, c), np.minimum(b, d)
    low, high = np.minimum(a, b), np.maximum(a, b)
    only_least = (least == low) & (high != most)
    return np.where((low == high) | only_least, low, most)


def _instances(owner: Int16[np.ndarray, "y x"], plan: Plan) -> tuple[Visible, ...]:
    found = np.bincount(owner.ravel() + 1, minlength=len(plan.things) + 1)[1:]
    return tuple(Visible(thing.label, owner == index) for index, thing in enumerate(plan.things) if found[index])


def _develop(
    colour: Float32[np.ndarray, "3 Y X"], light: Light, *, rng: np.random.Generator
) -> UInt8[np.ndarray, "y x 3"]:
    """What a camera makes of the light: exposure, colour cast, soft lens, vignette, noise."""
    rows = colour[:, ::2] + colour[:, 1::2]
    image = rows[..., ::2] + rows[..., 1::2]
    # ASSUME: the camera half corrects for brightness, so that dusk stays darker than noon.
    level = float(image.mean()) / 4.0
    gain = np.clip((0.44 / max(level, 1e-3)) ** 0.5, 0.8, 1.35) * rng.uniform(0.9, 1.12)
    image *= (gain / 4.0 * rng.uniform(0.96, 1.04, (3, 1, 1))).astype(np.float32)
    _soften(image, float(rng.uniform(0.0, 0.1)))
    across = np.linspace(-1, 1, image.shape[1], dtype=np.float32) ** 2
    image *= 1.0 - np.float32(rng.uniform(0.0, 0.1)) * (across[:, None] + across)
    # A soft shoulder keeps bright skies and sails from clipping.
    image *= 1.12 / (1.0 + 0.22 * image * image)
    noise = rng.standard_normal(image.shape, np.float32)
    noise *= np.float32(rng.uniform(0.003, 0.014) * (1.5 if light.lamps > 0.5 else 1.0))
    image += noise
    np.clip(image, 0.0, 1.0, out=image)
    return np.ascontiguousarray((image * 255.0 + 0.5).astype(np.uint8).transpose(1, 2, 0))


def _soften(image: Float32[np.ndarray, "3 y x"], share: float) -> None:
    """Mixes every pixel with its four neighbours, in place."""
    around = image[:, :-2, 1:-1] + image[:, 2:, 1:-1]
    around += image[:, 1:-1, :-2]
    around += image[:, 1:-1, 2:]
    middle = image[:, 1:-1, 1:-1]
    middle *= np.float32(1.0 - 4.0 * share)
    middle += np.float32(share) * around
