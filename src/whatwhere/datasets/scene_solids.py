"""Things and buildings with volume: prisms of which only the faces that the viewer can see are drawn.

The models share the form of `scene_figures`: parts in metres from the foot, in the thing's own frame, whose x
axis is the direction a car drives or a house's gable is wide.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from whatwhere.datasets.scene_figures import Model, Setting, disc, pick
from whatwhere.datasets.scene_world import Colour, Part

_GLASS: Colour = (0.13, 0.19, 0.25)
_LAMP: Colour = (1.0, 0.82, 0.45)


class Face(NamedTuple):
    """One visible side. `edge` is its edge of the profile, or -1 and -2 for the caps at -width and +width."""

    corners: Float[np.ndarray, "corner xyz"]
    normal: tuple[float, float, float]
    edge: int


def prism(profile: Float[np.ndarray, "corner xy"], half_width: float, eye: Float[np.ndarray, " xyz"]) -> list[Face]:
    """The faces of an extruded outline (counter-clockwise) that look toward the eye, far to near, caps last."""
    start, end = profile, np.roll(profile, -1, 0)
    delta = end - start
    normals = np.stack([delta[:, 1], -delta[:, 0], np.zeros(len(delta))], 1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    towards = normals[:, 0] * (eye[0] - start[:, 0]) + normals[:, 1] * (eye[1] - start[:, 1])
    distance = np.hypot(*((start + end) / 2 - eye[:2]).T)
    faces = []
    for edge in np.argsort(-distance):
        if towards[edge] > 1e-3:
            (x0, y0), (x1, y1) = start[edge], end[edge]
            quad = [(x0, y0, -half_width), (x1, y1, -half_width), (x1, y1, half_width), (x0, y0, half_width)]
            faces.append(Face(np.array(quad), tuple(normals[edge]), int(edge)))
    if abs(eye[2]) > half_width:
        side = float(np.sign(eye[2]))
        cap = np.column_stack([profile, np.full(len(profile), side * half_width)])
        faces.append(Face(cap, (0.0, 0.0, side), -1 if side < 0 else -2))
    return faces


def one(face: Face, colour: Colour | np.ndarray, **look: float) -> Part:
    """A face as a part."""
    return Part(face.corners[None], colour, face.normal, **look)


def rectangles(
    face: Face, left: Float[np.ndarray, " n"], low: Float[np.ndarray, " n"], wide: float, tall: float
) -> Float[np.ndarray, "n corner xyz"]:
    """Upright rectangles on a vertical face, in metres from its lower corner along it."""
    a, b = _foot(face)
    along = (b - a) / max(float(np.linalg.norm(b - a)), 1e-6)
    across = np.asarray(left, float)[:, None] + (0.0, wide, wide, 0.0)
    up = np.asarray(low, float)[:, None] + (0.0, 0.0, tall, tall)
    return a + across[..., None] * along + up[..., None] * (0.0, 1.0, 0.0)


def _foot(face: Face) -> tuple[np.ndarray, np.ndarray]:
    """The two lower corners of a wall."""
    lower = face.corners[np.argsort(face.corners[:, 1], kind="stable")[:2]]
    return lower[0], lower[1]


def _span(face: Face) -> float:
    a, b = _foot(face)
    return float(np.linalg.norm(b - a))


def panes(
    face: Face, corners: Float[np.ndarray, "n corner xyz"], lit: Bool[np.ndarray, " n"], glass: Colour | np.ndarray
) -> list[Part]:
    """Windows, the lit ones glowing."""
    parts = []
    if not lit.all():
        parts.append(Part(corners[~lit], glass, face.normal, glow=0.15))
    if lit.any():
        parts.append(Part(corners[lit], _LAMP, face.normal, glow=0.85))
    return parts


_WALLS: tuple[Colour, ...] = (
    (0.9, 0.88, 0.82), (0.85, 0.76, 0.6), (0.62, 0.34, 0.26), (0.8, 0.62, 0.5), (0.55, 0.6, 0.65), (0.93, 0.84, 0.55),
    (0.5, 0.36, 0.26),
)  # fmt: skip
_ROOFS: tuple[Colour, ...] = ((0.55, 0.22, 0.15), (0.35, 0.2, 0.16), (0.28, 0.29, 0.32), (0.62, 0.33, 0.2))


def house(rng: np.random.Generator, setting: Setting) -> Model:
    """A gabled house: walls, windows, a door, an overhanging roof, sometimes a chimney."""
    half, depth = rng.uniform(3.2, 4.6), rng.uniform(3.8, 6.0)
    eaves = rng.choice((2.8, 3.2, 5.2, 5.8))
    ridge = eaves + half * rng.uniform(0.65, 1.0)
    wall, roof, trim = pick(rng, _WALLS), pick(rng, _ROOFS, 0.04), (0.9, 0.9, 0.87)
    if rng.random() < 0.25:
        trim = tuple(roof * 0.7)
    outline = np.array([(-half, 0.0), (half, 0.0), (half, eaves), (0.0, ridge), (-half, eaves)])
    parts = []
    if rng.random() < 0.6:
        stack = np.array([(-0.4, ridge - 1.5), (0.4, ridge - 1.5), (0.4, ridge + 1.0), (-0.4, ridge + 1.0)])
        parts += [one(face, (0.5, 0.3, 0.25)) for face in prism(stack, 0.4, setting.eye)]
    faces = prism(outline, depth, setting.eye)
    for face in faces:
        if face.edge not in (2, 3):
            parts += [one(face, wall, grain=0.025), *_openings(rng, face, eaves, trim, setting.lamps)]
    slope = np.array((half, eaves - ridge)) / np.hypot(half, ridge - eaves)
    tip = np.array((0.0, ridge + 0.1)) + slope * (np.hypot(half, ridge - eaves) + 0.6)
    for face in faces:
        if face.edge in (2, 3):
            side = 1.0 if face.edge == 2 else -1.0
            cover = [(side * tip[0], tip[1], z) for z in (-depth - 0.4, depth + 0.4)]
            cover += [(0.0, ridge + 0.1, z) for z in (depth + 0.4, -depth - 0.4)]
            parts.append(Part(np.array([cover]), roof, face.normal, grain=0.06))
        elif face.edge < 0:
            parts.append(_bargeboard(face, tip, ridge, roof * 0.75))
    return Model(parts, max(half, depth) + 0.5, ridge)


def _bargeboard(face: Face, tip: np.ndarray, ridge: float, colour: np.ndarray) -> Part:
    """The edge of the roof as seen on the gable."""
    z = face.corners[0, 2] * 1.06
    upper = [(tip[0], tip[1]), (0.0, ridge + 0.2), (-tip[0], tip[1])]
    lower = [(-tip[0], tip[1] - 0.35), (0.0, ridge - 0.25), (tip[0], tip[1] - 0.35)]
    corners = np.array([[(x, y, z) for x, y in upper + lower]])
    # Two convex halves, because the chevron as a whole is not.
    left, right = corners[:, [1, 2, 3, 4]], corners[:, [0, 1, 4, 5]]
    return Part(np.concatenate([left, right]), colour, face.normal)


def _openings(
    rng: np.random.Generator, face: Face, eaves: float, trim: Colour, lamps: float
) -> list[Part]:
    """Framed windows on every floor of a wall and, on some, a door."""
    span, floors = _span(face), 1 if eaves < 4 else 2
    count = max(int(span / 2.6), 1)
    left = (np.arange(count) + 0.5) * span / count - 0.5
    lows = [1.0 + 2.6 * floor for floor in range(floors)]
    lefts, low = np.tile(left, floors), np.repeat(lows, count)
    parts = []
    if rng.random() < 0.7:
        door = int(rng.integers(count))
        lefts, low = np.delete(lefts, door), np.delete(low, door)
        colour = pick(rng, ((0.35, 0.2, 0.12), (0.15, 0.3, 0.22), (0.6, 0.12, 0.1), (0.2, 0.25, 0.4)))
        parts.append(Part(rectangles(face, left[door : door + 1], np.zeros(1), 1.05, 2.1), colour, face.normal))
    if len(lefts) == 0:
        return parts
    parts.append(Part(rectangles(face, lefts - 0.12, low - 0.12, 1.24, 1.44), trim, face.normal))
    return parts + panes(face, rectangles(face, lefts, low, 1.0, 1.2), rng.random(len(low)) < lamps, _GLASS)


_FACADES: tuple[Colour, ...] = (
    (0.62, 0.36, 0.28), (0.78, 0.72, 0.62), (0.6, 0.6, 0.6), (0.85, 0.8, 0.68), (0.5, 0.45, 0.42), (0.45, 0.5, 0.56),
    (0.72, 0.55, 0.42), (0.82, 0.82, 0.82),
)  # fmt: skip


def building(
    rng: np.random.Generator, setting: Setting, *, half: float, depth: float, tall: float, distance_m: float
) -> Model:
    """A town house or tower `2 half` wide, `2 depth` deep: facades with rows of windows, a shop below.

    `distance_m` to the viewer decides how many windows are worth drawing.
    """
    wall = pick(rng, _FACADES)
    glass = pick(rng, ((0.16, 0.2, 0.26), (0.3, 0.38, 0.45), (0.2, 0.2, 0.22)), 0.03)
    bands, floor = rng.random() < 0.3, rng.uniform(3.0, 3.8)
    outline = np.array([(-half, 0.0), (half, 0.0), (half, tall), (-half, tall)])
    cornice, shop = rng.random() < 0.7, rng.random() < 0.6
    pitch = max(rng.uniform(2.2, 3.4), distance_m / 45.0)
    parts = []
    for face in prism(outline, depth, setting.eye):
        parts.append(one(face, wall if face.edge != 2 else wall * 0.6, grain=0.03))
        span = _span(face)
        if face.edge == 2 or span < 2.5:
            continue
        columns, rows = max(int(span / pitch), 1), max(int((tall - 1.2) / max(floor, distance_m / 45.0)), 1)
        step, lift = span / columns, (tall - 0.8) / rows
        across = (np.arange(columns) + 0.2) * step
        up = (np.arange(rows) + 0.32) * lift
        wide, high = (step * (1.0 if bands else 0.58), lift * (0.5 if bands else 0.55))
        lefts, lows = np.tile(across, rows), np.repeat(up, columns)
        parts += panes(face, rectangles(face, lefts, lows, wide, high), rng.random(len(lows)) < setting.lamps, glass)
        if shop:
            front = rectangles(face, np.array([0.04 * span]), np.array([0.3]), 0.92 * span, 2.2)
            parts.append(Part(front, _LAMP if setting.lamps > 0.3 else (0.17, 0.2, 0.23), face.normal, glow=0.6 * (setting.lamps > 0.3)))
            awning = rectangles(face, np.array([0.02 * span]), np.array([2.5]), 0.96 * span, 0.6)
            parts.append(Part(awning, pick(rng, ((0.6, 0.15, 0.15), (0.15, 0.35, 0.3), (0.85, 0.8, 0.7))), face.normal))
        if cornice:
            parts.append(Part(rectangles(face, np.zeros(1), np.array([tall - 0.7]), span, 0.7), wall * 1.15, face.normal))
    return Model(parts, max(half, depth), tall)


class _Body(NamedTuple):
    """Side view of a car: outline, which of its edges are glass, the side windows, the axles' positions."""

    outline: tuple[tuple[float, float], ...]
    glass: tuple[int, ...]
    windows: tuple[tuple[tuple[float, float], ...], ...]
    axles: tuple[float, float]


