"""Things drawn as flat figures that face the viewer: persons, animals, trees, signs, boats.

Every model is `model(rng, setting) -> Model`; its parts are in metres from the foot, far to near.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from whatwhere.datasets.scene_world import Colour, Part

_TURN = np.linspace(0.0, 2 * np.pi, 14, endpoint=False)
_CIRCLE = np.stack([np.cos(_TURN), np.sin(_TURN)], 1)


class Setting(NamedTuple):
    """What a model must know of its surroundings: the eye in the thing's own frame, leaves, lamps lit."""

    eye: Float[np.ndarray, " xyz"]
    leaf: Colour
    lamps: float


class Model(NamedTuple):
    """Parts of one object, its half width on the ground and its height, both metres."""

    parts: list[Part]
    radius_m: float
    height_m: float


def flat(points: Float[np.ndarray, "corner xy"], colour: Colour | np.ndarray, **look: float) -> Part:
    """One upright polygon from (across, up) points."""
    corners = np.zeros((1, len(points), 3))
    corners[0, :, :2] = points
    return Part(corners, colour, **look)


def disc(x: float, y: float, rx: float, ry: float) -> Float[np.ndarray, "corner xy"]:
    """An ellipse."""
    return _CIRCLE * (rx, ry) + (x, y)


def limb(start: tuple[float, float], end: tuple[float, float], wide: float, narrow: float) -> np.ndarray:
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


def blob(rng: np.random.Generator, x: float, y: float, rx: float, ry: float, rough: float) -> np.ndarray:
    """An ellipse with an uneven edge."""
    radius = 1.0 + rough * rng.uniform(-1.0, 1.0, (len(_CIRCLE), 1))
    return _CIRCLE * radius * (rx, ry) + (x, y)


def pick(rng: np.random.Generator, colours: tuple[Colour, ...], spread: float = 0.06) -> np.ndarray:
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
    hip, neck, hand = 0.5, 0.83, 0.46
    parts = [
        flat(limb((-0.035, hip), (-stride * 0.5, 0.02), 0.1 * stout, 0.065), trousers * 0.8, round=0.5),
        flat(limb((0.035, hip), (stride * 0.5, 0.0), 0.1 * stout, 0.065), trousers, round=0.5),
        flat(disc(-stride * 0.5 + 0.02 * side, 0.02, 0.055, 0.022), (0.1, 0.08, 0.08)),
        flat(disc(stride * 0.5 + 0.02 * side, 0.012, 0.055, 0.022), (0.1, 0.08, 0.08)),
        flat(limb((-0.1 * stout, 0.79), (-0.13 * stout - swing, hand), 0.06, 0.045), sleeve * 0.85, round=0.5),
    ]
    waist, shoulder = 0.085 * stout, 0.125 * stout
    torso = [(-waist, hip - 0.03), (waist, hip - 0.03), (shoulder, neck - 0.05), (0.05, neck), (-0.05, neck)]
    parts.append(flat(np.array([*torso, (-shoulder, neck - 0.05)]), shirt, round=0.6))
    if rng.random() < 0.25:
        hem = rng.uniform(0.25, 0.4)
        skirt = [(-waist, hip + 0.02), (waist, hip + 0.02), (waist * 1.6, hem), (-waist * 1.6, hem)]
        parts.append(flat(np.array(skirt), shirt * rng.uniform(0.7, 1.0), round=0.6))
    parts += [
        flat(limb((0.1 * stout, 0.79), (0.13 * stout - swing, hand), 0.06, 0.045), sleeve, round=0.5),
        flat(limb((0.0, neck - 0.02), (0.0, 0.87), 0.05, 0.05), skin * 0.85),
        flat(disc(0.0, 0.925, 0.055, 0.072), skin, round=0.5),
        flat(disc(-0.012 * side, 0.96, 0.06, 0.045), hair, round=0.4),
    ]
    return Model([part._replace(corners=part.corners * tall) for part in parts], 0.3, tall)


class _Breed(NamedTuple):
    height: float
    length: float
    depth: float
    neck: float
    head: float
    coats: tuple[Colour, ...]
    patched: float = 0.0
    woolly: float = 0.0


