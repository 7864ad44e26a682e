"""Draws what surrounds a scene: time of day, clouds, ridges, woods, and the colours of the season."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from whatwhere.scenes.world import (
    DIRT,
    FIELD,
    GRASS,
    LAWN,
    PAVEMENT,
    ROAD,
    SAND,
    WATER,
    Camera,
    Clouds,
    Colour,
    Light,
    Palette,
    Range,
    TreeLine,
)


class _Hour(NamedTuple):
    """A time of day: how often, its words and colours; ranges of the sun's elevation (degrees), of the haze
    (km) and of the clouds' cover; the share of windows that are lit."""

    share: float
    phrase: str
    zenith: Colour
    horizon: Colour
    key: Colour
    ambient: Colour
    elevation: tuple[float, float]
    haze_km: tuple[float, float]
    cover: tuple[float, float]
    lamps: float


_CLEAR = _Hour(
    share=0.42,
    phrase="",
    zenith=(0.2, 0.42, 0.78),
    horizon=(0.74, 0.85, 0.95),
    key=(0.85, 0.8, 0.7),
    ambient=(0.42, 0.46, 0.54),
    elevation=(22, 65),
    haze_km=(0.5, 2.5),
    cover=(0.03, 0.6),
    lamps=0.0,
)
_DUSK = _Hour(
    share=0.14,
    phrase="at dusk",
    zenith=(0.24, 0.26, 0.5),
    horizon=(0.98, 0.62, 0.38),
    key=(0.95, 0.52, 0.28),
    ambient=(0.36, 0.32, 0.42),
    elevation=(5, 16),
    haze_km=(0.35, 1.2),
    cover=(0.1, 0.6),
    lamps=0.35,
)
_DAWN = _Hour(
    share=0.14,
    phrase="at dawn",
    zenith=(0.5, 0.6, 0.8),
    horizon=(0.99, 0.86, 0.74),
    key=(0.75, 0.6, 0.46),
    ambient=(0.46, 0.46, 0.54),
    elevation=(5, 18),
    haze_km=(0.15, 0.5),
    cover=(0.05, 0.5),
    lamps=0.1,
)
_DULL = _Hour(
    share=0.2,
    phrase="",
    zenith=(0.6, 0.64, 0.7),
    horizon=(0.8, 0.83, 0.86),
    key=(0.16, 0.16, 0.16),
    ambient=(0.62, 0.64, 0.68),
    elevation=(35, 60),
    haze_km=(0.2, 0.8),
    cover=(0.75, 0.97),
    lamps=0.08,
)
_NIGHT = _Hour(
    share=0.1,
    phrase="at night",
    zenith=(0.05, 0.08, 0.2),
    horizon=(0.2, 0.25, 0.42),
    key=(0.22, 0.25, 0.34),
    ambient=(0.22, 0.26, 0.38),
    elevation=(20, 50),
    haze_km=(0.3, 1.0),
    cover=(0.05, 0.5),
    lamps=0.65,
)
_HOURS = (_CLEAR, _DUSK, _DAWN, _DULL, _NIGHT)


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
    """One to three ridges, the nearer the lower and greener; `height` is the highest's, image heights."""
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


class _Season(NamedTuple):
    share: float
    grass: Colour
    leaf: Colour
    field: Colour


_SEASONS = (
    _Season(0.35, grass=(0.34, 0.44, 0.18), leaf=(0.26, 0.39, 0.15), field=(0.42, 0.45, 0.18)),
    _Season(0.3, grass=(0.26, 0.4, 0.14), leaf=(0.17, 0.33, 0.11), field=(0.7, 0.6, 0.3)),
    _Season(0.18, grass=(0.52, 0.5, 0.25), leaf=(0.28, 0.38, 0.14), field=(0.62, 0.52, 0.3)),
    _Season(0.17, grass=(0.42, 0.44, 0.2), leaf=(0.62, 0.38, 0.1), field=(0.42, 0.32, 0.22)),
)


def season(rng: np.random.Generator) -> tuple[Colour, Palette]:
    """The leaves' colour and the ground's palette."""
    now = _SEASONS[rng.choice(len(_SEASONS), p=[each.share for each in _SEASONS])]
    leaf = np.array(now.leaf) * rng.uniform(0.85, 1.15, 3)
    grass, field = (np.array(colour) * rng.uniform(0.9, 1.1, 3) for colour in (now.grass, now.field))
    asphalt = np.full(3, rng.uniform(0.3, 0.42))
    paving = np.array((1.0, 0.97, 0.92)) * rng.uniform(0.5, 0.66)
    dirt = np.array((0.55, 0.45, 0.33)) * rng.uniform(0.85, 1.15)
    sand = np.array((0.84, 0.75, 0.57)) * rng.uniform(0.88, 1.08)
    water = np.array((0.1, 0.24, 0.3)) * rng.uniform(0.7, 1.15, 3)
    warm, grey = np.array((0.05, 0.03, 0.01)), np.full(3, 0.015)
    looks = {
        # colour, what patches add, roughness of tufts and of grains
        GRASS: (grass, warm * 0.9, 0.13, 0.19),
        LAWN: (grass * 0.95, warm * 0.4, 0.08, 0.13),
        FIELD: (field, warm * 0.8, 0.13, 0.18),
        ROAD: (asphalt, grey, 0.05, 0.07),
        PAVEMENT: (paving, grey, 0.04, 0.05),
        DIRT: (dirt, warm, 0.08, 0.11),
        SAND: (sand, warm * 0.6, 0.04, 0.05),
        WATER: (water, grey * 0.0, 0.0, 0.0),
    }
    columns = zip(*(looks[surface] for surface in sorted(looks)), strict=True)
    return tuple(leaf.tolist()), Palette(*(np.array(column, np.float32) for column in columns))
