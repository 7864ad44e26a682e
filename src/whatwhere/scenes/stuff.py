"""The canvas of a rendered scene, and what is painted above the horizon: sky, clouds, mountains, woods."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int16

from whatwhere.scenes.noise import fractal, line, sample, smooth_step
from whatwhere.scenes.world import LABEL, Camera, Clouds, Colour, Light, Plan, Range, TreeLine


@dataclass
class View:
    """The canvas being painted: colour [rgb, y, x] (float, 0 to 1) and the class index of every pixel.

    The colour axis comes first because arithmetic with masks and shades is several times faster that way.
    """

    camera: Camera
    light: Light
    x: Float32[np.ndarray, " x"]
    y: Float32[np.ndarray, " y"]
    colour: Float32[np.ndarray, "3 y x"]
    code: Int16[np.ndarray, "y x"]

    @classmethod
    def blank(cls, plan: Plan, size_px: int) -> View:
        """An unpainted square canvas; pixel centres lie at (index + 0.5) / size_px."""
        centres = (np.arange(size_px, dtype=np.float32) + 0.5) / np.float32(size_px)
        colour = np.empty((3, size_px, size_px), np.float32)
        code = np.zeros((size_px, size_px), np.int16)
        return cls(plan.camera, plan.light, centres, centres, colour, code)

    def rows(self, top: float, bottom: float) -> slice:
        """The rows whose centres lie between two heights of the image."""
        first, last = np.searchsorted(self.y, [top, bottom])
        return slice(int(first), int(last))

    def on_ground(self, rows: slice) -> tuple[Float32[np.ndarray, "y x"], Float32[np.ndarray, "y 1"]]:
        """World coordinates x and z, metres, of the ground seen in these rows."""
        z = self.camera.depth(self.y[rows]).astype(np.float32)[:, None]
        return (self.x[None] - 0.5) * (z / np.float32(self.camera.focal)), z


def rgb(colour: Float[np.ndarray, "3"] | Colour) -> Float32[np.ndarray, "3 1 1"]:
    """A colour in the canvas's axes."""
    return np.asarray(colour, np.float32).reshape(3, 1, 1)


def blend(
    low: Float[np.ndarray, "3"], high: Float[np.ndarray, "3"], share: Float[np.ndarray, "y x"]
) -> Float32[np.ndarray, "3 y x"]:
    """A colour between two, per pixel."""
    return rgb(low) + share.astype(np.float32, copy=False) * rgb(high - low)


def over(
    colour: Float32[np.ndarray, "3 y x"], paint: np.ndarray | np.float32, opacity: Float[np.ndarray, "y #x"]
) -> None:
    """Lays paint over the canvas, in place."""
    colour += opacity.astype(np.float32, copy=False) * (paint - colour)


def paint_sky(view: View) -> None:
    """A gradient from zenith to horizon, the glow around the sun, and the sun itself if it is in view."""
    light, camera = view.light, view.camera
    rise = np.clip(view.y / camera.horizon, 0, 1)[:, None] ** 1.5
    view.colour[:] = blend(light.zenith, light.horizon, rise)
    view.code[:] = LABEL["sky"]
    if light.sun[2] <= 0.05:
        return
    scale = camera.focal / light.sun[2]
    x, y = 0.5 + scale * light.sun[0], camera.horizon - scale * light.sun[1]
    rows = view.rows(0.0, camera.horizon)
    widths = np.array([0.3, 0.09, 0.022], np.float32)[:, None]
    strength = np.array([0.32, 0.4, 1.8], np.float32)[:, None] * np.float32(light.key.max())
    down = np.exp(-(((view.y[rows] - np.float32(y)) / widths) ** 2))
    glow = down.T @ (strength * np.exp(-(((view.x - np.float32(x)) / widths) ** 2)))
    view.colour[:, rows] += glow * rgb(light.key)


