"""The world of a rendered scene: its classes, camera, light, ground and parts, in metres, before any pixel.

Axes of the world: x to the right, y up, z away from the viewer, who stands at x = z = 0. Image coordinates
run from 0 to 1, x to the right and y down, so a scene looks the same at every size in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

#: Class names; a label is an index into them. Stuff first, then things.
CLASSES: tuple[str, ...] = (
    "sky", "cloud", "mountain", "tree line", "grass", "road", "water", "building", "sand",
    "car", "person", "house", "boat", "animal", "tree", "sign",
)  # fmt: skip
#: Classes whose objects are counted one by one.
THINGS: frozenset[str] = frozenset({"car", "person", "house", "boat", "animal", "tree", "sign"})
LABEL: dict[str, int] = {name: index for index, name in enumerate(CLASSES)}

#: Materials of the ground; several share a class, and only some may carry things.
GRASS, LAWN, FIELD, ROAD, PAVEMENT, DIRT, SAND, WATER = range(8)
# ASSUME: pavement and dirt tracks are "road", lawns and fields "grass": the classes a viewer would name.
SURFACE_LABEL = np.array(
    [LABEL[name] for name in ("grass", "grass", "grass", "road", "road", "road", "sand", "water")], np.int16
)

#: The direction in which a flat figure that always faces the viewer is lit from.
TOWARD = (0.0, 0.45, -0.89)

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Visible:
    """What is seen of one thing: its class (index into `CLASSES`) and its visible pixels."""

    category: int
    mask: Bool[np.ndarray, "y x"]


@dataclass(frozen=True)
class Camera:
    """A level pinhole camera. `horizon` and `focal` are in image heights, `height_m` is the eye's height."""

    height_m: float
    focal: float
    horizon: float

    def project(self, points: Float[np.ndarray, "point xyz"]) -> Float[np.ndarray, "point xy"]:
        """Image coordinates of world points; points behind the viewer are moved just in front of him."""
        scale = self.focal / np.maximum(points[:, 2], 0.3)
        return np.stack([0.5 + scale * points[:, 0], self.horizon + scale * (self.height_m - points[:, 1])], 1)

    def depth(self, y: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
        """Distance in metres of the ground seen at image row y below the horizon."""
        return self.focal * self.height_m / np.maximum(y - self.horizon, 1e-4)


@dataclass(frozen=True)
class Light:
    """Time of day and weather. Colours are RGB from 0 to 1; `sun` is the unit vector toward the sun."""

    phrase: str
    zenith: Float[np.ndarray, " rgb"]
    horizon: Float[np.ndarray, " rgb"]
    key: Float[np.ndarray, " rgb"]
    ambient: Float[np.ndarray, " rgb"]
    sun: Float[np.ndarray, " xyz"]
    haze_m: float
    lamps: float

    def on(self, normals: Float[np.ndarray, "n xyz"]) -> Float[np.ndarray, "n rgb"]:
        """Light that surfaces with these normals receive: the sky's from above, the sun's by the cosine."""
        sky = 0.8 + 0.2 * normals[:, 1:2]
        direct = np.maximum(normals @ self.sun, 0.0)[:, None]
        return self.ambient * sky + self.key * direct


@dataclass(frozen=True)
class Band:
    """A strip of the ground: road, river, beach, sea. It runs away from the viewer (`along`) or across.

    Its centre line is a polynomial (c0, c1, c2) of the running coordinate in metres, plus a wobble.
    """

    surface: int
    along: bool
    centre: tuple[float, float, float]
    half_m: float
    wobble_m: float = 0.0
    phase: float = 0.0

    def middle(self, run: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
        """The centre line's coordinate, metres, at a running coordinate."""
        c0, c1, c2 = self.centre
        middle = c0 + run * (c1 + c2 * run)
        if self.wobble_m:
            turn = run * 0.21 + self.phase
            middle = middle + self.wobble_m * (np.sin(turn) + 0.5 * np.sin(2.3 * turn + 1.0))
        return middle

    def offset(self, x: Float[np.ndarray, "*#n"], z: Float[np.ndarray, "*#n"]) -> Float[np.ndarray, "..."]:
        """Signed distance from the centre line, metres, measured straight across (along x or z)."""
        return x - self.middle(z) if self.along else z - self.middle(x)


@dataclass(frozen=True)
class Ground:
    """A plane of one material with bands of others; the later band covers the earlier."""

    base: int
    bands: tuple[Band, ...] = ()

    def surface(self, x: Float[np.ndarray, "*#n"], z: Float[np.ndarray, "*#n"]) -> Int[np.ndarray, "..."]:
        """Material under each ground point."""
        answer = np.full(np.broadcast_shapes(np.shape(x), np.shape(z)), self.base, np.int8)
        for band in self.bands:
            answer[np.abs(band.offset(x, z)) < band.half_m] = band.surface
        return answer

    def is_any(
        self, x: Float[np.ndarray, "*#n"], z: Float[np.ndarray, "*#n"], surfaces: tuple[int, ...]
    ) -> Bool[np.ndarray, "..."]:
        """Where the ground is of one of these materials."""
        wanted = np.zeros(len(SURFACE_LABEL), bool)
        wanted[list(surfaces)] = True
        return wanted[self.surface(x, z)]


class Part(NamedTuple):
    """Polygons of one look: corners [polygon, corner, xyz] in metres from the foot of their object.

    `grain` is the amplitude of a leafy texture, `round` how much the side away from the sun darkens, `glow`
    the share of the colour that needs no light, `opacity` below 1 lets the background through (and then
    leaves the labels alone: reflections).
    """

    corners: Float[np.ndarray, "polygon corner xyz"]
    colour: Colour | np.ndarray
    normal: tuple[float, float, float] = TOWARD
    grain: float = 0.0
    round: float = 0.0
    glow: float = 0.0
    opacity: float = 1.0


@dataclass(frozen=True)
class Thing:
    """One object on the ground, turned by `yaw` (radians, from x toward z).

    `half_m` is its half extent along its own x and z axes; with the height it shapes the shadow.
    """

    label: int
    x_m: float
    z_m: float
    yaw: float
    half_m: tuple[float, float]
    height_m: float
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Clouds:
    """`cover` is the share of the sky they fill, `softness` the width of their edges (noise deviations)."""

    cover: float
    softness: float
    scale: float
    origin: tuple[float, float]
    thick: float


@dataclass(frozen=True)
class Range:
    """A mountain range or hill on the horizon; heights in image heights. `window` limits it in x."""

    height: float
    texels: float
    sharp: float
    origin: float
    colour: Colour
    snow: float
    haze: float
    window: tuple[float, float] = (-9.0, 9.0)


@dataclass(frozen=True)
class TreeLine:
    """A distant edge of a wood; crowns given by centre, radius, top (image units, up from the base)."""

    base: float
    crowns: Float[np.ndarray, "crown 3"]
    conifer: bool
    colour: Colour
    haze: float


@dataclass(frozen=True)
class Palette:
    """The ground's look per material: colour, what patches add to it, and how rough tufts and grains are."""

    colour: Float32[np.ndarray, "surface rgb"]
    patch: Float32[np.ndarray, "surface rgb"]
    tuft: Float32[np.ndarray, " surface"]
    grain: Float32[np.ndarray, " surface"]


@dataclass(frozen=True)
class Plan:
    """Everything a scene consists of, before a single pixel. Draw order: backdrop, blocks, things."""

    layout: str
    camera: Camera
    light: Light
    clouds: Clouds
    ranges: tuple[Range, ...]
    tree_lines: tuple[TreeLine, ...]
    ground: Ground
    palette: Palette
    blocks: tuple[Thing, ...]
    things: tuple[Thing, ...]
