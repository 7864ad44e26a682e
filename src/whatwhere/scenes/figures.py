"""Persons and animals of a rendered scene: flat figures that face the viewer, and how to draw such figures.

Every model of a thing is `model(rng, setting) -> Model`; its parts are in metres from the foot, far to near.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from whatwhere.scenes.world import Colour, Part

_ANGLES = np.linspace(0.0, 2 * np.pi, 16, endpoint=False)
#: Corners of the unit circle that stands for every disc.
CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], 1)


class Setting(NamedTuple):
    """What a model must know of its surroundings: the eye in the thing's own frame, leaves, lamps lit."""

    eye: Float[np.ndarray, " xyz"]
    leaf: Colour
    lamps: float


class Model(NamedTuple):
    """Parts of one object, its half extents on the ground along its own x and z, and its height: metres."""

    parts: list[Part]
    half_m: tuple[float, float]
    height_m: float


def flat(
    points: Float[np.ndarray, "corner xy"],
    colour: Colour | np.ndarray,
    *,
    grain: float = 0.0,
    round: float = 0.0,
) -> Part:
    """One upright polygon from (across, up) points."""
    corners = np.zeros((1, len(points), 3))
    corners[0, :, :2] = points
    return Part(corners, colour, grain=grain, round=round)


def disc(x: float, y: float, rx: float, ry: float) -> Float[np.ndarray, "corner xy"]:
    """An ellipse."""
    return CIRCLE * (rx, ry) + (x, y)


def limb(
    start: tuple[float, float], end: tuple[float, float], wide: float, narrow: float
) -> Float[np.ndarray, "corner xy"]:
    """A tapering bar between two points, `wide` thick at the start."""
    (x0, y0), (x1, y1) = start, end
    length = max(float(np.hypot(x1 - x0, y1 - y0)), 1e-6)
    nx, ny = -(y1 - y0) / length / 2, (x1 - x0) / length / 2
    return np.array(
        [
            (x0 + nx * wide, y0 + ny * wide),
            (x1 + nx * narrow, y1 + ny * narrow),
            (x1 - nx * narrow, y1 - ny * narrow),
            (x0 - nx * wide, y0 - ny * wide),
        ]
    )


def blob(
    rng: np.random.Generator, x: float, y: float, rx: float, ry: float, rough: float
) -> Float[np.ndarray, "corner xy"]:
    """An ellipse with an uneven edge."""
    radius = 1.0 + rough * rng.uniform(-1.0, 1.0, (len(CIRCLE), 1))
    return CIRCLE * radius * (rx, ry) + (x, y)


def pick(rng: np.random.Generator, colours: tuple[Colour, ...], spread: float = 0.06) -> Float[np.ndarray, " rgb"]:
    """One of the colours, slightly changed."""
    return np.clip(np.array(colours[rng.integers(len(colours))]) + rng.uniform(-spread, spread, 3), 0.02, 1.0)


_CLOTHES: tuple[Colour, ...] = (
    (0.75, 0.12, 0.12), (0.12, 0.25, 0.65), (0.9, 0.9, 0.88), (0.12, 0.12, 0.14), (0.85, 0.7, 0.15),
    (0.2, 0.5, 0.3), (0.55, 0.55, 0.6), (0.8, 0.4, 0.55), (0.9, 0.5, 0.15), (0.3, 0.6, 0.75),
)  # fmt: skip
_TROUSERS: tuple[Colour, ...] = ((0.15, 0.18, 0.32), (0.1, 0.1, 0.1), (0.5, 0.43, 0.32), (0.3, 0.32, 0.36))
_SKIN: tuple[Colour, ...] = ((0.9, 0.72, 0.6), (0.75, 0.55, 0.42), (0.5, 0.34, 0.25), (0.35, 0.23, 0.17))
_HAIR: tuple[Colour, ...] = ((0.1, 0.08, 0.07), (0.3, 0.2, 0.12), (0.65, 0.5, 0.3), (0.6, 0.6, 0.6))


