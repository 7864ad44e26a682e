"""Trees of a rendered scene (see `figures` for the form of a model)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from whatwhere.scenes.figures import CIRCLE, Model, Setting, blob, flat, limb, pick
from whatwhere.scenes.world import Colour, Part

_BARK: tuple[Colour, ...] = ((0.3, 0.22, 0.16), (0.38, 0.33, 0.28), (0.72, 0.7, 0.66))


def tree(rng: np.random.Generator, setting: Setting) -> Model:
    """A broad tree, a conifer, a poplar or a bush."""
    leaf = np.clip(np.array(setting.leaf) * rng.uniform(0.8, 1.2, 3), 0.02, 1.0)
    kind = rng.choice(4, p=(0.5, 0.25, 0.13, 0.12))
    if kind == 0:
        return _leafy(rng, leaf, rng.uniform(5.5, 11.0), rng.uniform(0.3, 0.42), rng.uniform(0.2, 0.35), 15)
    if kind == 1:
        return _conifer(rng, leaf * (0.6, 0.75, 0.75))
    if kind == 2:
        return _leafy(rng, leaf, rng.uniform(8.0, 13.0), rng.uniform(0.11, 0.15), 0.1, 9)
    return _leafy(rng, leaf, rng.uniform(1.8, 3.2), 0.55, 0.0, 9)


def _leafy(
    rng: np.random.Generator,
    leaf: Float[np.ndarray, " rgb"],
    tall: float,
    slender: float,
    bare: float,
    clumps: int,
) -> Model:
    """A trunk and a crown; the crown's half width and the bare trunk are shares of the height."""
    wide, middle, rise = tall * slender, tall * (1.0 + bare) / 2, tall * (1.0 - bare) / 2
    lean = rng.uniform(-0.05, 0.05) * tall
    bark = pick(rng, _BARK, 0.03)
    trunk = limb((0.0, 0.0), (lean, middle), 0.055 * tall, 0.03 * tall)
    core = blob(rng, lean, middle, wide * 0.8, rise * 0.86, 0.1)
    parts = [flat(trunk, bark, grain=0.15, round=0.6), flat(core, leaf * 0.5, grain=0.3, round=0.4)]
    parts += _clumps(rng, (lean, middle), (wide, rise), leaf, clumps)
    return Model(parts, (max(wide * 0.8, 0.5), 1.0), tall)


def _clumps(
    rng: np.random.Generator,
    middle: tuple[float, float],
    size: tuple[float, float],
    leaf: Float[np.ndarray, " rgb"],
    count: int,
) -> list[Part]:
    """Foliage in three tones, from the shaded low clumps to the lit high ones."""
    angle, radius = rng.uniform(0, 2 * np.pi, count), 0.8 * np.sqrt(rng.uniform(0.15, 1.0, count))
    centres = np.stack([np.cos(angle), np.sin(angle)], 1) * radius[:, None]
    centres = centres[np.argsort(centres[:, 1])]
    spread = rng.uniform((0.26, 0.2), (0.42, 0.3), (count, 2))
    edge = 1.0 + 0.2 * rng.uniform(-1.0, 1.0, (count, len(CIRCLE), 1))
    shapes = np.zeros((count, len(CIRCLE), 3))
    shapes[..., :2] = (centres[:, None] + edge * CIRCLE * spread[:, None]) * size + middle
    tones = leaf * np.array([[0.66], [0.84], [1.04]]) * rng.uniform(0.94, 1.06, (3, 1))
    third = -(-count // 3)
    return [Part(shapes[i * third : (i + 1) * third], tone, grain=0.26, round=0.45) for i, tone in enumerate(tones)]


def _conifer(rng: np.random.Generator, leaf: Float[np.ndarray, " rgb"]) -> Model:
    """A trunk and five to seven ragged skirts, each narrower than the one below."""
    tall = rng.uniform(6.0, 13.0)
    wide, low, tiers = tall * rng.uniform(0.17, 0.25), tall * rng.uniform(0.06, 0.14), rng.integers(5, 8)
    trunk = limb((0.0, 0.0), (0.0, tall * 0.5), 0.05 * tall, 0.03 * tall)
    parts = [flat(trunk, (0.28, 0.2, 0.15), round=0.6)]
    across = np.linspace(-1.0, 1.0, 7)
    for tier in range(tiers):
        bottom = low + (tall - low) * tier / tiers
        top = min(bottom + (tall - low) * 1.7 / tiers, tall)
        half = wide * (1.0 - 0.9 * tier / tiers)
        hem = half * across * rng.uniform(0.85, 1.1, 7)
        droop = bottom + tall * (rng.uniform(-0.02, 0.03, 7) + 0.03 * (np.abs(across) < 0.9))
        outline = np.stack([np.append(hem, [0.1 * half, -0.1 * half]), np.append(droop, [top, top])], 1)
        parts.append(flat(outline, leaf * (0.65 + 0.4 * tier / tiers), grain=0.28, round=0.6))
    return Model(parts, (wide * 0.8, 1.0), tall)
