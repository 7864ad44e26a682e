"""Solids of a rendered scene: prisms of which only the faces that the viewer can see are drawn.

Coordinates are metres from the foot, in the object's own frame: x along the outline, y up, z along the width.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from whatwhere.scenes.world import Colour, Part

#: Colours of a dark and of a lit window.
GLASS: Colour = (0.13, 0.19, 0.25)
LAMP: Colour = (1.0, 0.82, 0.45)


class Face(NamedTuple):
    """One visible side. `edge` is its edge of the profile, or -1 and -2 for the caps at -width and +width."""

    corners: Float[np.ndarray, "corner xyz"]
    normal: tuple[float, float, float]
    edge: int


def prism(profile: Float[np.ndarray, "corner xy"], half_width: float, eye: Float[np.ndarray, " xyz"]) -> list[Face]:
    """The faces of an extruded outline that look toward the eye, far to near, the cap last.

    The outline runs counter-clockwise and is almost convex: what little it is not, the order hides.
    """
    start, end = profile, np.concatenate([profile[1:], profile[:1]])
    delta = end - start
    normals = np.stack([delta[:, 1], -delta[:, 0], np.zeros(len(delta))], 1)
    normals /= np.hypot(delta[:, :1], delta[:, 1:])
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


def one(face: Face, colour: Colour | np.ndarray, *, grain: float = 0.0, glow: float = 0.0) -> Part:
    """A face as a part."""
    return Part(face.corners[None], colour, face.normal, grain=grain, glow=glow)


def rectangles(
    face: Face, left: Float[np.ndarray, " n"], low: Float[np.ndarray, " n"], wide: float, tall: float
) -> Float[np.ndarray, "n corner xyz"]:
    """Upright rectangles on a wall: `left` along it and `low` above its foot, metres."""
    start, along, _ = foot(face)
    across = np.asarray(left, float)[:, None] + (0.0, wide, wide, 0.0)
    up = np.asarray(low, float)[:, None] + (0.0, 0.0, tall, tall)
    corners = start + across[..., None] * along
    corners[..., 1] += up
    return corners


def foot(face: Face) -> tuple[np.ndarray, np.ndarray, float]:
    """Of a wall: a lower corner, the unit vector along its foot, and its length in metres."""
    corners = face.corners
    rising = corners[0, 1] <= corners[1, 1]
    first, last = (0, 1) if face.edge < 0 else (0, 3) if rising else (1, 2)
    delta = corners[last] - corners[first]
    span = math.hypot(delta[0], delta[2])
    return corners[first], delta / max(span, 1e-6), span


def panes(
    face: Face,
    corners: Float[np.ndarray, "n corner xyz"],
    lit: Bool[np.ndarray, " n"],
    glass: Colour | np.ndarray,
) -> list[Part]:
    """Windows, the lit ones glowing."""
    parts = []
    if not lit.all():
        parts.append(Part(corners[~lit], glass, face.normal, glow=0.15))
    if lit.any():
        parts.append(Part(corners[lit], LAMP, face.normal, glow=0.85))
    return parts