def person(rng: np.random.Generator, setting: Setting) -> Model:
    """A standing or walking man, woman or child, seen from the front, back or side."""
    tall = rng.uniform(1.55, 1.9) * (0.7 if rng.random() < 0.15 else 1.0)
    stride, side = rng.uniform(0.05, 0.22), rng.choice((-1.0, 1.0))
    stout = rng.uniform(0.9, 1.2)
    shirt, trousers, skin = pick(rng, _CLOTHES), pick(rng, _TROUSERS), pick(rng, _SKIN, 0.03)
    sleeve = skin if rng.random() < 0.4 else shirt * 0.85
    hair, swing = pick(rng, _HAIR, 0.03), rng.uniform(0.03, 0.14) * side
    hip, neck = 0.5, 0.83
    parts = [
        flat(limb((-0.035, hip), (-stride * 0.5, 0.02), 0.1 * stout, 0.065), trousers * 0.8, round=0.5),
        flat(limb((0.035, hip), (stride * 0.5, 0.0), 0.1 * stout, 0.065), trousers, round=0.5),
        flat(disc(-stride * 0.5 + 0.02 * side, 0.02, 0.055, 0.022), (0.1, 0.08, 0.08)),
        flat(disc(stride * 0.5 + 0.02 * side, 0.012, 0.055, 0.022), (0.1, 0.08, 0.08)),
        flat(limb((-0.1 * stout, 0.79), (-0.13 * stout - swing, 0.46), 0.06, 0.045), sleeve * 0.85, round=0.5),
    ]
    waist, shoulder = 0.085 * stout, 0.125 * stout
    torso = [(-waist, hip - 0.03), (waist, hip - 0.03), (shoulder, neck - 0.05), (0.05, neck), (-0.05, neck)]
    parts.append(flat(np.array([*torso, (-shoulder, neck - 0.05)]), shirt, round=0.6))
    if rng.random() < 0.25:
        hem = rng.uniform(0.25, 0.4)
        skirt = [(-waist, hip + 0.02), (waist, hip + 0.02), (waist * 1.6, hem), (-waist * 1.6, hem)]
        parts.append(flat(np.array(skirt), shirt * rng.uniform(0.7, 1.0), round=0.6))
    parts += [
        flat(limb((0.1 * stout, 0.79), (0.13 * stout - swing, 0.46), 0.06, 0.045), sleeve, round=0.5),
        flat(limb((0.0, neck - 0.02), (0.0, 0.87), 0.05, 0.05), skin * 0.85),
        flat(disc(0.0, 0.92, 0.062, 0.078), skin, round=0.5),
        flat(disc(-0.012 * side, 0.962, 0.067, 0.046), hair, round=0.4),
    ]
    return Model([part._replace(corners=part.corners * tall) for part in parts], (0.3, 0.25), tall)


class _Breed(NamedTuple):
    """Sizes in metres; `depth` is from back to belly."""

    height: float
    length: float
    depth: float
    neck: float
    head: float
    coats: tuple[Colour, ...]
    patched: float = 0.0
    woolly: bool = False


_WHITE, _BROWN, _DARK = (0.9, 0.88, 0.84), (0.42, 0.25, 0.14), (0.15, 0.12, 0.11)
_BREEDS: tuple[_Breed, ...] = (
    _Breed(1.45, 2.15, 0.78, 0.5, 0.36, (_WHITE, _BROWN, _DARK, (0.7, 0.55, 0.38)), patched=0.7),
    _Breed(1.6, 2.1, 0.66, 0.85, 0.38, (_BROWN, _DARK, (0.75, 0.73, 0.7), (0.62, 0.42, 0.25))),
    _Breed(0.95, 1.3, 0.62, 0.25, 0.24, (_WHITE, (0.82, 0.78, 0.7)), woolly=True),
    _Breed(0.75, 1.05, 0.34, 0.3, 0.24, (_BROWN, (0.75, 0.6, 0.4), _DARK, _WHITE)),
)
#: Side view of a trunk, facing right: share of the half length, share of the depth below the back.
_TRUNK = np.array((
    (-1.0, 0.25), (-0.9, 0.04), (-0.5, 0.0), (0.0, 0.05), (0.5, 0.0), (0.85, 0.02), (1.02, 0.25), (1.0, 0.6),
    (0.8, 0.92), (0.3, 1.0), (-0.2, 1.0), (-0.6, 0.9), (-0.9, 0.72),
))  # fmt: skip