_BODIES: tuple[_Body, ...] = (
    _Body(
        ((-2.2, 0.28), (2.2, 0.28), (2.2, 0.65), (2.1, 0.78), (1.05, 0.92), (0.35, 1.42), (-1.05, 1.45), (-1.75, 1.0), (-2.2, 0.95)),
        (4, 6),
        (((0.85, 0.96), (0.28, 1.36), (-0.25, 1.38), (-0.25, 0.96)), ((-0.35, 0.96), (-0.35, 1.38), (-1.0, 1.38), (-1.5, 0.98))),
        (-1.35, 1.4),
    ),
    _Body(
        ((-1.9, 0.28), (1.9, 0.28), (1.9, 0.7), (1.8, 0.82), (1.0, 0.98), (0.35, 1.5), (-1.5, 1.52), (-1.9, 0.95)),
        (4, 6),
        (((0.85, 1.0), (0.3, 1.43), (-0.3, 1.44), (-0.3, 1.0)), ((-0.4, 1.0), (-0.4, 1.44), (-1.4, 1.44), (-1.6, 1.0))),
        (-1.2, 1.2),
    ),
    _Body(
        ((-2.3, 0.3), (2.3, 0.3), (2.3, 0.9), (1.9, 1.15), (1.35, 2.0), (-2.2, 2.05), (-2.3, 1.9)),
        (3,),
        (((1.65, 1.2), (1.25, 1.85), (0.5, 1.87), (0.5, 1.2)),),
        (-1.4, 1.45),
    ),
    _Body(
        ((-2.5, 0.35), (2.5, 0.35), (2.5, 0.85), (2.4, 0.98), (1.3, 1.08), (0.7, 1.72), (-0.4, 1.72), (-0.55, 1.08), (-2.5, 1.05)),
        (4, 6),
        (((1.1, 1.12), (0.65, 1.63), (-0.3, 1.63), (-0.4, 1.12)),),
        (-1.5, 1.55),
    ),
)  # fmt: skip
_PAINTS: tuple[Colour, ...] = (
    (0.75, 0.08, 0.08), (0.1, 0.22, 0.55), (0.88, 0.88, 0.88), (0.12, 0.12, 0.13), (0.55, 0.57, 0.6), (0.9, 0.75, 0.15),
    (0.12, 0.35, 0.25), (0.35, 0.6, 0.78), (0.8, 0.42, 0.12),
)  # fmt: skip


