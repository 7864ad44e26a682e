"""What a person calls the classes: one small YAML file, to be edited, that the page and `apply` honour."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jaxtyping import Int16, UInt8

from whatwhere.artifacts.atomic import replacing
from whatwhere.artifacts.errors import InputError, line
from whatwhere.publish.figures import PALETTE

HEAD = """\
# The classes: rename them, colour them ("#rrggbb"), or merge one into another (merge: 3, or merge: its name; the label
# maps then say 3). Then run `whatwhere discover` again with the same --out, which takes moments, or `whatwhere apply`.
"""
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_KEYS = {"class", "name", "colour", "merge"}
#: A class's number is a byte in a label map, whose last is for what is not labelled.
MOST_CLASSES = 255


@dataclass(frozen=True)
class Names:
    """Of each class what it is called, its colour, and the class that it is shown as: itself, unless it is merged."""

    names: tuple[str, ...]
    colours: UInt8[np.ndarray, "cluster 3"]
    shown_as: Int16[np.ndarray, "cluster"]

    def shown(self) -> list[int]:
        """The classes that are left, by number."""
        return sorted(set(self.shown_as.tolist()))


def plain(classes: int) -> Names:
    """Before a person names them."""
    colours = PALETTE[np.arange(classes) % len(PALETTE)]
    return Names(tuple(f"class {n}" for n in range(classes)), colours, np.arange(classes, dtype=np.int16))


def write_names(path: Path, names: Names) -> None:
    """The file to edit."""
    rows = [
        f"- {{class: {n}, name: {name}, colour: {_hex(colour)!r}, merge: null}}"
        for n, (name, colour) in enumerate(zip(names.names, names.colours, strict=True))
    ]
    with replacing(path) as unfinished:
        unfinished.write_text(HEAD + "\n".join(rows) + "\n", "utf-8")


def read_names(path: Path, classes: int) -> Names:
    """What the file says; classes that it leaves out stay as they were.

    Raises `InputError` for what is no such list, a class that there is not, a colour that is none, and merges in a
    circle.
    """
    found = plain(classes)
    names, colours, merges = list(found.names), found.colours.copy(), {}
    for number, entry in _entries(path, classes).items():
        if (name := entry.get("name")) is not None:
            names[number] = str(name)
        if (colour := entry.get("colour")) is not None:
            colours[number] = _rgb(path, number, colour)
        if (target := entry.get("merge")) is not None:
            merges[number] = target
    into = {number: _number(path, number, target, names) for number, target in merges.items()}
    return Names(tuple(names), colours, _followed(path, into, classes))


def _entries(path: Path, classes: int) -> dict[int, dict[str, Any]]:
    try:
        said = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise InputError(
            f"{path}: expected a list of classes as YAML, got {line(error)}; correct or remove it"
        ) from error
    found: dict[int, dict[str, Any]] = {}
    for entry in said if isinstance(said, list) else [said]:
        number = entry.get("class") if isinstance(entry, dict) else None
        if type(number) is not int or not 0 <= number < classes or not entry.keys() <= _KEYS or number in found:
            raise InputError(
                f"{path}: expected each class once, as {{class: 0 to {classes - 1}, name: …, colour: …, merge: …}}, "
                f"got {str(entry)[:80]}; correct or remove it"
            )
        found[number] = entry
    return found


def _rgb(path: Path, number: int, colour: Any) -> list[int]:
    if not isinstance(colour, str) or not _COLOUR.fullmatch(colour):
        raise InputError(
            f'{path}: class {number}: expected a colour as "#1f77b4", in quotes, got {colour!r}; correct it'
        )
    return list(bytes.fromhex(colour[1:]))


def _number(path: Path, number: int, target: Any, names: Sequence[str]) -> int:
    if type(target) is int and 0 <= target < len(names):
        return target
    others = [n for n, name in enumerate(names) if name == str(target)]
    if len(others) != 1:
        raise InputError(
            f"{path}: class {number}: expected merge: a class's number, or a name that one class has, got {target!r}; "
            "correct it"
        )
    return others[0]


def _followed(path: Path, into: dict[int, int], classes: int) -> Int16[np.ndarray, "cluster"]:
    """Where each merge ends."""
    ends = []
    for number in range(classes):
        seen = [number]
        while seen[-1] in into and into[seen[-1]] != seen[-1]:
            seen.append(into[seen[-1]])
            if len(set(seen)) < len(seen):
                raise InputError(f"{path}: expected merges that end, got {' into '.join(map(str, seen))}; correct them")
        ends.append(seen[-1])
    return np.array(ends, np.int16)


def _hex(colour: np.ndarray) -> str:
    return f"#{bytes(colour.tolist()).hex()}"
