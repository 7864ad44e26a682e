"""Composes rendered scenes: seven layouts, each a ground, a backdrop and a list of what may stand where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from whatwhere.datasets import scene_weather as weather
from whatwhere.datasets.scene_craft import boat, sign
from whatwhere.datasets.scene_figures import Model, Setting, animal, person, tree
from whatwhere.datasets.scene_solids import building, car, house
from whatwhere.datasets.scene_world import (
    DIRT,
    FIELD,
    GRASS,
    LABEL,
    LAWN,
    PAVEMENT,
    ROAD,
    SAND,
    WATER,
    Band,
    Camera,
    Clouds,
    Colour,
    Ground,
    Light,
    Plan,
    Range,
    Thing,
    TreeLine,
)

_MODELS: dict[str, Callable[[np.random.Generator, Setting], Model]] = {
    "car": car, "person": person, "house": house, "boat": boat, "animal": animal, "tree": tree, "sign": sign,
}  # fmt: skip
#: Per class: nominal height (metres), least and greatest height on the screen, room on the ground (metres).
_SIZES: dict[str, tuple[float, float, float, float]] = {
    "car": (1.5, 0.07, 0.24, 2.5),
    "person": (1.7, 0.11, 0.48, 0.4),
    "house": (7.0, 0.14, 0.42, 6.0),
    "boat": (6.0, 0.07, 0.34, 4.5),
    "animal": (1.5, 0.09, 0.34, 1.3),
    "tree": (8.0, 0.15, 0.75, 1.5),
    "sign": (2.6, 0.17, 0.5, 0.4),
}
_LAND = (GRASS, FIELD)


@dataclass
class Stage:
    """A plan in the making."""

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


Spots = Float[np.ndarray, "candidate pose"]


def depths(stage: Stage, name: str) -> tuple[float, float]:
    """Nearest and farthest distance in metres at which a thing is fully in view and neither huge nor tiny."""
    tall, least, most, _ = _SIZES[name]
    camera = stage.camera
    nearest = max(camera.focal * tall / most, camera.focal * camera.height_m / (0.98 - camera.horizon))
    return nearest, max(min(camera.focal * tall / least, stage.far_m), nearest * 1.05)


def anywhere(stage: Stage, name: str, count: int = 40) -> Spots:
    """Candidate poses (x, z, yaw) all over the picture."""
    near, far = depths(stage, name)
    z = np.exp(stage.rng.uniform(np.log(near), np.log(far), count))
    x = (stage.rng.uniform(0.05, 0.95, count) - 0.5) * z / stage.camera.focal
    yaw = stage.rng.uniform(-0.7, 0.7, count) + (stage.rng.integers(0, 4, count) * (np.pi / 2))
    return np.stack([x, z, yaw], 1)


def beside(stage: Stage, name: str, band: Band, offset_m: float, count: int = 24) -> Spots:
    """Candidate poses at a distance from a band's centre line, on either side, facing along it.

    Traffic keeps to the right: what stands on the right of a road that runs away drives away.
    """
    near, far = depths(stage, name)
    side = stage.rng.choice((-1.0, 1.0), count)
    if band.along:
        z = np.exp(stage.rng.uniform(np.log(near), np.log(far), count))
        x = band.middle(z) + side * offset_m
        heading = np.pi / 2 - np.arctan((band.middle(z + 0.5) - band.middle(z - 0.5)))
        yaw = heading + np.where(side > 0, 0.0, np.pi)
    else:
        guess = band.centre[0]
        x = (stage.rng.uniform(0.02, 0.98, count) - 0.5) * guess / stage.camera.focal
        z = band.middle(x) + side * offset_m
        yaw = np.arctan(band.middle(x + 0.5) - band.middle(x - 0.5)) + np.where(side > 0, np.pi, 0.0)
    spots = np.stack([x, z, yaw], 1)
    shown = np.abs(x * stage.camera.focal / np.maximum(z, 0.1)) < 0.48
    return spots[shown & (z >= near * 0.9) & (z <= far * 1.1)]


def put(stage: Stage, name: str, spots: Spots, surfaces: tuple[int, ...]) -> None:
    """Places one thing at the first candidate whose footprint is free and of the right material, if any is."""
    room = _SIZES[name][3]
    if len(spots) == 0:
        return
    x, z = spots[:, 0], spots[:, 1]
    fits = np.ones(len(spots), bool)
    reach = 0.3 if name == "sign" else room
    for dx, dz in ((0, 0), (reach, 0), (-reach, 0), (0, reach), (0, -reach)):
        fits &= stage.ground.is_any(x + dx, z + dz, surfaces)
    for other in stage.things:
        gap = np.hypot(x - other.x_m, z - other.z_m)
        fits &= gap > room + _SIZES[_name(other)][3]
    if fits.any():
        x0, z0, yaw = spots[int(np.argmax(fits))].tolist()
        solid = name in ("car", "house")
        model = _MODELS[name](stage.rng, stage.setting(x0, z0, yaw if solid else 0.0))
        stage.things.append(
            Thing(LABEL[name], x0, z0, yaw if solid else 0.0, model.radius_m, model.height_m, tuple(model.parts))
        )


_NAMES = {index: name for name, index in LABEL.items()}


def _name(thing: Thing) -> str:
    return _NAMES[thing.label]


def scatter(stage: Stage, name: str, least: int, most: int, surfaces: tuple[int, ...] = _LAND) -> None:
    """Places between `least` and `most` things anywhere on these materials."""
    for _ in range(int(stage.rng.integers(least, most + 1))):
        put(stage, name, anywhere(stage, name), surfaces)


def drive(stage: Stage, band: Band, least: int, most: int) -> None:
    """Places cars in the lanes of a road."""
    for _ in range(int(stage.rng.integers(least, most + 1))):
        lane = 0.5 * band.half_m if band.half_m > 2.4 else 0.0
        put_car = beside(stage, "car", band, lane)
        # A lane is narrower than a car is long: the material is checked at the centre only.
        keep = [spot for spot in put_car if all(np.hypot(spot[0] - t.x_m, spot[1] - t.z_m) > 5.0 for t in stage.things)]
        if keep:
            _add_car(stage, keep[0])


def _add_car(stage: Stage, spot: Float[np.ndarray, " pose"]) -> None:
    x, z, yaw = spot.tolist()
    model = car(stage.rng, stage.setting(x, z, yaw))
    stage.things.append(Thing(LABEL["car"], x, z, yaw, model.radius_m * 0.8, model.height_m, tuple(model.parts)))


def post(stage: Stage, band: Band, least: int, most: int, surfaces: tuple[int, ...]) -> None:
    """Places signs along the side of a road."""
    for _ in range(int(stage.rng.integers(least, most + 1))):
        put(stage, "sign", beside(stage, "sign", band, band.half_m + 0.8), surfaces)


def block(stage: Stage, x: float, z: float, yaw: float, size: tuple[float, float, float]) -> None:
    """Adds a building of (half width, half depth, height) metres to the backdrop."""
    half, depth, tall = size
    model = building(stage.rng, stage.setting(x, z, yaw), half=half, depth=depth, tall=tall, distance_m=z)
    stage.blocks.append(Thing(LABEL["building"], x, z, yaw, model.radius_m, tall, tuple(model.parts)))


def skyline(stage: Stage, distance_m: float, share: float) -> None:
    """A town in the distance over a share of the width."""
    width = distance_m / stage.camera.focal
    left = stage.rng.uniform(-0.5, 0.5 - share) * width
    x, end = left, left + share * width
    while x < end:
        half = stage.rng.uniform(0.02, 0.05) * width
        tall = stage.rng.uniform(0.05, 0.2) * width
        block(stage, x + half, distance_m * stage.rng.uniform(1.0, 1.15), stage.rng.uniform(-0.3, 0.3), (half, half * 0.8, tall))
        x += 2.1 * half
    stage.blocks.sort(key=lambda b: -b.z_m)


def row_along(stage: Stage, side: float, offset_m: float, start_m: float, end_m: float) -> None:
    """Buildings side by side along a street that runs away; `offset_m` from its middle to their fronts."""
    z, found = start_m, []
    while z < end_m:
        depth, tall, half = stage.rng.uniform(5.0, 9.0), stage.rng.uniform(8.0, 24.0), stage.rng.uniform(4.0, 7.0)
        found.append((side * (offset_m + half), z + depth, (half, depth, tall)))
        z += 2 * depth + (stage.rng.uniform(2.0, 7.0) if stage.chance(0.25) else 0.05)
    for x, middle, size in reversed(found):
        block(stage, x, middle, 0.0, size)


def row_across(stage: Stage, distance_m: float, left: float, right: float) -> None:
    """Buildings side by side facing the viewer, from `left` to `right` in image coordinates."""
    width = distance_m / stage.camera.focal
    x, end = (left - 0.5) * width, (right - 0.5) * width
    while x < end:
        half, tall = stage.rng.uniform(3.5, 7.5), stage.rng.uniform(7.0, 19.0)
        block(stage, x + half, distance_m + 5.0, 0.0, (half, 5.0, tall))
        x += 2 * half + (stage.rng.uniform(1.0, 6.0) if stage.chance(0.3) else 0.03)
