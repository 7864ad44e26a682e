"""Draws the blocks and things of a scene over its background: one pass of polygons, then tables of looks.

Every part gets a number; a single integer canvas holds, per pixel, the number of the nearest part. Colours,
labels and instances are looked up in tables by that number, so image and ground truth cannot disagree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Int32, Int64
from PIL import Image, ImageDraw, ImageFilter

from whatwhere.scenes.noise import fractal
from whatwhere.scenes.stuff import View
from whatwhere.scenes.world import LABEL, TOWARD, Light, Part, Plan, Thing

#: Codes from here on are things: FIRST_THING + the thing's place in the plan. Below are class indices.
FIRST_THING = 100
#: By class: whether shadows fall on it.
_GROUND = np.isin(np.arange(FIRST_THING), [LABEL["grass"], LABEL["road"], LABEL["sand"]])


@dataclass(frozen=True)
class Sheet:
    """Parts ready for drawing, in order: image coordinates of all corners and the tables of their looks.

    `polygons` lists (part, first corner, corner after the last).
    """

    corners: Float[np.ndarray, "corner xy"]
    polygons: list[tuple[int, int, int]]
    colour: Float32[np.ndarray, "part rgb"]
    grain: Float32[np.ndarray, " part"]
    round: Float32[np.ndarray, " part"]
    opacity: Float32[np.ndarray, " part"]
    code: Int32[np.ndarray, " part"]
    owner: Int32[np.ndarray, " part"]
    boxes: Float[np.ndarray, "thing side"]


def codes(plan: Plan) -> list[int]:
    """The code of each block, then of each thing, in drawing order."""
    return [block.label for block in plan.blocks] + [FIRST_THING + index for index in range(len(plan.things))]


def sheet(plan: Plan) -> Sheet:
    """Projects every part of a plan, which has at least one block or thing, and lights it."""
    owners = (*plan.blocks, *plan.things)
    parts = [part for thing in owners for part in thing.parts]
    owner = np.repeat(np.arange(len(owners)), [len(thing.parts) for thing in owners])
    counts = np.array([part.corners.shape[0] * part.corners.shape[1] for part in parts], np.int64)
    starts = np.cumsum(counts) - counts
    local = np.concatenate([part.corners.reshape(-1, 3) for part in parts])
    pose = _poses(owners)
    world = _place(local, pose[owner.repeat(counts)], move=True)
    image = plan.camera.project(world)
    looks = np.array([(part.grain, part.round, part.opacity) for part in parts], np.float32)
    depth = np.add.reduceat(world[:, 2], starts) / counts
    colour, haze = _light(plan.light, parts, pose[owner], depth)
    first = starts[np.searchsorted(owner, np.arange(len(owners)))]
    return Sheet(
        corners=image,
        polygons=_polygons(parts, starts.tolist()),
        colour=colour.astype(np.float32),
        grain=looks[:, 0] * (1.0 - haze[:, 0].astype(np.float32)),
        round=looks[:, 1],
        opacity=looks[:, 2],
        code=np.array(codes(plan), np.int32)[owner],
        owner=owner.astype(np.int32),
        boxes=np.concatenate([np.minimum.reduceat(image, first), np.maximum.reduceat(image, first)], 1),
    )


def _poses(owners: Sequence[Thing]) -> Float[np.ndarray, "owner 4"]:
    """Where each stands, x and z, and the cosine and sine of its yaw."""
    return np.array([(thing.x_m, thing.z_m, np.cos(thing.yaw), np.sin(thing.yaw)) for thing in owners])


def _place(
    local: Float[np.ndarray, "n xyz"], pose: Float[np.ndarray, "n 4"], *, move: bool
) -> Float[np.ndarray, "n xyz"]:
    """Turns by the yaw (from x toward z) and, for points, moves to the thing's foot."""
    x, z, cosine, sine = pose.T
    along, away = local[:, 0], local[:, 2]
    turned = np.stack([along * cosine - away * sine, local[:, 1], along * sine + away * cosine], 1)
    return turned + np.stack([x, np.zeros_like(x), z], 1) if move else turned


def _light(
    light: Light, parts: list[Part], pose: Float[np.ndarray, "part 4"], depth: Float[np.ndarray, " part"]
) -> tuple[Float[np.ndarray, "part rgb"], Float[np.ndarray, "part 1"]]:
    """Lit colours with haze, and the haze's share."""
    normal = _place(np.array([part.normal for part in parts]), pose, move=False)
    normal[[part.normal == TOWARD for part in parts]] = TOWARD
    base, glow = np.array([part.colour for part in parts]), np.array([[part.glow] for part in parts])
    # ASSUME: things are round, so even against the light some of it reaches the side we see.
    lit = base * (light.on(normal) + 0.22 * light.key)
    lit += glow * (base - lit)
    haze = 1.0 - np.exp(-np.maximum(depth, 0.0)[:, None] / light.haze_m)
    return lit + haze * (1.0 - 0.8 * glow) * (light.horizon - lit), haze


def _polygons(parts: list[Part], starts: list[int]) -> list[tuple[int, int, int]]:
    answer = []
    for index, (part, start) in enumerate(zip(parts, starts, strict=True)):
        polygons, corners = part.corners.shape[:2]
        answer += [(index, at, at + corners) for at in range(start, start + polygons * corners, corners)]
    return answer


def without(drawn: Sheet, hidden: Bool[np.ndarray, " owner"], kept: Plan) -> Sheet:
    """The sheet less the polygons of some owners, with the codes of the plan that is left."""
    code = np.zeros(len(hidden), np.int32)
    code[~hidden] = codes(kept)
    gone = hidden[drawn.owner].tolist()
    polygons = [polygon for polygon in drawn.polygons if not gone[polygon[0]]]
    return replace(drawn, polygons=polygons, code=code[drawn.owner])