_BREEDS: tuple[_Breed, ...] = (
    _Breed(1.45, 2.1, 0.75, 0.45, 0.34, ((0.92, 0.9, 0.86), (0.45, 0.27, 0.16), (0.16, 0.13, 0.12)), patched=0.7),
    _Breed(1.6, 2.1, 0.62, 0.85, 0.34, ((0.4, 0.22, 0.12), (0.2, 0.13, 0.1), (0.75, 0.72, 0.7), (0.62, 0.42, 0.25))),
    _Breed(0.95, 1.25, 0.62, 0.25, 0.22, ((0.9, 0.88, 0.82), (0.82, 0.78, 0.7)), woolly=1.0),
    _Breed(0.75, 0.95, 0.32, 0.28, 0.2, ((0.3, 0.2, 0.12), (0.75, 0.6, 0.4), (0.12, 0.11, 0.11), (0.9, 0.88, 0.85))),
)


def animal(rng: np.random.Generator, setting: Setting) -> Model:
    """A cow, horse, sheep or dog from the side, standing, walking or grazing."""
    breed = _BREEDS[rng.choice(4, p=(0.35, 0.25, 0.27, 0.13))]
    size, coat = rng.uniform(0.9, 1.15), pick(rng, breed.coats, 0.04)
    half, back = breed.length * 0.36, breed.height
    belly, leg = back - breed.depth, 0.13 * breed.height
    face = np.array((0.15, 0.13, 0.12)) if breed.woolly and rng.random() < 0.5 else coat * 0.85
    parts = []
    for x, near in ((-half + 0.1, 0), (half - 0.02, 0), (-half, 1), (half - 0.12, 1)):
        step = rng.uniform(-0.12, 0.12) * back
        bar = limb((x, belly + 0.15 * back), (x + step, 0.0), leg * 1.3, leg * 0.7)
        parts.append(flat(bar, (face if breed.woolly else coat) * (0.8 if near else 0.55)))
    parts.append(flat(limb((-half - 0.05, back - 0.08), (-half - 0.22, belly), 0.07, 0.04), coat * 0.6))
    parts += _neck_and_head(rng, breed, half, coat, face)
    body = _CIRCLE * (half + 0.16 * breed.depth, breed.depth / 2)
    body = np.sign(body) * np.abs(body / np.abs(body).max(0)) ** 0.75 * np.abs(body).max(0) + (0, back - breed.depth / 2)
    if breed.woolly:
        body = blob(rng, 0.0, back - breed.depth / 2, half + 0.16, breed.depth * 0.56, 0.06)
    parts.append(flat(body, coat, grain=0.04 + 0.1 * breed.woolly, round=0.35))
    if rng.random() < breed.patched:
        spots = np.array((0.12, 0.1, 0.1) if coat.mean() > 0.5 else (0.9, 0.88, 0.85))
        for x in rng.uniform(-half * 0.9, half * 0.7, 3):
            y = back - breed.depth * rng.uniform(0.3, 0.6)
            parts.append(flat(blob(rng, x, y, 0.26, 0.17, 0.4), spots))
    side = np.array((rng.choice((-1.0, 1.0)), 1.0, 1.0)) * size
    return Model([part._replace(corners=part.corners * side) for part in parts], half * size, 1.1 * back * size)


def _neck_and_head(
    rng: np.random.Generator, breed: _Breed, half: float, coat: np.ndarray, face: np.ndarray
) -> list[Part]:
    shoulder = (half - 0.05, breed.height - 0.3 * breed.depth)
    grazing = breed.height > 0.8 and rng.random() < 0.45
    angle = rng.uniform(-0.9, -0.6) if grazing else rng.uniform(0.35, 0.95)
    reach = max(breed.neck, 0.62 * shoulder[1]) if grazing else breed.neck
    top = (shoulder[0] + reach * np.cos(angle), max(shoulder[1] + reach * np.sin(angle), 0.14))
    nose = (top[0] + breed.head * 1.1, top[1] - breed.head * (0.15 if grazing else 0.5))
    nose = (nose[0], max(nose[1], 0.06))
    ear = (top[0] - 0.25 * breed.head, top[1] + 0.55 * breed.head)
    return [
        flat(limb(shoulder, top, breed.depth * 0.62, breed.head * 0.75), coat * 0.92, round=0.2),
        flat(limb(top, nose, breed.head * 0.85, breed.head * 0.5), face, round=0.2),
        flat(limb(top, ear, breed.head * 0.4, breed.head * 0.15), face * 0.7),
    ]


