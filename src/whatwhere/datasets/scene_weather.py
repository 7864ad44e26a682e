"""Draws what surrounds a scene: time of day, clouds, ridges, woods, and the colours of the season."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from whatwhere.datasets.scene_world import Camera, Clouds, Colour, Light, Range, TreeLine


class _Hour(NamedTuple):
    """A time of day: how often, its words, colours, the sun's elevation (degrees), haze (km), lit windows."""

    share: float
    phrase: str
    zenith: Colour
    horizon: Colour
    key: Colour
    ambient: Colour
    elevation: tuple[float, float]
    haze_km: tuple[float, float]
    lamps: float
    cover: tuple[float, float]


_HOURS: tuple[_Hour, ...] = (
    _Hour(0.42, "", (0.2, 0.42, 0.78), (0.74, 0.85, 0.95), (0.85, 0.8, 0.7), (0.42, 0.46, 0.54), (22, 65), (0.5, 2.5), 0.0, (0.03, 0.6)),
    _Hour(0.14, "at dusk", (0.24, 0.26, 0.5), (0.98, 0.62, 0.38), (0.95, 0.52, 0.28), (0.36, 0.32, 0.42), (5, 16), (0.35, 1.2), 0.35, (0.1, 0.6)),
    _Hour(0.14, "at dawn", (0.5, 0.6, 0.8), (0.99, 0.86, 0.74), (0.75, 0.6, 0.46), (0.46, 0.46, 0.54), (5, 18), (0.15, 0.5), 0.1, (0.05, 0.5)),
    _Hour(0.2, "", (0.6, 0.64, 0.7), (0.8, 0.83, 0.86), (0.16, 0.16, 0.16), (0.62, 0.64, 0.68), (35, 60), (0.2, 0.8), 0.08, (0.75, 0.97)),
    _Hour(0.1, "at night", (0.05, 0.08, 0.2), (0.2, 0.25, 0.42), (0.22, 0.25, 0.34), (0.22, 0.26, 0.38), (20, 50), (0.3, 1.0), 0.65, (0.05, 0.5)),
)  # fmt: skip


def light(rng: np.random.Generator) -> tuple[Light, Clouds]:
    """Time of day, direction of the sun and the clouds that go with it."""
    hour = _HOURS[rng.choice(len(_HOURS), p=[hour.share for hour in _HOURS])]
    tint = 1.0 + rng.uniform(-0.06, 0.06, 3)
    elevation, azimuth = np.deg2rad(rng.uniform(*hour.elevation)), rng.uniform(0, 2 * np.pi)
    if azimuth < np.pi and rng.random() < 0.45:
        # ASSUME: photographs are more often taken with the sun behind the photographer.
        azimuth = -azimuth
    flat = np.cos(elevation)
    sun = np.array([flat * np.cos(azimuth), np.sin(elevation), flat * np.sin(azimuth)])
    strength = rng.uniform(0.85, 1.1)
    made = Light(
        phrase=hour.phrase,
        zenith=np.clip(np.array(hour.zenith) * tint * rng.uniform(0.85, 1.15), 0, 1),
        horizon=np.clip(np.array(hour.horizon) * tint, 0, 1),
        key=np.array(hour.key) * strength * tint,
        ambient=np.array(hour.ambient) * rng.uniform(0.9, 1.1) * tint,
        sun=sun,
        haze_m=1000.0 * rng.uniform(*hour.haze_km),
        lamps=hour.lamps,
    )
    # ASSUME: a fifth of the skies are cloudless, so that "sky" is not always next to "cloud".
    cover = 0.0 if rng.random() < 0.2 and hour.cover[0] < 0.5 else float(rng.uniform(*hour.cover))
    clouds = Clouds(
        cover=cover,
        softness=float(rng.uniform(0.35, 1.3)),
        scale=float(rng.uniform(45.0, 130.0)),
        origin=(float(rng.uniform(0, 512)), float(rng.uniform(0, 512))),
        thick=float(rng.uniform(0.1, 0.45)),
    )
    return made, clouds


_ROCK: tuple[Colour, ...] = ((0.42, 0.4, 0.42), (0.46, 0.38, 0.32), (0.36, 0.4, 0.38))
_WOOD: tuple[Colour, ...] = ((0.2, 0.32, 0.16), (0.3, 0.38, 0.18), (0.42, 0.4, 0.22))