def draw(drawn: Sheet, size_px: int, *, clear: bool = False) -> Int32[np.ndarray, "y x"]:
    """Number of the nearest part + 1 per pixel, 0 for none; of the see-through parts if `clear`."""
    canvas = Image.new("I", (size_px, size_px))
    pen = ImageDraw.Draw(canvas)
    through = (drawn.opacity < 1.0).tolist()
    flat = (drawn.corners * size_px - 0.5).ravel().tolist()
    for part, start, stop in drawn.polygons:
        if through[part] == clear:
            pen.polygon(flat[2 * start : 2 * stop], fill=part + 1)
    return np.asarray(canvas)


def visible(parts: Int32[np.ndarray, "y x"], drawn: Sheet) -> Int64[np.ndarray, " owner"]:
    """Pixels that each block and thing shows."""
    per_part = np.bincount(parts.ravel(), minlength=len(drawn.owner) + 1)[1:]
    return np.bincount(drawn.owner, per_part, minlength=len(drawn.boxes)).astype(np.int64)


def shade(view: View, drawn: Sheet, light: Light) -> None:
    """Colours and codes of the pixels that parts cover, in place; reflections show on water only."""
    size = len(view.x)
    if (drawn.opacity < 1.0).any():
        mirrored = draw(drawn, size, clear=True) * (view.code == LABEL["water"])
        where = np.flatnonzero(mirrored)
        part = mirrored.ravel()[where] - 1
        opacity = drawn.opacity.take(part)
        for channel, paint in zip(view.colour.reshape(3, -1), drawn.colour.T, strict=True):
            channel[where] += opacity * (paint.take(part) - channel[where])
    parts = draw(drawn, size)
    where = np.flatnonzero(parts)
    part = parts.ravel()[where] - 1
    row, column = np.divmod(where, size)
    factor = _texture(view, drawn, part, row, column, float(light.sun[0]))
    for channel, paint in zip(view.colour.reshape(3, -1), drawn.colour.T, strict=True):
        channel[where] = paint.take(part) * factor
    view.code.ravel()[where] = drawn.code.take(part)


def _texture(
    view: View,
    drawn: Sheet,
    part: Int[np.ndarray, " n"],
    row: Int[np.ndarray, " n"],
    column: Int[np.ndarray, " n"],
    sun_x: float,
) -> Float32[np.ndarray, " n"]:
    """Brightness of covered pixels: leafy grain, and roundness from where they lie within their object."""
    step = np.float32(256.0 / len(view.x))
    leaf = fractal(1.0, 20.0)[(row * step).astype(np.int32) + 40, (column * step).astype(np.int32) + 90]
    boxes = drawn.boxes.astype(np.float32)
    width, height = (1.0 / np.maximum(boxes[:, i + 2] - boxes[:, i], 1e-4) for i in (0, 1))
    table = np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, 2.0 * width, boxes[:, 3], height], 1)
    middle, scale_x, bottom, scale_y = table[drawn.owner].take(part, 0).T
    across = np.clip((view.x[column] - middle) * scale_x, -1.0, 1.0)
    upward = (bottom - view.y[row]) * scale_y
    factor = drawn.round.take(part) * (np.float32(0.45 * sun_x) * across + 0.25 * upward - 0.15)
    factor += drawn.grain.take(part) * leaf
    return np.maximum(factor + 1.0, 0.15)


def cast_shadows(view: View, plan: Plan) -> None:
    """Soft shadows on the ground, in place: one under each object and, in sunlight, one away from the sun."""
    owners = [thing for thing in (*plan.blocks, *plan.things) if thing.label != LABEL["boat"]]
    if not owners:
        return
    size = len(view.x) // 2
    canvas = Image.new("L", (size, size))
    pen = ImageDraw.Draw(canvas)
    sun = plan.light.sun
    sunlight = float(plan.light.key.max()) * max(float(sun[1]), 0.2)
    foot, cast = _shadows(owners, sun)
    darkness = [(cast, int(min(150.0, 260.0 * sunlight)))] if sunlight > 0.12 else []
    for rings, dark in (*darkness, (foot, 165)):
        points = plan.camera.project(rings.reshape(-1, 3)) * size - 0.5
        for outline in points.reshape(len(owners), -1).tolist():
            pen.polygon(outline, fill=dark)
    soft = np.asarray(canvas.filter(ImageFilter.GaussianBlur(size / 110.0)), np.float32)
    dark = soft.repeat(2, 0).repeat(2, 1) * _GROUND[view.code]
    view.colour *= 1.0 - np.float32(0.75 / 255.0) * dark


def _shadows(
    owners: list[Thing], sun: Float[np.ndarray, " xyz"]
) -> tuple[Float[np.ndarray, "owner corner xyz"], Float[np.ndarray, "owner corner xyz"]]:
    """On the ground: the rings around the feet, and the same drawn out to where the tops' shadows fall."""
    turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ring = np.stack([np.cos(turn), np.zeros(12), np.sin(turn)], 1)
    # The ellipse around a rectangle's corners is a little too large, the one within a little too small.
    size = 1.1 * np.array([(thing.half_m[0], 0.0, thing.half_m[1]) for thing in owners])[:, None]
    pose = _poses(owners)
    foot = _place((ring * size).reshape(-1, 3), pose.repeat(len(ring), 0), move=True)
    foot = foot.reshape(len(owners), len(ring), 3)
    reach = np.array([thing.height_m for thing in owners]) / max(float(sun[1]), 0.3)
    away = -np.array((sun[0], 0.0, sun[2]))
    return foot, foot + (ring @ away > 0)[:, None] * away * reach[:, None, None]