def tree(rng: np.random.Generator, setting: Setting) -> Model:
    """A broad tree, a conifer, a poplar or a bush."""
    leaf = np.clip(np.array(setting.leaf) * rng.uniform(0.8, 1.2, 3), 0.02, 1.0)
    kind = rng.choice(4, p=(0.5, 0.25, 0.13, 0.12))
    if kind == 1:
        return _conifer(rng, leaf * (0.6, 0.75, 0.75))
    tall = rng.uniform(5.5, 11.0) if kind == 0 else rng.uniform(8.0, 13.0) if kind == 2 else rng.uniform(1.8, 3.2)
    wide = tall * (rng.uniform(0.3, 0.42) if kind == 0 else rng.uniform(0.11, 0.15) if kind == 2 else 0.55)
    low = tall * (rng.uniform(0.2, 0.35) if kind == 0 else 0.1 if kind == 2 else 0.0)
    bark = pick(rng, ((0.3, 0.22, 0.16), (0.38, 0.33, 0.28), (0.72, 0.7, 0.66)), 0.03)
    middle, rise = (low + tall) / 2, (tall - low) / 2
    lean = rng.uniform(-0.05, 0.05) * tall
    parts = [
        flat(limb((0.0, 0.0), (lean, middle), 0.07 * tall, 0.03 * tall), bark, grain=0.15, round=0.6),
        flat(blob(rng, lean, middle, wide * 0.86, rise * 0.92, 0.08), leaf * 0.5, grain=0.35, round=0.4),
    ]
    # Clumps from the shaded inside and below to the lit outside and above.
    count = 11 if kind == 0 else 8
    angle, radius = rng.uniform(0, 2 * np.pi, count), np.sqrt(rng.uniform(0.15, 1.0, count)) * 0.72
    xs, ys = lean + wide * radius * np.cos(angle), middle + rise * radius * np.sin(angle)
    for index in np.argsort(ys):
        share = (ys[index] - low) / (tall - low)
        clump = blob(rng, xs[index], ys[index], wide * 0.42, rise * 0.3, 0.22)
        tint = leaf * (0.5 + 0.6 * share) * rng.uniform(0.88, 1.12)
        parts.append(flat(clump, tint, grain=0.4, round=0.45))
    return Model(parts, max(wide * 0.8, 0.5), tall)


def _conifer(rng: np.random.Generator, leaf: np.ndarray) -> Model:
    tall = rng.uniform(6.0, 13.0)
    wide, low, tiers = tall * rng.uniform(0.17, 0.25), tall * rng.uniform(0.06, 0.14), rng.integers(5, 8)
    parts = [flat(limb((0.0, 0.0), (0.0, tall * 0.5), 0.05 * tall, 0.03 * tall), (0.28, 0.2, 0.15), round=0.6)]
    for tier in range(tiers):
        bottom = low + (tall - low) * tier / tiers
        top = min(bottom + (tall - low) * 1.7 / tiers, tall)
        half = wide * (1.0 - 0.9 * tier / tiers)
        hem = np.linspace(-half, half, 7) * rng.uniform(0.85, 1.1, 7)
        droop = bottom + rng.uniform(-0.02, 0.03, 7) * tall + 0.03 * tall * (np.abs(np.linspace(-1, 1, 7)) < 0.9)
        outline = np.stack([np.append(hem, [0.1 * half, -0.1 * half]), np.append(droop, [top, top])], 1)
        parts.append(flat(outline, leaf * (0.65 + 0.4 * tier / tiers), grain=0.4, round=0.6))
    return Model(parts, wide * 0.8, tall)