def animal(rng: np.random.Generator, setting: Setting) -> Model:
    """A cow, horse, sheep or dog from the side, standing, walking or grazing."""
    breed = _BREEDS[rng.choice(4, p=(0.35, 0.25, 0.27, 0.13))]
    size, coat = rng.uniform(0.9, 1.15), pick(rng, breed.coats, 0.04)
    face = np.array(_DARK) if breed.woolly and rng.random() < 0.5 else coat * 0.85
    half = breed.length * 0.38
    parts = _legs(rng, breed, half, face if breed.woolly else coat)
    dock = (-half + 0.02, breed.height - 0.15 * breed.depth)
    drop = (-half - 0.14, breed.height + (0.2 if breed.height < 0.8 else -0.7 * breed.depth))
    parts.append(flat(limb(dock, drop, 0.08, 0.05), coat * 0.6))
    body = _TRUNK * (half, -breed.depth) + (0.0, breed.height)
    if breed.woolly:
        body = blob(rng, 0.0, breed.height - breed.depth / 2, half + 0.1, breed.depth * 0.54, 0.06)
    parts.append(flat(body, coat, grain=0.12 if breed.woolly else 0.03, round=0.4))
    if rng.random() < breed.patched:
        spots = np.array(_DARK if coat.mean() > 0.5 else _WHITE)
        for x in rng.uniform(-0.8 * half, 0.7 * half, 3):
            y = breed.height - breed.depth * rng.uniform(0.25, 0.6)
            parts.append(flat(blob(rng, x, y, 0.25, 0.19, 0.3), spots, round=0.4))
    parts += _neck_and_head(rng, breed, half, coat, face)
    side = np.array((rng.choice((-1.0, 1.0)), 1.0, 1.0)) * size
    parts = [part._replace(corners=part.corners * side) for part in parts]
    return Model(parts, (half * size, 0.4), 1.1 * breed.height * size)


def _legs(rng: np.random.Generator, breed: _Breed, half: float, colour: np.ndarray) -> list[Part]:
    """Four legs, the far pair darker, each a thigh, a shank and a hoof."""
    belly, parts = breed.height - breed.depth, []
    thick = 0.15 * breed.depth + 0.03
    for x, hind, dim in ((-0.72, 1, 0.6), (0.78, 0, 0.6), (-0.86, 1, 0.85), (0.64, 0, 0.85)):
        step = rng.uniform(-0.14, 0.14) * breed.height
        hip, knee = (x * half, belly + 0.3 * breed.depth), (x * half + 0.4 * step - 0.04 * hind, belly * 0.52)
        foot = (x * half + step, 0.0)
        parts.append(flat(limb(hip, knee, thick * (2.2 if hind else 1.6), thick), colour * dim, round=0.2))
        parts.append(flat(limb(knee, foot, thick, 0.75 * thick), colour * dim))
        parts.append(flat(limb((foot[0], 0.07 * belly + 0.03), foot, thick, thick), _DARK))
    return parts


def _neck_and_head(
    rng: np.random.Generator, breed: _Breed, half: float, coat: np.ndarray, face: np.ndarray
) -> list[Part]:
    """Head up or grazing; the muzzle never goes below the ground."""
    head, shoulder = breed.head, (0.78 * half, breed.height - 0.3 * breed.depth)
    grazing = breed.height > 0.8 and rng.random() < 0.45
    angle = rng.uniform(-1.3, -1.05) if grazing else rng.uniform(0.4, 0.9)
    reach = (shoulder[1] - 0.62 * head) / np.sin(-angle) if grazing else breed.neck + 0.2 * half
    top = (shoulder[0] + reach * np.cos(angle), shoulder[1] + reach * np.sin(angle))
    nose = (top[0] + head * (0.55 if grazing else 0.95), max(top[1] - head * 0.55, 0.05))
    ear = (top[0] - 0.3 * head, top[1] + 0.4 * head)
    parts = [
        flat(limb(shoulder, top, breed.depth * 0.68, head * 0.6), coat * 0.95, round=0.2),
        flat(disc(top[0], top[1], 0.34 * head, 0.34 * head), face, round=0.2),
        flat(limb(top, nose, head * 0.68, head * 0.42), face, round=0.2),
        flat(disc(nose[0], nose[1], 0.21 * head, 0.21 * head), face * 0.75),
        flat(limb(top, ear, head * 0.3, head * 0.12), face * 0.7),
    ]
    if breed.neck > 0.8:
        crest = limb((shoulder[0] - 0.12, shoulder[1] + 0.1), (top[0] - 0.1, top[1] + 0.1), 0.2, 0.12)
        parts.insert(1, flat(crest, coat * 0.4))
    return parts