def car(rng: np.random.Generator, setting: Setting) -> Model:
    """A saloon, hatchback, van or pick-up with windows, wheels and lights."""
    body = _BODIES[rng.choice(4, p=(0.35, 0.35, 0.17, 0.13))]
    paint, outline = pick(rng, _PAINTS, 0.04), np.array(body.outline)
    half, length = 0.88, float(outline[:, 0].max())
    lit = setting.lamps > 0.25
    faces = prism(outline, half, setting.eye)
    parts = [_tyres_seen_from_the_end(end * length * 0.85, half) for end in (-1.0, 1.0)]
    for face in faces:
        colour = _GLASS if face.edge in body.glass else paint
        parts.append(one(face, colour, glow=0.1 if face.edge in body.glass else 0.0))
        if abs(face.normal[0]) > 0.85 and face.edge >= 0:
            parts += _lights(face, float(face.normal[0]) > 0, half, lit)
        if face.edge < 0:
            parts += _side(body, float(face.corners[0, 2]), face)
    return Model(parts, length, float(outline[:, 1].max()))


def _tyres_seen_from_the_end(x: float, half: float) -> Part:
    corners = [[(x, 0.0, z), (x, 0.0, z + 0.26), (x, 0.4, z + 0.26), (x, 0.4, z)] for z in (-half, half - 0.26)]
    return Part(np.array(corners), (0.07, 0.07, 0.07))


