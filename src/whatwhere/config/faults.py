"""Faults of a configuration in words that help: the key's path, what was expected, the nearest right name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pydantic_core import PydanticCustomError


def explain(fault: Any, tree: Any) -> str:
    """One validation fault of the configuration `tree` in a line: path, what was expected, what was found."""
    path = _path(fault["loc"], tree)
    if fault["type"] == "union_tag_invalid":
        expected, tag = fault["ctx"]["expected_tags"], fault["ctx"]["tag"]
        known = expected.replace("'", "").split(", ")
        return f"{path}.kind: expected one of {expected}, got {tag!r}{_nearest(tag, known)}"
    if fault["type"] in ("unknown_key", "unknown_name", "values", "row", "seeds", "environment"):
        return f"{path}: {fault['msg']}" if path else fault["msg"]
    if fault["type"] == "missing":
        return f"{path}: expected a value, got none; add the key"
    wish = fault["msg"].replace("Input should be ", "").replace("Input should ", "")
    got = repr(fault["input"])
    return f"{path}: expected {wish}, got {got if len(got) < 80 else got[:77] + '…'}"


def _path(location: tuple[Any, ...], tree: Any) -> str:
    """`methods.gradient.steps`, `rows[0]`; pydantic's own tags for the kinds of a union are left out."""
    path = ""
    for part in location:
        is_tag = isinstance(tree, dict) and part not in tree and tree.get("kind") == part
        if not is_tag:
            path += f"[{part}]" if isinstance(part, int) else f".{part}"
            known = part in tree if isinstance(tree, dict) else isinstance(tree, list)
            tree = tree[part] if known else None
    return path.removeprefix(".")


def origin(words: str, layers: Mapping[str, Any]) -> str:
    """Of the files that a configuration was merged from, the lowest first, the one in which the key stands that a fault
    is about: it holds most of the key's path, and of several the uppermost, whose value counts.
    """
    path, _, said = words.partition(": ")
    unknown = re.match(r"unknown key '(.+?)'", said if not words.startswith("unknown key") else words)
    steps = "" if words.startswith("unknown key") else path
    depths = {file: _depth(f"{steps}.{unknown[1]}" if unknown else steps, tree) for file, tree in layers.items()}
    deepest = max(depths.values(), default=0)
    return next((file for file in reversed(depths) if depths[file] == deepest), "config.yaml")


def _depth(path: str, tree: Any) -> int:
    """How many steps of a path such as `tables.table1.rows[0].method` a tree has; names may hold dots themselves."""
    path = path.removeprefix(".")
    if isinstance(tree, Mapping):
        fitting = [str(key) for key in tree if re.match(rf"{re.escape(str(key))}($|[.\[,])", path)]
        key = max(fitting, key=len, default=None)
        return 0 if key is None else 1 + _depth(path[len(key) :], tree[key])
    number = re.match(r"\[(\d+)\]", path)
    if number and isinstance(tree, list) and int(number[1]) < len(tree):
        return 1 + _depth(path[number.end() :], tree[int(number[1])])
    return 0


def unknown_key(key: Any, known: Any) -> str:
    """What to say of a key that a section does not have."""
    return f"unknown key {key!r}{_nearest(key, known)}; expected one of {', '.join(known)}"


def must_exist(where: str, name: str, known: dict[str, Any]) -> None:
    """Fails validation where `name`, used at `where`, is not defined in its section."""
    if name not in known:
        names = ", ".join(known) or "none defined"
        words = f"{where}: expected one of {names}, got {name!r}{_nearest(name, known)}"
        raise PydanticCustomError("unknown_name", "{words}", {"words": words})


def _nearest(name: Any, known: Any) -> str:
    near = get_close_matches(str(name), list(known), n=1, cutoff=0.4)
    return f" (nearest: {near[0]!r})" if near else ""
