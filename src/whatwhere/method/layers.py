"""Which layers of a backbone enter a graph set: by name, by stage of a U-Net, or by resolution (Table 2)."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from whatwhere.artifacts.errors import InputError

STAGES = ("encoder", "mid", "decoder")
Grid = tuple[int, int]


def chosen_layers(names: Sequence[str], grids: Sequence[Grid], patterns: Sequence[str]) -> list[bool]:
    """For each layer, by its name and grid (rows, columns), whether one of `patterns` asks for it.

    A pattern is a name (`*` matches anything), `stage:encoder|mid|decoder`, `grid:RxC`: the layers of that
    grid, or where there is none of the grid nearest in its number of tokens, `block:mid`: the middle block of a
    U-Net by itself, or `up:N`: the first N layers of its way up (section 4.2: `block:mid` and `up:6`).

    Raises `InputError` for a pattern that cannot be read, and where no layer is left.
    """
    plain = [name.partition("#")[0] for name in names]
    found = [False] * len(plain)
    for pattern in patterns:
        kind, _, value = pattern.partition(":")
        if kind == "stage":
            stages = _stages(plain)
            hits = [stage == _known(value) for stage in stages]
        elif kind == "grid":
            nearest = _nearest(value, grids)
            hits = [grid == nearest for grid in grids]
        elif kind in ("block", "up"):
            first = _first_up(plain, kind, value)
            hits = [name in first for name in plain]
        else:
            hits = [fnmatchcase(name, pattern) for name in plain]
        found = [a or b for a, b in zip(found, hits, strict=True)]
    if not any(found):
        there = ", ".join(dict.fromkeys(plain))
        raise InputError(f"layers: expected a layer that matches {list(patterns)}, got only {there}; correct them")
    return found


def _known(stage: str) -> str:
    if stage not in STAGES:
        raise InputError(f"layers: expected stage:encoder, stage:mid or stage:decoder, got stage:{stage}; correct it")
    return stage


def _stages(names: Sequence[str]) -> list[str]:
    """The stage of each layer of a U-Net in diffusers' names.

    Mid is the middle block with the innermost down and the innermost up block that have attention, which on
    Stable Diffusion are layers 5-10 of 16, as in Table 2; encoder and decoder are the rest of their sides.
    """
    sides = [re.search(r"\b(down|up)_blocks\.(\d+)|\bmid_block", name) for name in names]
    if not all(sides):
        raise InputError(f"layers: expected the layers of a U-Net for a stage, got {names[0]} …; choose them by name")
    blocks = [(side[1], int(side[2] or 0)) for side in sides if side]
    down = max((number for kind, number in blocks if kind == "down"), default=None)
    up = min((number for kind, number in blocks if kind == "up"), default=None)
    inner = {("down", down), ("up", up), (None, 0)}
    return ["mid" if b in inner else "encoder" if b[0] == "down" else "decoder" for b in blocks]


def _first_up(names: Sequence[str], kind: str, value: str) -> set[str]:
    """The layers of a U-Net's middle block (`block:mid`), or the first ones on its way up (`up:6`)."""
    _stages(names)  # refuses what is no U-Net
    if kind == "block" and value == "mid":
        return {name for name in names if re.search(r"\bmid_block", name)}
    if kind == "block" or not re.fullmatch(r"[1-9]\d*", value):
        raise InputError(f"layers: expected block:mid or up:NUMBER, got {kind}:{value}; correct it")
    ups = dict.fromkeys(name for name in names if re.search(r"\bup_blocks\.", name))
    return set(list(ups)[: int(value)])


def _nearest(text: str, grids: Sequence[Grid]) -> Grid:
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if not found:
        raise InputError(f"layers: expected grid:ROWSxCOLUMNS, got grid:{text}; correct it")
    wanted = math.log(int(found[1]) * int(found[2]))
    return min(sorted(set(grids)), key=lambda grid: abs(math.log(grid[0] * grid[1]) - wanted))
