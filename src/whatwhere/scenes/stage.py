"""Puts things and buildings into a scene in the making: where there is room, on the right ground, in view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from whatwhere.scenes.buildings import building, house
from whatwhere.scenes.cars import car
from whatwhere.scenes.craft import boat, sign
from whatwhere.scenes.figures import Model, Setting, animal, person
from whatwhere.scenes.plants import tree
from whatwhere.scenes.world import (
    CLASSES,
    DIRT,
    GRASS,
    LABEL,
    ROAD,
    Band,
    Camera,
    Colour,
    Ground,
    Light,
    Range,
    Thing,
    TreeLine,
)

Spots = Float[np.ndarray, "candidate pose"]


class _Kind(NamedTuple):
    """How to make a class of things, and how big it is.

    `tall_m` is its usual height, `least` and `most` the heights it may have on the screen (image heights),
    `room_m` the radius it keeps free, `reach_m` the radius within which the ground must suit it. Solid things
    have a direction; figures always face the viewer.
    """

    make: Callable[[np.random.Generator, Setting], Model]
    tall_m: float
    least: float
    most: float
    room_m: float
    reach_m: float
    solid: bool = False


_KINDS: dict[str, _Kind] = {
    "car": _Kind(car, 1.5, 0.07, 0.24, 2.5, 2.5, solid=True),
    "person": _Kind(person, 1.7, 0.11, 0.48, 0.4, 0.4),
    "house": _Kind(house, 7.0, 0.14, 0.42, 6.0, 6.0, solid=True),
    "boat": _Kind(boat, 6.0, 0.07, 0.34, 4.5, 4.5),
    "animal": _Kind(animal, 1.5, 0.09, 0.34, 1.3, 1.3),
    "tree": _Kind(tree, 8.0, 0.15, 0.75, 1.5, 1.5),
    "sign": _Kind(sign, 2.6, 0.17, 0.5, 0.4, 0.3),
}


@dataclass
class Stage:
    """A scene in the making. Nothing may stand farther than `far_m`, where woods or houses close the view."""

    rng: np.random.Generator
    camera: Camera
    light: Light
    leaf: Colour
    far_m: float
    ground: Ground = field(default_factory=lambda: Ground(GRASS))
    ranges: tuple[Range, ...] = ()
    tree_lines: list[TreeLine] = field(default_factory=list)
    blocks: list[Thing] = field(default_factory=list)
    things: list[Thing] = field(default_factory=list)

    def setting(self, x: float, z: float, yaw: float) -> Setting:
        """What a model at this place must know."""
        cosine, sine = np.cos(yaw), np.sin(yaw)
        eye = np.array([-x * cosine - z * sine, self.camera.height_m, x * sine - z * cosine])
        return Setting(eye, self.leaf, self.light.lamps)

    def chance(self, probability: float) -> bool:
        """True so often."""
        return bool(self.rng.random() < probability)

    def number(self, least: int, most: int) -> range:
        """A range with `least` to `most` elements."""
        return range(int(self.rng.integers(least, most + 1)))


def depths(stage: Stage, name: str) -> tuple[float, float]:
    """Nearest and farthest distance in metres at which a thing is fully in view and neither huge nor tiny."""
    kind, camera = _KINDS[name], stage.camera
    in_view = camera.focal * camera.height_m / (0.98 - camera.horizon)
    nearest = max(camera.focal * kind.tall_m / kind.most, in_view)
    return nearest, max(min(camera.focal * kind.tall_m / kind.least, stage.far_m), nearest * 1.05)


def anywhere(stage: Stage, name: str, count: int = 40) -> Spots:
    """Candidate poses (x, z, yaw) all over the picture."""
    near, far = np.log(depths(stage, name))
    z = np.exp(stage.rng.uniform(near, far, count))
    x = (stage.rng.uniform(0.05, 0.95, count) - 0.5) * z / stage.camera.focal
    yaw = stage.rng.uniform(-0.7, 0.7, count) + stage.rng.integers(0, 4, count) * (np.pi / 2)
    return np.stack([x, z, yaw], 1)


def beside(stage: Stage, name: str, band: Band, offset_m: float, count: int = 24) -> Spots:
    """Candidate poses at a distance from a band's centre line, on either side, facing along it.

    Traffic keeps to the right: what stands to the right of the middle of a road that runs away drives away.
    """
    near, far = depths(stage, name)
    side = stage.rng.choice((-1.0, 1.0), count)
    run = stage.rng.uniform(0.0, 1.0, count)
    if band.along:
        z = near * (far / near) ** run
        x = band.middle(z) + side * offset_m
        yaw = np.pi / 2 - np.arctan(band.middle(z + 0.5) - band.middle(z - 0.5))
    else:
        x = (0.96 * run - 0.48) * band.centre[0] / stage.camera.focal
        z = band.middle(x) + side * offset_m
        yaw = np.arctan(band.middle(x + 0.5) - band.middle(x - 0.5)) + np.pi
    spots = np.stack([x, z, np.where(side > 0, yaw, yaw + np.pi)], 1)
    shown = np.abs(x * stage.camera.focal) < 0.48 * np.maximum(z, 0.1)
    return spots[shown & (z >= near * 0.9) & (z <= far * 1.1)]


def put(stage: Stage, name: str, spots: Spots, surfaces: tuple[int, ...], *, reach_m: float | None = None) -> None:
    """Places one thing at the first candidate that is free and on one of these materials, if any is."""
    kind = _KINDS[name]
    reach = kind.reach_m if reach_m is None else reach_m
    x, z = spots[:, 0], spots[:, 1]
    around = reach * np.array([(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)])
    fits = stage.ground.is_any(x + around[:, :1], z + around[:, 1:], surfaces).all(0)
    for other in stage.things:
        gap = np.hypot(x - other.x_m, z - other.z_m)
        fits &= gap > kind.room_m + _KINDS[CLASSES[other.label]].room_m
    if not fits.any():
        return
    x0, z0, yaw = spots[int(np.argmax(fits))].tolist()
    yaw = yaw if kind.solid else 0.0
    model = kind.make(stage.rng, stage.setting(x0, z0, yaw))
    ends = x0 + model.half_m[0] * np.array((-1.0, 1.0))
    # Boats differ most in length: the one that was made must lie in the water from end to end.
    if name != "boat" or stage.ground.is_any(ends, np.full(2, z0), surfaces).all():
        stage.things.append(_stand(LABEL[name], x0, z0, yaw, model))


def _stand(label: int, x: float, z: float, yaw: float, model: Model) -> Thing:
    return Thing(label, x, z, yaw, model.half_m, model.height_m, tuple(model.parts))


def scatter(stage: Stage, name: str, least: int, most: int, surfaces: tuple[int, ...]) -> None:
    """Places between `least` and `most` things anywhere on these materials."""
    for _ in stage.number(least, most):
        put(stage, name, anywhere(stage, name), surfaces)


def drive(stage: Stage, band: Band, least: int, most: int) -> None:
    """Places cars in the lanes of a road; a lane is narrower than a car, so only the middle counts."""
    lane = 0.5 * band.half_m if band.half_m > 2.4 else 0.0
    for _ in stage.number(least, most):
        put(stage, "car", beside(stage, "car", band, lane), (ROAD, DIRT), reach_m=0.0)


def post(stage: Stage, band: Band, least: int, most: int, surfaces: tuple[int, ...]) -> None:
    """Places signs along the side of a road."""
    for _ in stage.number(least, most):
        put(stage, "sign", beside(stage, "sign", band, band.half_m + 0.8), surfaces)


def block(stage: Stage, x: float, z: float, yaw: float, size: tuple[float, float, float]) -> None:
    """Adds a building of (half width, half depth, height) metres behind the things."""
    half, depth, tall = size
    model = building(stage.rng, stage.setting(x, z, yaw), half=half, depth=depth, tall=tall, distance_m=z)
    stage.blocks.append(_stand(LABEL["building"], x, z, yaw, model))


def skyline(stage: Stage, distance_m: float, share: float) -> None:
    """A town in the distance over a share of the width."""
    rng, width = stage.rng, distance_m / stage.camera.focal
    x = rng.uniform(-0.5, 0.5 - share) * width
    end = x + share * width
    while x < end:
        half, tall = rng.uniform(0.02, 0.05) * width, rng.uniform(0.05, 0.2) * width
        away, yaw = distance_m * rng.uniform(1.0, 1.15), rng.uniform(-0.3, 0.3)
        block(stage, x + half, away, yaw, (half, half * 0.8, tall))
        x += 2.1 * half
    stage.blocks.sort(key=lambda tower: -tower.z_m)


def row_along(stage: Stage, side: float, front_m: float, start_m: float, end_m: float) -> None:
    """Buildings side by side along a street that runs away; their fronts stand at x = side * front_m."""
    rng, z, found = stage.rng, start_m, []
    while z < end_m:
        half, depth, tall = rng.uniform(4.0, 7.0), rng.uniform(5.0, 9.0), rng.uniform(8.0, 24.0)
        found.append((side * (front_m + half), z + depth, (half, depth, tall)))
        z += 2 * depth + (rng.uniform(2.0, 7.0) if stage.chance(0.25) else 0.05)
    for x, middle, size in reversed(found):
        block(stage, x, middle, 0.0, size)


def row_across(stage: Stage, distance_m: float, left: float, right: float) -> None:
    """Buildings side by side facing the viewer, from `left` to `right` in image coordinates."""
    rng, width = stage.rng, distance_m / stage.camera.focal
    x, end = (left - 0.5) * width, (right - 0.5) * width
    while x < end:
        half, tall = rng.uniform(3.5, 7.5), rng.uniform(7.0, 19.0)
        block(stage, x + half, distance_m + 5.0, 0.0, (half, 5.0, tall))
        x += 2 * half + (rng.uniform(1.0, 6.0) if stage.chance(0.3) else 0.03)