def _lights(face: Face, front: bool, half: float, lit: bool) -> list[Part]:
    """A pair of lamps, high on the end of the car, and a dark bumper with a number plate."""
    x, low, high = float(face.corners[0, 0]), face.corners[:, 1].min(), face.corners[:, 1].max()
    if high - low < 0.25:
        return []
    top, bottom = low + 0.92 * (high - low), low + 0.6 * (high - low)
    lamps = np.array([[(x, bottom, z), (x, bottom, z + 0.34), (x, top, z + 0.34), (x, top, z)] for z in (-half + 0.06, half - 0.4)])
    dark = np.array([[(x, low, -half), (x, low, half), (x, low + 0.16, half), (x, low + 0.16, -half)]])
    plate = np.array([[(x, low + 0.17, -0.26), (x, low + 0.17, 0.26), (x, low + 0.3, 0.26), (x, low + 0.3, -0.26)]])
    colour = (1.0, 0.95, 0.75) if front else (0.85, 0.08, 0.06)
    return [
        Part(dark, (0.12, 0.12, 0.13), face.normal),
        Part(plate, (0.9, 0.9, 0.8), face.normal),
        Part(lamps, colour, face.normal, glow=1.0 if lit else 0.25),
    ]


def _side(body: _Body, z: float, face: Face) -> list[Part]:
    """Side windows, a dark sill and two wheels."""
    deep = lambda points: np.column_stack([points, np.full(len(points), z)])[None]  # noqa: E731
    parts = [Part(deep(np.array(window)), _GLASS, face.normal, glow=0.12) for window in body.windows]
    for x in body.axles:
        parts.append(Part(deep(disc(x, 0.34, 0.42, 0.42)), (0.05, 0.05, 0.06), face.normal))
        parts.append(Part(deep(disc(x, 0.32, 0.32, 0.32)), (0.09, 0.09, 0.1), face.normal))
        parts.append(Part(deep(disc(x, 0.32, 0.17, 0.17)), (0.55, 0.56, 0.58), face.normal))
    return parts
