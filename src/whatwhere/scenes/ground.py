"""Paints the ground of a rendered scene in perspective: grass, roads, sand, and water that reflects."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Int

from whatwhere.scenes.noise import fractal, sample
from whatwhere.scenes.stuff import View, over, rgb
from whatwhere.scenes.world import LABEL, ROAD, SURFACE_LABEL, WATER, Band, Light, Plan

#: Wavelengths (metres) of the ground's texture: patches, tufts, grains.
PATCH_M, TUFT_M, GRAIN_M = 14.0, 2.2, 0.35
#: Texels per longest wavelength of the field made by `_band_noise`.
_WAVE = 32.0


def _band_noise() -> Float32[np.ndarray, "y x"]:
    return fractal(1.1, 16.0)


def paint_ground(view: View, plan: Plan) -> None:
    """The ground plane: three scales of texture in perspective, road marks, haze with distance."""
    rows = view.rows(view.camera.horizon, 1.0)
    x, z = view.on_ground(rows)
    surface = plan.ground.surface(x, z)
    patch, tuft, grain = (
        _fade(view, z, wave) * sample(_band_noise(), z * (_WAVE / wave), x * (_WAVE / wave) + 31.0 * wave)
        for wave in (PATCH_M, TUFT_M, GRAIN_M)
    )
    palette = plan.palette
    tint = np.stack([channel.take(surface) for channel in palette.colour.T])
    for layer, channel in zip(tint, palette.patch.T, strict=True):
        layer += patch * channel.take(surface)
    tint *= 1.0 + palette.tuft.take(surface) * tuft + palette.grain.take(surface) * grain
    for band in plan.ground.bands:
        if band.surface == ROAD:
            _mark_road(tint, band, x, z, surface)
    light = view.light
    haze = 1.0 - np.exp(-z / np.float32(light.haze_m))
    tint *= rgb(light.on(np.array([[0.0, 1.0, 0.0]]))[0] + 0.2 * light.key) * (1.0 - haze)
    tint += rgb(light.horizon) * haze
    view.colour[:, rows] = tint
    view.code[rows] = SURFACE_LABEL[surface]


def _fade(view: View, z: Float32[np.ndarray, "y 1"], wavelength_m: float) -> Float32[np.ndarray, "y 1"]:
    """1 where a wave is wide enough on the screen to be seen, 0 where it would alias."""
    focal, height = view.camera.focal, view.camera.height_m
    projected = wavelength_m * focal / z * np.sqrt(np.minimum(1.0, 2.0 * height / z))
    return np.clip(projected * 40.0 - 0.25, 0.0, 1.0).astype(np.float32)


def _mark_road(
    tint: Float32[np.ndarray, "3 y x"],
    band: Band,
    x: Float32[np.ndarray, "y x"],
    z: Float32[np.ndarray, "y 1"],
    surface: Int[np.ndarray, "y x"],
) -> None:
    """Dashed centre line and edge lines, blended by how much of a pixel they fill."""
    offset = np.abs(band.offset(x, z))
    footprint = z * np.float32(1.0 / 200.0) + 0.02
    run = (z if band.along else x) * np.float32(1.0 / 6.0) + np.float32(band.phase)
    dash = (offset < 0.08 + footprint) & (run - np.floor(run) < 0.55)
    edge = np.abs(offset - band.half_m + 0.3) < 0.05 + footprint
    cover = np.minimum(0.14 / footprint, 0.85) * (dash | edge) * (surface == ROAD)
    over(tint, np.float32(0.85), cover)


def paint_water(view: View, plan: Plan) -> None:
    """Reflects what stands above the horizon, broken by ripples; deeper colour where one looks down."""
    horizon, light = view.camera.horizon, view.light
    rows = view.rows(horizon, 1.0)
    mask = view.code[rows] == LABEL["water"]
    if not mask.any():
        return
    size = len(view.x)
    x, z = view.on_ground(rows)
    wave = sample(_band_noise(), z * (_WAVE / 2.4), x * (_WAVE / 7.0))
    wave += 0.6 * _fade(view, z, 0.9) * sample(_band_noise(), z * (_WAVE / 0.5), x * (_WAVE / 1.6) + 9.0)
    down = (view.y[rows] - horizon)[:, None]
    # The picture above the horizon, upside down, shaken by the waves.
    mirror = (horizon - down - (0.012 + 0.1 * down) * wave) * np.float32(size)
    mirror = np.clip(mirror, 0, max(rows.start - 1, 0)).astype(np.int32)
    seen = view.colour.reshape(3, -1).take(mirror * size + np.arange(size, dtype=np.int32), 1)
    steep = np.clip(down / np.float32(1.0 - horizon), 0, 1)
    own = plan.palette.colour[WATER] * (light.ambient + 0.6 * light.key)
    over(seen, rgb(own), np.clip(0.35 + 0.5 * steep + 0.16 * wave, 0.1, 0.95))
    seen += np.clip(0.05 * wave - 0.03, 0.0, 0.1) * rgb(light.key + light.ambient)
    for band in plan.ground.bands:
        if band.surface == WATER:
            _foam(seen, band, x, z, wave, light)
    np.copyto(view.colour[:, rows], seen, where=mask)


def _foam(
    seen: Float32[np.ndarray, "3 y x"],
    band: Band,
    x: Float32[np.ndarray, "y x"],
    z: Float32[np.ndarray, "y 1"],
    wave: Float32[np.ndarray, "y x"],
    light: Light,
) -> None:
    """Light broken water along the shore; more of it where the water is wide (a sea)."""
    inward = band.half_m - np.abs(band.offset(x, z)) + 0.5 * wave
    sea = band.half_m > 500.0
    foam = (0.75 if sea else 0.3) * np.exp(-((inward / np.float32(1.6 if sea else 0.35)) ** 2))
    if sea:
        # A second line of breakers, further out.
        foam += 0.5 * np.exp(-(((inward - 5.0) / 0.7) ** 2)) * (wave > 0.1)
    over(seen, rgb(np.minimum(light.ambient + light.key, 1.0)), foam)