def mountains(rng: np.random.Generator, height: float) -> tuple[Range, ...]:
    """One to three ridges, the nearer lower, greener and less hazy. `height` of the highest, image heights."""
    count, snow = int(rng.integers(1, 4)), rng.uniform(0.5, 1.1)
    window = (-9.0, 9.0)
    if rng.random() < 0.3:
        start = rng.uniform(-0.1, 0.6)
        window = (start, 9.0) if rng.random() < 0.5 else (-9.0, start + 0.4)
    ranges = []
    for index in range(count):
        near = index / 3.0 if count > 1 else rng.uniform(0.0, 0.7)
        rocky = near < 0.4 and height > 0.13
        colours = _ROCK if rocky else _WOOD
        ranges.append(
            Range(
                height=height * (1.0 - 0.7 * near) * rng.uniform(0.85, 1.1),
                texels=float(rng.uniform(60.0, 130.0)),
                sharp=float(rng.uniform(0.5, 1.0)) if rocky else float(rng.uniform(0.05, 0.3)),
                origin=float(rng.uniform(0, 512)),
                colour=colours[rng.integers(3)],
                snow=float(snow) if rocky else 9.0,
                haze=float(np.clip(0.48 - 0.4 * near + rng.uniform(-0.2, 0.12), 0.06, 0.7)),
                window=window if index == 0 else (-9.0, 9.0),
            )
        )
    return tuple(ranges)


def tree_line(rng: np.random.Generator, camera: Camera, distance_m: float, leaf: Colour) -> TreeLine:
    """The edge of a wood at a distance, over all or a part of the width."""
    base = camera.horizon + camera.focal * camera.height_m / distance_m
    scale = camera.focal / distance_m
    conifer = bool(rng.random() < 0.35)
    tall = rng.uniform(9.0, 17.0) * scale
    left, right = (-0.05, 1.05)
    if rng.random() < 0.45:
        left, right = sorted(rng.uniform(-0.3, 1.3, 2))
        right = max(right, left + 0.35)
    spacing = tall * (0.3 if conifer else 0.5)
    centre = np.arange(left, right, spacing)[:90]
    centre = centre + rng.uniform(-0.45, 0.45, len(centre)) * spacing
    radius = tall * (rng.uniform(0.22, 0.35, len(centre)) if conifer else rng.uniform(0.4, 0.75, len(centre)))
    top = tall * rng.uniform(0.6, 1.1, len(centre))
    colour = tuple(np.array(leaf) * ((0.55, 0.68, 0.7) if conifer else (0.85, 0.85, 0.85)))
    return TreeLine(base, np.stack([centre, radius, top], 1), conifer, colour, float(rng.uniform(0.05, 0.35)))


_SEASONS: tuple[tuple[float, Colour, Colour, Colour], ...] = (
    # share, grass, leaves, field
    (0.35, (0.34, 0.44, 0.18), (0.26, 0.39, 0.15), (0.42, 0.45, 0.18)),
    (0.3, (0.26, 0.4, 0.14), (0.17, 0.33, 0.11), (0.7, 0.6, 0.3)),
    (0.18, (0.52, 0.5, 0.25), (0.28, 0.38, 0.14), (0.62, 0.52, 0.3)),
    (0.17, (0.42, 0.44, 0.2), (0.62, 0.38, 0.1), (0.42, 0.32, 0.22)),
)


def season(rng: np.random.Generator) -> tuple[Colour, Float[np.ndarray, "surface scale rgb"]]:
    """The leaves' colour and the ground's palette: per surface its colour and what each texture scale adds."""
    _, grass, leaf, field = _SEASONS[rng.choice(4, p=[season[0] for season in _SEASONS])]
    grass_now, field_now = (np.array(c) * rng.uniform(0.9, 1.1, 3) for c in (grass, field))
    leaf_now = np.array(leaf) * rng.uniform(0.85, 1.15, 3)
    grey, beige = rng.uniform(0.3, 0.42), rng.uniform(0.5, 0.66)
    deep = np.array((0.1, 0.24, 0.3)) * rng.uniform(0.7, 1.15, 3)
    warm = np.array((0.05, 0.03, 0.01))
    grounds = (
        # colour, warmth of patches, roughness of tufts and of grains
        (grass_now, warm * 0.9, 0.13, 0.19),
        (grass_now * 0.95, warm * 0.4, 0.08, 0.13),
        (field_now, warm * 0.8, 0.13, 0.18),
        (np.full(3, grey), np.full(3, 0.015), 0.05, 0.07),
        (np.array((1.0, 0.97, 0.92)) * beige, np.full(3, 0.015), 0.04, 0.05),
        (np.array((0.55, 0.45, 0.33)) * rng.uniform(0.85, 1.15), warm, 0.08, 0.11),
        (np.array((0.84, 0.75, 0.57)) * rng.uniform(0.88, 1.08), warm * 0.6, 0.04, 0.05),
        (deep, np.zeros(3), 0.0, 0.0),
    )
    palette = np.array([(colour, patch, (tuft, grain, 0.0)) for colour, patch, tuft, grain in grounds])
    return tuple(leaf_now), palette
