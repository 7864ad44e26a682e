"""The seven places of the rendered scenes, and the plan of one scene from a random generator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from whatwhere.scenes import weather
from whatwhere.scenes.stage import (
    Stage,
    drive,
    post,
    row_across,
    row_along,
    scatter,
    skyline,
)
from whatwhere.scenes.world import (
    DIRT,
    FIELD,
    GRASS,
    LAWN,
    PAVEMENT,
    ROAD,
    SAND,
    WATER,
    Band,
    Camera,
    Ground,
    Plan,
)

_LAND = (GRASS, FIELD)
_FOREVER = 5000.0


def _woods(stage: Stage, probability: float, near_m: float = 55.0, far_m: float = 150.0) -> None:
    if stage.chance(probability):
        distance = float(stage.rng.uniform(near_m, far_m))
        stage.tree_lines.append(weather.tree_line(stage.rng, stage.camera, distance, stage.leaf))
        stage.far_m = min(stage.far_m, distance * 0.92)


def _mountains(stage: Stage, probability: float, low: float = 0.12, high: float = 0.4) -> None:
    if stage.chance(probability):
        stage.ranges = weather.mountains(stage.rng, float(stage.rng.uniform(low, high)))


def _road(stage: Stage, half_m: float, surface: int = ROAD) -> Band:
    """A straight or curved road that runs away, or one that crosses the picture."""
    rng = stage.rng
    if stage.chance(0.3):
        z = stage.camera.focal * stage.camera.height_m / rng.uniform(0.14, 0.3)
        return Band(surface, False, (z, rng.uniform(-0.12, 0.12), 0.0), half_m, 0.0, rng.uniform(0, 6))
    bend = rng.choice((0.0, rng.uniform(-0.006, 0.006)))
    middle = (rng.uniform(-4.0, 4.0), rng.uniform(-0.25, 0.25), bend)
    return Band(surface, True, middle, half_m, 0.0, rng.uniform(0, 6))


def country(stage: Stage) -> None:
    """A road or track through fields."""
    rng = stage.rng
    track = stage.chance(0.3)
    band = _road(stage, 1.6 if track else rng.uniform(3.0, 4.2), DIRT if track else ROAD)
    bands = [band]
    if stage.chance(0.45):
        z = rng.uniform(25.0, 60.0)
        bands.insert(0, Band(FIELD, False, (z + 40.0, rng.uniform(-0.3, 0.3), 0.0), 40.0, 1.0, rng.uniform(0, 6)))
    stage.ground = Ground(GRASS, tuple(bands))
    _mountains(stage, 0.45)
    _woods(stage, 0.65)
    if stage.chance(0.12):
        skyline(stage, 260.0, float(rng.uniform(0.2, 0.5)))
    drive(stage, band, 0 if track else 1, 1 if track else 3)
    scatter(stage, "house", 0, 2, _LAND)
    post(stage, band, 0, 0 if track else 2, _LAND)
    scatter(stage, "tree", 1, 5, _LAND)
    scatter(stage, "animal", 0, 3, _LAND)
    scatter(stage, "person", 0, 2, (*_LAND, DIRT))


def street(stage: Stage) -> None:
    """A town street with pavements and buildings on one or both sides."""
    rng = stage.rng
    half, walk = rng.uniform(3.2, 4.6), rng.uniform(2.5, 4.0)
    middle = (rng.uniform(-3.0, 3.0), rng.uniform(-0.06, 0.06), 0.0)
    band = Band(ROAD, True, middle, half, 0.0, rng.uniform(0, 6))
    path = Band(PAVEMENT, True, middle, half + walk, 0.0)
    sides = rng.choice(3, p=(0.5, 0.25, 0.25))
    park = sides > 0
    stage.ground = Ground(GRASS if park else LAWN, (path, band))
    stage.far_m = 90.0
    for number, side in ((0, -1.0), (1, 1.0)):
        if sides in (0, number + 1):
            row_along(
                stage,
                side,
                half + walk + 0.5 + side * middle[0],
                rng.uniform(3.0, 12.0),
                rng.uniform(40.0, 90.0),
            )
    _woods(stage, 0.5, 95.0, 130.0)
    if stage.chance(0.5):
        skyline(stage, 170.0, float(rng.uniform(0.4, 0.95)))
    drive(stage, band, 1, 4)
    post(stage, band, 0, 2, (PAVEMENT,))
    scatter(stage, "person", 1, 5, (PAVEMENT,))
    scatter(stage, "tree", 0, 2, (PAVEMENT,))
    if park:
        scatter(stage, "tree", 1, 4, (GRASS,))
        scatter(stage, "animal", 0, 1, (GRASS,))


def lake(stage: Stage) -> None:
    """A lake seen from its shore, with woods or mountains on the other side."""
    rng = stage.rng
    near, far = rng.uniform(9.0, 18.0), rng.uniform(45.0, 110.0)
    tilt, wobble, phase = rng.uniform(-0.25, 0.25), rng.uniform(0.3, 1.6), rng.uniform(0, 6)
    water = Band(WATER, False, ((near + far) / 2, tilt, 0.0), (far - near) / 2, wobble, phase)
    bands = [water]
    if stage.chance(0.5):
        bands.insert(0, Band(SAND, False, water.centre, water.half_m + rng.uniform(0.8, 3.0), wobble, phase))
    stage.ground = Ground(GRASS, tuple(bands))
    _mountains(stage, 0.7, 0.15, 0.42)
    _woods(stage, 0.85, far * 1.15, far * 1.5)
    scatter(stage, "boat", 1, 4, (WATER,))
    scatter(stage, "house", 0, 1, _LAND)
    scatter(stage, "tree", 1, 4, _LAND)
    scatter(stage, "person", 0, 3, (*_LAND, SAND))
    scatter(stage, "animal", 0, 2, _LAND)


def meadow(stage: Stage) -> None:
    """Grassland with animals under mountains, sometimes with a stream."""
    rng = stage.rng
    bands = []
    if stage.chance(0.35):
        centre = (rng.uniform(-4.0, 4.0), rng.uniform(-0.3, 0.3), 0.0)
        bands.append(Band(WATER, True, centre, rng.uniform(1.2, 3.0), rng.uniform(0.5, 1.5), rng.uniform(0, 6)))
    elif stage.chance(0.4):
        bands.append(_road(stage, 1.4, DIRT))
    stage.ground = Ground(GRASS, tuple(bands))
    _mountains(stage, 0.88, 0.15, 0.45)
    _woods(stage, 0.5)
    scatter(stage, "house", 0, 1, _LAND)
    scatter(stage, "tree", 0, 4, _LAND)
    scatter(stage, "animal", 2, 6, _LAND)
    scatter(stage, "person", 0, 2, _LAND)


def coast(stage: Stage) -> None:
    """A beach and the sea, to the left, to the right or ahead."""
    rng = stage.rng
    wobble, phase = rng.uniform(0.3, 1.2), rng.uniform(0, 6)
    beach = rng.uniform(4.0, 12.0)
    if stage.chance(0.5):
        shore, slope = rng.uniform(8.0, 18.0), rng.uniform(-0.3, 0.3)
        sea = Band(WATER, False, (shore + _FOREVER, slope, 0.0), _FOREVER, wobble, phase)
        sand = Band(SAND, False, sea.centre, _FOREVER + beach, wobble, phase)
    else:
        side, shore, slope = rng.choice((-1.0, 1.0)), rng.uniform(-1.0, 3.0), rng.uniform(-0.15, 0.35)
        sea = Band(WATER, True, (side * (shore + _FOREVER), -side * slope, 0.0), _FOREVER, wobble, phase)
        sand = Band(SAND, True, sea.centre, _FOREVER + beach, wobble, phase)
    stage.ground = Ground(GRASS, (sand, sea))
    _mountains(stage, 0.4, 0.07, 0.28)
    if stage.chance(0.15):
        skyline(stage, 300.0, float(rng.uniform(0.2, 0.5)))
    scatter(stage, "boat", 1, 4, (WATER,))
    scatter(stage, "person", 1, 5, (SAND,))
    scatter(stage, "house", 0, 2, _LAND)
    scatter(stage, "tree", 0, 3, _LAND)
    scatter(stage, "animal", 0, 1, (SAND, GRASS))


def village(stage: Stage) -> None:
    """Houses and gardens along a road."""
    rng = stage.rng
    band = _road(stage, rng.uniform(2.6, 3.6))
    verge = Band(PAVEMENT, band.along, band.centre, band.half_m + 1.4)
    stage.ground = Ground(GRASS, (verge, band) if stage.chance(0.5) else (band,))
    _mountains(stage, 0.35)
    _woods(stage, 0.55, 70.0, 150.0)
    if stage.chance(0.35):
        row_across(stage, min(stage.far_m, 75.0) + 5.0, *sorted(rng.uniform(0.0, 1.0, 2)))
        stage.far_m = min(stage.far_m, 70.0)
    scatter(stage, "house", 2, 5, _LAND)
    drive(stage, band, 0, 2)
    post(stage, band, 0, 2, (GRASS, PAVEMENT))
    scatter(stage, "tree", 1, 5, _LAND)
    scatter(stage, "person", 0, 4, (GRASS, PAVEMENT))
    scatter(stage, "animal", 0, 2, _LAND)


def riverside(stage: Stage) -> None:
    """A town across the water, seen from a quay or a grassy bank."""
    rng = stage.rng
    near, far = rng.uniform(7.0, 12.0), rng.uniform(38.0, 60.0)
    water = Band(WATER, False, ((near + far) / 2, rng.uniform(-0.08, 0.08), 0.0), (far - near) / 2)
    quay = stage.chance(0.55)
    bank = Band(PAVEMENT if quay else GRASS, False, water.centre, water.half_m + (30.0 if quay else 2.0))
    stage.ground = Ground(GRASS, (bank, water))
    _mountains(stage, 0.3, 0.1, 0.3)
    stage.far_m = far + 8.0
    left = rng.uniform(-0.1, 0.4) if stage.chance(0.5) else -0.1
    row_across(stage, far + 9.0, left, 1.1 if stage.chance(0.5) else rng.uniform(0.6, 1.1))
    _woods(stage, 0.35, far + 20.0, far + 40.0)
    scatter(stage, "boat", 1, 4, (WATER,))
    scatter(stage, "person", 0, 4, (PAVEMENT, GRASS))
    scatter(stage, "tree", 0, 3, (GRASS, PAVEMENT))
    scatter(stage, "car", 0, 1, (PAVEMENT,))
    scatter(stage, "sign", 0, 1, (PAVEMENT,))


_PLACES: tuple[tuple[Callable[[Stage], None], float, tuple[float, float]], ...] = (
    # place, share of the scenes, lowest and highest eye (metres)
    (country, 0.18, (1.7, 5.0)),
    (street, 0.17, (1.7, 4.0)),
    (lake, 0.14, (2.0, 6.0)),
    (meadow, 0.14, (1.6, 4.5)),
    (coast, 0.14, (1.8, 5.5)),
    (village, 0.12, (2.0, 7.0)),
    (riverside, 0.11, (2.0, 6.0)),
)


def compose(rng: np.random.Generator) -> Plan:
    """The plan of one scene; draws only from `rng`, and nothing in it depends on a size in pixels."""
    place, _, eye = _PLACES[rng.choice(len(_PLACES), p=[share for _, share, _ in _PLACES])]
    camera = Camera(float(rng.uniform(*eye)), float(rng.uniform(0.85, 1.25)), float(rng.uniform(0.36, 0.6)))
    light, clouds = weather.light(rng)
    leaf, palette = weather.season(rng)
    stage = Stage(rng, camera, light, leaf, far_m=160.0)
    place(stage)
    things = tuple(sorted(stage.things, key=lambda thing: -thing.z_m))
    return Plan(
        layout=place.__name__,
        camera=camera,
        light=light,
        clouds=clouds,
        ranges=stage.ranges,
        tree_lines=tuple(stage.tree_lines),
        ground=stage.ground,
        palette=palette,
        blocks=tuple(stage.blocks),
        things=things,
    )
