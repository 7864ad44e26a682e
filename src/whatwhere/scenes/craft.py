"""Flat made things of a rendered scene: road signs and boats (see `figures` for the living ones)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from whatwhere.scenes.figures import Model, Setting, disc, flat, limb, pick
from whatwhere.scenes.solids import GLASS, LAMP
from whatwhere.scenes.world import Colour, Part

_RED, _WHITE, _BLUE = (0.78, 0.08, 0.1), (0.95, 0.95, 0.93), (0.1, 0.3, 0.7)
_YELLOW, _GREEN, _BLACK = (0.95, 0.75, 0.1), (0.05, 0.42, 0.25), (0.08, 0.08, 0.08)


def _polygon(corners: int, y: float, radius: float, turn: float) -> np.ndarray:
    angle = turn + np.arange(corners) * 2 * np.pi / corners
    return np.stack([radius * np.cos(angle), y + radius * np.sin(angle)], 1)


def sign(rng: np.random.Generator, setting: Setting) -> Model:
    """A traffic sign on a pole: round, triangular, diamond, octagonal or a board."""
    size, pole = rng.uniform(0.42, 0.6), rng.uniform(1.9, 2.5)
    y = pole + size * 0.6
    # ASSUME: in the dark signs shine back a quarter of their colour, as they do in headlights.
    glow = 0.25 if setting.lamps > 0.3 else 0.0
    post = flat(limb((0.0, 0.0), (0.0, y), 0.11, 0.11), (0.45, 0.46, 0.48), round=0.6)
    kind = int(rng.integers(6))
    plate = _board(rng, y) if kind == 5 else _plate(rng, kind, y, size)
    return Model([post, *(part._replace(glow=glow) for part in plate)], (0.3, 0.15), y + size)


def _board(rng: np.random.Generator, y: float) -> list[Part]:
    """A rectangular direction sign with two lines of writing."""
    wide, tall = rng.uniform(0.8, 1.3), rng.uniform(0.4, 0.6)
    outer = limb((-wide, y), (wide, y), 2 * tall, 2 * tall)
    inner = limb((-wide + 0.07, y), (wide - 0.07, y), 2 * tall - 0.14, 2 * tall - 0.14)
    parts = [flat(outer, _WHITE), flat(inner, (_BLUE, _GREEN, _YELLOW)[rng.integers(3)])]
    for row in (-0.35, 0.2):
        end = wide * rng.uniform(0.1, 0.7)
        parts.append(flat(limb((-wide * 0.7, y + row * tall), (end, y + row * tall), 0.13, 0.13), _WHITE))
    return parts


def _plate(rng: np.random.Generator, kind: int, y: float, size: float) -> list[Part]:
    """A rim, a field and a bar: prohibition, warning, priority, stop or direction."""
    outline, rim, fill, inner = (
        (disc(0.0, y, size, size), _RED, _WHITE, 0.72),
        (_polygon(3, y, size * 1.15, np.pi / 2), _RED, _WHITE, 0.62),
        (_polygon(4, y, size * 1.1, 0.0), _WHITE, _YELLOW, 0.82),
        (_polygon(8, y, size, np.pi / 8), _WHITE, _RED, 0.86),
        (disc(0.0, y, size, size), _WHITE, _BLUE, 0.88),
    )[kind]
    angle = 0.0 if kind == 3 else rng.uniform(-1.2, 1.2)
    dx, dy = 0.4 * size * np.cos(angle), 0.4 * size * np.sin(angle)
    bar = limb((-dx, y - dy), (dx, y + dy), 0.24 * size, 0.24 * size)
    field = (outline - (0.0, y)) * inner + (0.0, y)
    return [flat(outline, rim), flat(field, fill), flat(bar, _WHITE if kind >= 3 else _BLACK)]


def boat(rng: np.random.Generator, setting: Setting) -> Model:
    """A sailing boat, a motor boat, a fishing boat or a ferry from the side, with its reflection."""
    kind = rng.choice(4, p=(0.45, 0.2, 0.2, 0.15))
    side = rng.choice((-1.0, 1.0))
    build = (_sailing, _motor, _fishing, _ferry)[kind]
    parts, half, tall = build(rng, setting)
    mirror = [
        part._replace(corners=part.corners * (side, -0.7, 1.0), opacity=0.4, glow=0.0) for part in reversed(parts)
    ]
    upright = [part._replace(corners=part.corners * (side, 1.0, 1.0)) for part in parts]
    return Model(mirror + upright, (half, 0.0), tall)


def _hull(half: float, board: float, colour: np.ndarray) -> list[Part]:
    """Hull with a raised bow to the right, a light strake along the top and a dark waterline."""
    size = np.array((half, board))
    outline = np.array([(-0.9, 0.0), (0.72, 0.0), (1.0, 1.35), (0.5, 1.0), (-1.0, 1.0)])
    strake = np.array([(-1.0, 1.0), (0.5, 1.0), (1.0, 1.35), (0.96, 1.1), (0.5, 0.8), (-1.0, 0.8)])
    line = np.array([(-0.9, 0.0), (0.72, 0.0), (0.78, 0.22), (-0.92, 0.22)])
    return [
        flat(outline * size, colour, round=0.25),
        flat(strake * size, _WHITE),
        flat(line * size, colour * 0.5),
    ]


_HULLS: tuple[Colour, ...] = (
    _WHITE, (0.12, 0.2, 0.42), (0.7, 0.15, 0.12), (0.2, 0.45, 0.5), (0.42, 0.26, 0.15),
)  # fmt: skip


def _window(rng: np.random.Generator, corners: Float[np.ndarray, "n corner xyz"], lamps: float) -> Part:
    lit = bool(lamps > rng.random())
    return Part(corners, LAMP if lit else GLASS, glow=0.8 * lit)


def _upright(points: Float[np.ndarray, "corner xy"]) -> Float[np.ndarray, "1 corner xyz"]:
    return np.column_stack([points, np.zeros(len(points))])[None]


def _sailing(rng: np.random.Generator, setting: Setting) -> tuple[list[Part], float, float]:
    half, mast = rng.uniform(3.0, 4.2), rng.uniform(8.0, 11.0)
    sail = pick(rng, (_WHITE, _WHITE, (0.9, 0.84, 0.7), (0.85, 0.35, 0.25)), 0.03)
    parts = [flat(limb((0.4, 0.8), (0.4, mast), 0.18, 0.12), (0.35, 0.3, 0.25))]
    if rng.random() < 0.85:
        main = np.array([(0.2, 1.5), (0.2, mast * 0.97), (-0.9, mast * 0.5), (-half * 0.92, 1.6)])
        jib = np.array([(0.6, mast * 0.85), (half * 0.9, 1.2), (0.8, 1.4)])
        parts += [flat(main, sail, round=0.25), flat(jib, sail * 0.88, round=0.25)]
    return parts + _hull(half, rng.uniform(0.8, 1.1), pick(rng, _HULLS)), half, mast


def _motor(rng: np.random.Generator, setting: Setting) -> tuple[list[Part], float, float]:
    half = rng.uniform(2.6, 3.8)
    cabin = np.array([(-half * 0.55, 0.8), (half * 0.45, 0.8), (half * 0.12, 1.9), (-half * 0.5, 1.9)])
    glass = np.array([(-half * 0.45, 1.25), (half * 0.27, 1.25), (half * 0.1, 1.75), (-half * 0.44, 1.75)])
    window = _window(rng, _upright(glass), setting.lamps)
    return [flat(cabin, _WHITE, round=0.3), window, *_hull(half, 1.0, pick(rng, _HULLS))], half, 2.0


def _fishing(rng: np.random.Generator, setting: Setting) -> tuple[list[Part], float, float]:
    half, colour = rng.uniform(4.0, 5.5), pick(rng, _HULLS[1:])
    house = limb((-half * 0.45, 1.0), (-half * 0.45, 3.2), half * 0.5, half * 0.5)
    glass = limb((-half * 0.45, 2.2), (-half * 0.45, 2.9), half * 0.42, half * 0.42)
    parts = [
        flat(limb((half * 0.25, 1.2), (half * 0.25, 6.0), 0.22, 0.14), (0.3, 0.25, 0.2)),
        flat(limb((half * 0.25, 5.6), (half * 0.85, 2.2), 0.1, 0.1), (0.3, 0.25, 0.2)),
        flat(house, _WHITE, round=0.3),
        _window(rng, _upright(glass), setting.lamps),
    ]
    return parts + _hull(half, 1.4, colour), half, 6.0


def _ferry(rng: np.random.Generator, setting: Setting) -> tuple[list[Part], float, float]:
    half, paint = rng.uniform(8.0, 12.0), pick(rng, (_WHITE, _WHITE, (0.8, 0.74, 0.6)), 0.03)
    middle, parts = -half * 0.05, []
    for deck, width in ((2.0, 0.8), (4.2, 0.55)):
        storey = limb((middle, deck), (middle, deck + 2.2), 2 * half * width, 2 * half * width)
        columns = np.arange(-half * width * 0.85, half * width * 0.8, 1.5) + middle
        panes = np.zeros((len(columns), 4, 3))
        panes[..., 0] = columns[:, None] + (0.0, 0.9, 0.9, 0.0)
        panes[..., 1] = deck + np.array((0.9, 0.9, 1.6, 1.6))
        parts += [flat(storey, paint, round=0.2), _window(rng, panes, setting.lamps)]
    funnel = limb((-half * 0.3, 6.2), (-half * 0.33, 8.6), 1.8, 1.5)
    parts.insert(0, flat(funnel, pick(rng, (_RED, _BLUE, _BLACK)), round=0.4))
    return parts + _hull(half, 2.2, pick(rng, _HULLS)), half, 8.6
