"""Draws the blocks and things of a scene over its background: one pass of polygons, then tables of looks.

Every part gets a number; a single integer canvas holds, per pixel, the number of the nearest part. Colours,
labels and instances are looked up in tables by that number, so image and ground truth cannot disagree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int32
from PIL import Image, ImageDraw, ImageFilter

from whatwhere.datasets.scene_noise import fractal
from whatwhere.datasets.scene_stuff import View
from whatwhere.datasets.scene_world import LABEL, Camera, Light, Part, Plan, Thing

#: Codes from here on are things: FIRST_THING + the thing's place in the plan. Below are class indices.
FIRST_THING = 100


@dataclass(frozen=True)
class Sheet:
    """Parts ready for drawing, in order: image coordinates of all corners and the tables of their looks."""

    outlines: list[tuple[int, list[float]]]
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
    """Projects every part of a plan and lights it."""
    owners = (*plan.blocks, *plan.things)
    parts = [part for thing in owners for part in thing.parts]
    owner = np.repeat(np.arange(len(owners)), [len(thing.parts) for thing in owners])
    counts = np.array([part.corners.shape[0] * part.corners.shape[1] for part in parts])
    local = np.concatenate([part.corners.reshape(-1, 3) for part in parts])
    pose = np.array([(thing.x_m, thing.z_m, np.cos(thing.yaw), np.sin(thing.yaw)) for thing in owners])
    point_owner = np.repeat(owner, counts)
    world = _place(local, pose[point_owner], move=True)
    image = plan.camera.project(world)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    depth = np.add.reduceat(world[:, 2], starts) / counts
    normal = _place(np.array([part.normal for part in parts]), pose[owner], move=False)
    upright = np.array([part.normal[2] == -0.89 for part in parts])
    normal[upright] = (0.0, 0.45, -0.89)
    looks = np.array([(part.grain, part.round, part.glow, part.opacity) for part in parts], np.float32)
    base = np.array([part.colour for part in parts])
    colour, haze = _light(plan.light, base, normal, looks[:, 2:3], depth)
    first = np.concatenate([[0], np.cumsum([sum(len(p.corners) * p.corners.shape[1] for p in t.parts) for t in owners])])[:-1]
    low, high = np.minimum.reduceat(image, first), np.maximum.reduceat(image, first)
    return Sheet(
        outlines=_outlines(parts, image, starts),
        colour=colour.astype(np.float32),
        grain=looks[:, 0] * (1.0 - haze[:, 0].astype(np.float32)),
        round=looks[:, 1],
        opacity=looks[:, 3],
        code=np.array(codes(plan), np.int32)[owner],
        owner=owner.astype(np.int32),
        boxes=np.concatenate([low, high], 1),
    )


def _place(local: np.ndarray, pose: np.ndarray, *, move: bool) -> np.ndarray:
    """Turns by the yaw (from x toward z) and, for points, moves to the thing's foot."""
    x, z, cosine, sine = pose.T
    turned = np.stack([local[:, 0] * cosine - local[:, 2] * sine, local[:, 1], local[:, 0] * sine + local[:, 2] * cosine], 1)
    if move:
        turned[:, 0] += x
        turned[:, 2] += z
    return turned


