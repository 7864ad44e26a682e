"""Houses and town buildings of a rendered scene (see `figures` for the form of a model)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from whatwhere.scenes.figures import Model, Setting, pick
from whatwhere.scenes.solids import GLASS, LAMP, Face, foot, one, panes, prism, rectangles
from whatwhere.scenes.world import Colour, Part

_WALLS: tuple[Colour, ...] = (
    (0.9, 0.88, 0.82), (0.85, 0.76, 0.6), (0.62, 0.34, 0.26), (0.8, 0.62, 0.5), (0.55, 0.6, 0.65),
    (0.93, 0.84, 0.55), (0.5, 0.36, 0.26),
)  # fmt: skip
_ROOFS: tuple[Colour, ...] = ((0.55, 0.22, 0.15), (0.35, 0.2, 0.16), (0.28, 0.29, 0.32), (0.62, 0.33, 0.2))
_DOORS: tuple[Colour, ...] = ((0.35, 0.2, 0.12), (0.15, 0.3, 0.22), (0.6, 0.12, 0.1), (0.2, 0.25, 0.4))
_AWNINGS: tuple[Colour, ...] = ((0.6, 0.15, 0.15), (0.15, 0.35, 0.3), (0.85, 0.8, 0.7))
_FACADES: tuple[Colour, ...] = (
    (0.62, 0.36, 0.28), (0.78, 0.72, 0.62), (0.6, 0.6, 0.6), (0.85, 0.8, 0.68), (0.5, 0.45, 0.42),
    (0.45, 0.5, 0.56), (0.72, 0.55, 0.42), (0.82, 0.82, 0.82),
)  # fmt: skip


def house(rng: np.random.Generator, setting: Setting) -> Model:
    """A gabled house: walls, windows, a door, an overhanging roof, sometimes a chimney."""
    half, depth = rng.uniform(3.2, 4.6), rng.uniform(3.8, 6.0)
    eaves = rng.choice((2.8, 3.2, 5.2, 5.8))
    ridge = eaves + half * rng.uniform(0.65, 1.0)
    wall, roof = pick(rng, _WALLS), pick(rng, _ROOFS, 0.04)
    trim = roof * 0.7 if rng.random() < 0.25 else np.array((0.9, 0.9, 0.87))
    parts = []
    if rng.random() < 0.6:
        stack = np.array([(-0.4, ridge - 1.5), (0.4, ridge - 1.5), (0.4, ridge + 1.0), (-0.4, ridge + 1.0)])
        parts += [one(face, (0.5, 0.3, 0.25)) for face in prism(stack, 0.4, setting.eye)]
    outline = np.array([(-half, 0.0), (half, 0.0), (half, eaves), (0.0, ridge), (-half, eaves)])
    faces = prism(outline, depth, setting.eye)
    slopes = [face for face in faces if face.edge in (2, 3)]
    for face in faces:
        if face.edge not in (2, 3):
            parts += [one(face, wall, grain=0.025), *_openings(rng, face, eaves, trim, setting.lamps)]
    # The roof runs on past the wall by 0.6 m: the tip of the gable's slope.
    run = np.hypot(half, ridge - eaves)
    tip = np.array((half, eaves - ridge)) * (run + 0.6) / run + (0.0, ridge + 0.1)
    parts += [_roof(face, tip, ridge + 0.1, depth + 0.4, roof) for face in slopes]
    parts += [_bargeboard(face, tip, ridge, roof * 0.75) for face in faces if face.edge < 0]
    return Model(parts, (half, depth), ridge)


def _roof(face: Face, tip: np.ndarray, ridge: float, depth: float, colour: np.ndarray) -> Part:
    side = 1.0 if face.edge == 2 else -1.0
    corners = [(side * tip[0], tip[1], -depth), (side * tip[0], tip[1], depth)]
    return Part(np.array([[*corners, (0.0, ridge, depth), (0.0, ridge, -depth)]]), colour, face.normal, grain=0.06)


def _bargeboard(face: Face, tip: np.ndarray, ridge: float, colour: np.ndarray) -> Part:
    """The edge of the roof as seen on the gable."""
    z = face.corners[0, 2] * 1.06
    upper = [(tip[0], tip[1]), (0.0, ridge + 0.2), (-tip[0], tip[1])]
    lower = [(-tip[0], tip[1] - 0.35), (0.0, ridge - 0.25), (tip[0], tip[1] - 0.35)]
    corners = np.array([[(x, y, z) for x, y in upper + lower]])
    # Two convex halves, because the chevron as a whole is not.
    left, right = corners[:, [1, 2, 3, 4]], corners[:, [0, 1, 4, 5]]
    return Part(np.concatenate([left, right]), colour, face.normal)


def _openings(rng: np.random.Generator, face: Face, eaves: float, trim: np.ndarray, lamps: float) -> list[Part]:
    """Framed windows on every floor of a wall and, on some, a door."""
    span, floors = foot(face)[2], 1 if eaves < 4 else 2
    count = max(int(span / 2.6), 1)
    left = np.tile((np.arange(count) + 0.5) * span / count - 0.5, floors)
    low = np.repeat(1.0 + 2.6 * np.arange(floors), count)
    parts = []
    if rng.random() < 0.7:
        door = int(rng.integers(count))
        corners = rectangles(face, left[door : door + 1], np.zeros(1), 1.05, 2.1)
        parts.append(Part(corners, pick(rng, _DOORS), face.normal))
        left, low = np.delete(left, door), np.delete(low, door)
    if len(left) == 0:
        return parts
    parts.append(Part(rectangles(face, left - 0.12, low - 0.12, 1.24, 1.44), trim, face.normal))
    return parts + panes(face, rectangles(face, left, low, 1.0, 1.2), rng.random(len(low)) < lamps, GLASS)


class _Facade(NamedTuple):
    """How all walls of one building look; `floor_m` and `bay_m` are the spacings of its windows."""

    wall: np.ndarray
    glass: np.ndarray
    bands: bool
    cornice: bool
    shop: bool
    floor_m: float
    bay_m: float


def building(
    rng: np.random.Generator, setting: Setting, *, half: float, depth: float, tall: float, distance_m: float
) -> Model:
    """A town house or tower `2 half` wide, `2 depth` deep: facades with rows of windows, a shop below.

    `distance_m` to the viewer decides how many windows are worth drawing.
    """
    facade = _Facade(
        wall=pick(rng, _FACADES),
        glass=pick(rng, ((0.16, 0.2, 0.26), (0.3, 0.38, 0.45), (0.2, 0.2, 0.22)), 0.03),
        bands=rng.random() < 0.3,
        cornice=rng.random() < 0.7,
        shop=rng.random() < 0.6,
        floor_m=max(rng.uniform(3.0, 3.8), distance_m / 45.0),
        bay_m=max(rng.uniform(2.2, 3.4), distance_m / 45.0),
    )
    outline = np.array([(-half, 0.0), (half, 0.0), (half, tall), (-half, tall)])
    parts = []
    for face in prism(outline, depth, setting.eye):
        roof = face.edge == 2
        parts.append(one(face, facade.wall * (0.6 if roof else 1.0), grain=0.03))
        if not roof and foot(face)[2] > 2.5:
            parts += _windows(rng, face, facade, tall, setting.lamps)
            parts += _trimmings(rng, face, facade, tall, setting.lamps > 0.3)
    return Model(parts, (half, depth), tall)


def _windows(rng: np.random.Generator, face: Face, facade: _Facade, tall: float, lamps: float) -> list[Part]:
    """A grid of windows, or ribbons of them."""
    span = foot(face)[2]
    columns, rows = max(int(span / facade.bay_m), 1), max(int((tall - 1.2) / facade.floor_m), 1)
    step, lift = span / columns, (tall - 0.8) / rows
    left = np.tile((np.arange(columns) + 0.2) * step, rows)
    low = np.repeat((np.arange(rows) + 0.32) * lift, columns)
    wide, high = step * (1.0 if facade.bands else 0.58), lift * (0.5 if facade.bands else 0.55)
    corners = rectangles(face, left, low, wide, high)
    return panes(face, corners, rng.random(len(low)) < lamps, facade.glass)


def _trimmings(rng: np.random.Generator, face: Face, facade: _Facade, tall: float, lit: bool) -> list[Part]:
    """A shop front with its awning at the foot, a cornice at the top."""
    span, parts = foot(face)[2], []
    if facade.shop:
        front = rectangles(face, np.array([0.04 * span]), np.array([0.3]), 0.92 * span, 2.2)
        awning = rectangles(face, np.array([0.02 * span]), np.array([2.5]), 0.96 * span, 0.6)
        parts.append(Part(front, LAMP if lit else (0.17, 0.2, 0.23), face.normal, glow=0.6 * lit))
        parts.append(Part(awning, pick(rng, _AWNINGS), face.normal))
    if facade.cornice:
        ledge = rectangles(face, np.zeros(1), np.array([tall - 0.7]), span, 0.7)
        parts.append(Part(ledge, facade.wall * 1.15, face.normal))
    return parts
