"""Faults of a configuration in words that help: the key's path, what was expected, the nearest right name."""

from __future__ import annotations

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