def _light(
    light: Light, base: np.ndarray, normal: np.ndarray, glow: np.ndarray, depth: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Lit colours [part, rgb] with haze, and the haze's share [part, 1]."""
    haze = 1.0 - np.exp(-np.maximum(depth, 0.0)[:, None] / light.haze_m)
    lit = base * light.on(normal)
    lit += glow * (base - lit)
    return lit + haze * (1.0 - 0.8 * glow) * (light.horizon - lit), haze


def _outlines(parts: list[Part], image: np.ndarray, starts: np.ndarray) -> list[tuple[int, list[float]]]:
    flat, answer = image.ravel().tolist(), []
    for index, (part, start) in enumerate(zip(parts, starts.tolist(), strict=True)):
        polygons, corners = part.corners.shape[:2]
        for polygon in range(polygons):
            begin = 2 * (start + polygon * corners)
            answer.append((index, flat[begin : begin + 2 * corners]))
    return answer


def draw(drawn: Sheet, size_px: int) -> tuple[Int32[np.ndarray, "y x"], Int32[np.ndarray, "y x"]]:
    """Part number + 1 per pixel (0: background) of the solid parts, and of the see-through ones."""
    solid, clear = Image.new("I", (size_px, size_px)), None
    pen = ImageDraw.Draw(solid)
    through = drawn.opacity < 1.0
    clear_pen = None
    if through.any():
        clear = Image.new("I", (size_px, size_px))
        clear_pen = ImageDraw.Draw(clear)
    for index, outline in drawn.outlines:
        target = clear_pen if through[index] else pen
        target.polygon([value * size_px - 0.5 for value in outline], fill=index + 1)
    return np.asarray(solid), np.asarray(clear) if clear is not None else np.zeros((1, 1), np.int32)


def shade(view: View, drawn: Sheet, parts: Int32[np.ndarray, "y x"], light: Light) -> None:
    """Colours and codes of the pixels that parts cover, in place."""
    size = len(view.x)
    where = np.flatnonzero(parts)
    part = parts.ravel()[where] - 1
    colour = drawn.colour.take(part, 0)
    row, column = np.divmod(where, size)
    step = np.float32(256.0 / size)
    texture = fractal(1.0, 20.0)[(row * step).astype(np.int32) + 40, (column * step).astype(np.int32) + 90]
    box = drawn.boxes[drawn.owner].astype(np.float32).take(part, 0)
    across = 2.0 * (view.x[column] - box[:, 0]) / np.maximum(box[:, 2] - box[:, 0], 1e-4) - 1.0
    upward = (box[:, 3] - view.y[row]) / np.maximum(box[:, 3] - box[:, 1], 1e-4)
    roundness = drawn.round.take(part)
    factor = 1.0 + drawn.grain.take(part) * texture
    factor += roundness * (0.45 * np.float32(light.sun[0]) * np.clip(across, -1, 1) + 0.25 * (upward - 0.6))
    colour *= np.maximum(factor, 0.15)[:, None]
    opacity = drawn.opacity.take(part)
    flat = view.colour.reshape(-1, 3)
    if (opacity < 1.0).any():
        colour = flat[where] + opacity[:, None] * (colour - flat[where])
    flat[where] = colour
    solid = opacity == 1.0
    view.code.ravel()[where[solid]] = drawn.code.take(part[solid])


def cast_shadows(view: View, plan: Plan) -> None:
    """Soft shadows on the ground, in place: one under each object and, in sunlight, one away from the sun."""
    size = len(view.x) // 2
    canvas = Image.new("L", (size, size))
    pen = ImageDraw.Draw(canvas)
    sunlight = float(plan.light.key.max()) * max(float(plan.light.sun[1]), 0.2)
    for thing in (*plan.blocks, *plan.things):
        if thing.label != LABEL["boat"]:
            _shadow(pen, plan.camera, plan.light, thing, size, sunlight)
    soft = canvas.filter(ImageFilter.GaussianBlur(size / 110.0))
    dark = np.asarray(soft, np.float32).repeat(2, 0).repeat(2, 1) / 255.0
    ground = np.isin(view.code, [LABEL["grass"], LABEL["road"], LABEL["sand"]])
    view.colour *= (1.0 - 0.75 * dark * ground)[..., None]


def _shadow(pen: ImageDraw.ImageDraw, camera: Camera, light: Light, thing: Thing, size: int, sunlight: float) -> None:
    """The ground between an object's foot and where its top's shadow falls, and a darker spot at the foot."""
    turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ring = np.stack([np.cos(turn), np.zeros(12), np.sin(turn)], 1)
    foot = ring * (thing.radius_m, 0.0, min(thing.radius_m, 1.0)) * 0.9 + (thing.x_m, 0.0, thing.z_m)
    if sunlight > 0.12:
        reach = min(thing.height_m / max(float(light.sun[1]), 0.25), 3.0 * thing.height_m)
        shift = -reach * np.array((light.sun[0], 0.0, light.sun[2]))
        ahead = (ring @ np.array((shift[0], 0.0, shift[2])) > 0)[:, None]
        _fill(pen, camera, foot + ahead * shift, size, int(min(150.0, 260.0 * sunlight)))
    _fill(pen, camera, foot, size, 165)


def _fill(pen: ImageDraw.ImageDraw, camera: Camera, points: np.ndarray, size: int, dark: int) -> None:
    pen.polygon((camera.project(points) * size - 0.5).ravel().tolist(), fill=dark)
