"""Cars of a rendered scene (see `figures` for the form of a model); x is the direction of travel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from whatwhere.scenes.figures import Model, Setting, disc, pick
from whatwhere.scenes.solids import GLASS, Face, one, prism
from whatwhere.scenes.world import Colour, Part

_HALF_WIDTH = 0.88
_Outline = tuple[tuple[float, float], ...]


class _Body(NamedTuple):
    """Side view of a car: outline, which of its edges are glass, the side windows, the axles' positions."""

    outline: _Outline
    glass: tuple[int, ...]
    windows: tuple[_Outline, ...]
    axles: tuple[float, float]


_SALOON = _Body(
    (
        (-2.2, 0.28), (2.2, 0.28), (2.2, 0.65), (2.1, 0.78), (1.05, 0.92), (0.35, 1.42), (-1.05, 1.45),
        (-1.75, 1.0), (-2.2, 0.95),
    ),
    (4, 6),
    (
        ((0.85, 0.96), (0.28, 1.36), (-0.25, 1.38), (-0.25, 0.96)),
        ((-0.35, 0.96), (-0.35, 1.38), (-1.0, 1.38), (-1.5, 0.98)),
    ),
    (-1.35, 1.4),
)  # fmt: skip
_HATCHBACK = _Body(
    (
        (-1.9, 0.28), (1.9, 0.28), (1.9, 0.7), (1.8, 0.82), (1.0, 0.98), (0.35, 1.5), (-1.5, 1.52),
        (-1.9, 0.95),
    ),
    (4, 6),
    (
        ((0.85, 1.0), (0.3, 1.43), (-0.3, 1.44), (-0.3, 1.0)),
        ((-0.4, 1.0), (-0.4, 1.44), (-1.4, 1.44), (-1.6, 1.0)),
    ),
    (-1.2, 1.2),
)  # fmt: skip
_VAN = _Body(
    ((-2.3, 0.3), (2.3, 0.3), (2.3, 0.9), (1.9, 1.15), (1.35, 2.0), (-2.2, 2.05), (-2.3, 1.9)),
    (3,),
    (((1.65, 1.2), (1.25, 1.85), (0.5, 1.87), (0.5, 1.2)),),
    (-1.4, 1.45),
)
_PICKUP = _Body(
    (
        (-2.5, 0.35), (2.5, 0.35), (2.5, 0.85), (2.4, 0.98), (1.3, 1.08), (0.7, 1.72), (-0.4, 1.72),
        (-0.55, 1.08), (-2.5, 1.05),
    ),
    (4, 6),
    (((1.1, 1.12), (0.65, 1.63), (-0.3, 1.63), (-0.4, 1.12)),),
    (-1.5, 1.55),
)  # fmt: skip
_BODIES, _SHARES = (_SALOON, _HATCHBACK, _VAN, _PICKUP), (0.35, 0.35, 0.17, 0.13)
_PAINTS: tuple[Colour, ...] = (
    (0.75, 0.08, 0.08), (0.1, 0.22, 0.55), (0.88, 0.88, 0.88), (0.12, 0.12, 0.13), (0.55, 0.57, 0.6),
    (0.9, 0.75, 0.15), (0.12, 0.35, 0.25), (0.35, 0.6, 0.78), (0.8, 0.42, 0.12),
)  # fmt: skip


def car(rng: np.random.Generator, setting: Setting) -> Model:
    """A saloon, hatchback, van or pick-up with windows, wheels and lights."""
    body = _BODIES[rng.choice(4, p=_SHARES)]
    paint, outline = pick(rng, _PAINTS, 0.04), np.array(body.outline)
    length = float(outline[:, 0].max())
    parts = [_tyres(0.85 * length * end) for end in (-1.0, 1.0)]
    for face in prism(outline, _HALF_WIDTH, setting.eye):
        if face.edge in body.glass:
            parts.append(one(face, GLASS, glow=0.1))
            continue
        parts.append(one(face, paint))
        if face.edge < 0:
            parts += _side(body, face)
        elif abs(face.normal[0]) > 0.85:
            parts += _end(face, setting.lamps > 0.25)
    return Model(parts, (length, _HALF_WIDTH), float(outline[:, 1].max()))


def _across(
    x: float, low: float, high: float, lefts: tuple[float, ...], wide: float
) -> Float[np.ndarray, "n corner xyz"]:
    """Upright rectangles across the car, each beginning at one of `lefts`."""
    return np.array([[(x, low, z), (x, low, z + wide), (x, high, z + wide), (x, high, z)] for z in lefts])


def _tyres(x: float) -> Part:
    """The wheels of one axle as seen from the end of the car."""
    return Part(_across(x, 0.0, 0.4, (-_HALF_WIDTH, _HALF_WIDTH - 0.26), 0.26), (0.07, 0.07, 0.07))


def _end(face: Face, lit: bool) -> list[Part]:
    """A pair of lamps, white in front and red behind, a dark bumper, a number plate; on a van, a window."""
    x, low, high = float(face.corners[0, 0]), face.corners[:, 1].min(), face.corners[:, 1].max()
    if high - low < 0.25:
        return []
    rim = min(high - low, 0.7)
    colour = (1.0, 0.95, 0.75) if face.normal[0] > 0 else (0.85, 0.08, 0.06)
    lamps = _across(x, low + 0.6 * rim, low + 0.92 * rim, (-_HALF_WIDTH + 0.06, _HALF_WIDTH - 0.4), 0.34)
    parts = [
        Part(_across(x, low, low + 0.16, (-_HALF_WIDTH,), 2 * _HALF_WIDTH), (0.12, 0.12, 0.13), face.normal),
        Part(_across(x, low + 0.17, low + 0.3, (-0.26,), 0.52), (0.9, 0.9, 0.8), face.normal),
        Part(lamps, colour, face.normal, glow=1.0 if lit else 0.25),
    ]
    if high - low > 1.0:
        panes = _across(x, low + 0.85, high - 0.2, (-0.8, 0.05), 0.75)
        parts.append(Part(panes, GLASS, face.normal, glow=0.1))
    return parts


def _side(body: _Body, face: Face) -> list[Part]:
    """Side windows and two wheels."""
    z = float(face.corners[0, 2])
    shapes = [(np.array(window), GLASS) for window in body.windows]
    for x in body.axles:
        shapes.append((disc(x, 0.34, 0.42, 0.42), (0.05, 0.05, 0.06)))
        shapes.append((disc(x, 0.32, 0.32, 0.32), (0.09, 0.09, 0.1)))
        shapes.append((disc(x, 0.32, 0.17, 0.17), (0.55, 0.56, 0.58)))
    return [
        Part(np.column_stack([points, np.full(len(points), z)])[None], colour, face.normal) for points, colour in shapes
    ]