def paint_clouds(view: View, clouds: Clouds) -> None:
    """Fractal clouds on a ceiling seen in perspective; labelled where they hide more than half the sky."""
    if clouds.cover <= 0:
        return
    light, horizon = view.light, view.camera.horizon
    rows = view.rows(0.0, horizon)
    ceiling = (0.16 + (horizon - view.y[rows]) / horizon * 0.84)[:, None]
    u = clouds.origin[0] + clouds.scale * (view.x[None] - 0.5) / ceiling
    v = clouds.origin[1] + 0.7 * clouds.scale / ceiling
    density = sample(fractal(1.55, 2.0), v, u)
    # The logistic curve stands in for the Gaussian one: above zero is now about `cover` of the sky.
    density += np.float32(np.log(clouds.cover / (1.0 - clouds.cover)) / 1.7)
    haze = smooth_step((ceiling - 0.16) * 5.0)
    opacity = smooth_step(density / np.float32(clouds.softness) + 0.5) * (0.55 + 0.45 * haze)
    view.code[rows][opacity > 0.5] = LABEL["cloud"]
    lit = _lean(density, int(np.sign(light.sun[0]) or 1), len(view.x) // 64) * 0.45 + 0.62
    lit -= clouds.thick * np.clip(density, 0.0, 1.5)
    bright = np.minimum(light.horizon * 0.55 + light.key * 0.35 + light.ambient * 0.35, 1.0)
    dark = light.ambient * 0.75 + light.zenith * 0.2
    tint = blend(dark, bright, np.clip(lit, 0.0, 1.0))
    over(view.colour[:, rows], tint, opacity)


def _lean(field: Float32[np.ndarray, "y x"], side: int, reach: int) -> Float32[np.ndarray, "y x"]:
    """How much the field rises toward the upper left (side -1) or right (+1) over `reach` pixels."""
    padded = np.pad(field, ((0, reach), (reach, reach)), mode="edge")
    begin = reach - side * reach
    return field - padded[reach:, begin : begin + field.shape[1]]


def paint_range(view: View, mountains: Range) -> None:
    """A ridge with light and shadow sides, snow above a line, haze toward its foot."""
    light, horizon = view.light, view.camera.horizon
    crest = _crest(view.x, mountains)
    rows = view.rows(horizon - float(crest.max()), horizon + 0.01)
    if rows.stop <= rows.start:
        return
    rise = horizon - view.y[rows][:, None]
    inside = rise < crest
    texels = np.float32(mountains.texels * 0.9)
    u = view.x[None] * texels + (mountains.origin * 3.0)
    rock = sample(fractal(1.5, 3.0), (view.y[rows][:, None] + 0.5 * crest) * texels, u)
    shade = _lean(rock, int(np.sign(light.sun[0]) or 1), max(1, len(view.x) // 128))
    relief = 0.8 + 0.45 * np.tanh(shade * (1.2 + 1.6 * mountains.sharp))
    height = rise / np.float32(mountains.height) + 0.12 * rock
    tint = rgb(mountains.colour) * (1.0 + 0.15 * rock)
    white = smooth_step((height - mountains.snow) * 8.0 + 0.8 * shade)
    over(tint, np.float32(0.93), white)
    tint *= relief * rgb(light.ambient * 0.8 + light.key * 0.5)
    mist = 0.75 * np.clip(0.55 - 0.8 * rise / mountains.height, 0.0, 1.0)
    over(tint, rgb(light.horizon), mountains.haze + (1.0 - mountains.haze) * mist)
    np.copyto(view.colour[:, rows], tint, where=inside)
    view.code[rows][inside] = LABEL["mountain"]


def _crest(x: Float32[np.ndarray, " x"], mountains: Range) -> Float32[np.ndarray, " x"]:
    """Height of the ridge over the horizon per column, in image heights."""
    rough = line(fractal(1.75, 1.0), x, texels=mountains.texels, origin=mountains.origin)
    folded = 1.0 - np.abs(line(fractal(1.75, 2.0), x, texels=mountains.texels, origin=mountains.origin + 91.0))
    profile = 0.5 + (0.3 - 0.12 * mountains.sharp) * rough + mountains.sharp * 0.36 * folded
    left, right = mountains.window
    envelope = smooth_step((x - left) * 5.0) * smooth_step((right - x) * 5.0)
    return (mountains.height * np.clip(profile, 0.15, 1.2) * envelope).astype(np.float32)


def paint_tree_line(view: View, trees: TreeLine) -> None:
    """A row of crowns that stand close, darker below and on the side away from the sun."""
    light = view.light
    centre, radius, top = (column[:, None] for column in trees.crowns.T.astype(np.float32))
    across = (view.x[None] - centre) / radius
    reach = np.abs(across)
    # A crown is a rounded dome or a spire on a wall of undergrowth; outside its reach there is nothing.
    dome = 1.0 - (0.75 * reach if trees.conifer else 0.45 * reach**2.5)
    profile = np.where(reach < 1.25, top * dome, 0.0)
    nearest = profile.argmax(0)
    columns = np.arange(len(view.x))
    ragged = 1.0 + 0.05 * line(fractal(0.9, 20.0), view.x, texels=256.0, origin=float(trees.base) * 400)
    skyline = np.maximum(profile[nearest, columns], 0.0) * ragged
    rows = view.rows(trees.base - float(skyline.max()), trees.base)
    if rows.stop <= rows.start:
        return
    rise = trees.base - view.y[rows][:, None]
    inside = rise < skyline
    leaf = sample(fractal(1.0, 20.0), view.y[rows][:, None] * 256, view.x[None] * 256 + 77.0 * trees.base)
    side = across[nearest, columns] * np.float32(light.sun[0])
    share = np.clip(rise / np.maximum(skyline, 1e-4), 0.0, 1.0)
    shade = 0.5 + 0.5 * share + 0.16 * side * share + (0.2 - 0.08 * trees.haze) * leaf
    hue = (0.85 + 0.3 * np.modf(nearest * 0.618)[0]).astype(np.float32)
    lit = np.asarray(trees.colour) * (light.ambient * 0.85 + light.key * 0.55) * (1.0 - trees.haze)
    tint = np.maximum(shade * hue, 0.1) * rgb(lit) + rgb(trees.haze * light.horizon)
    np.copyto(view.colour[:, rows], tint, where=inside)
    view.code[rows][inside] = LABEL["tree line"]
