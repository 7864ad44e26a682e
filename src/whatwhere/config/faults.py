"""Faults of a configuration in words that help: the key's path, what was expected, what to do, the nearest name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic_core import PydanticCustomError

#: Faults whose words are ready.
_SAID = ("unknown_key", "unknown_name", "values", "row", "seeds", "environment")
#: What pydantic calls by the names of Python's types, and other words of its own.
_WISHES = {
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "keys and values"),
    **dict.fromkeys(("tuple_type", "list_type"), "a list"),
    **dict.fromkeys(("bool_parsing", "bool_type"), "true or false"),
    "string_type": "words",
    "path_type": "a path",
    "string_pattern_mismatch": "a name of letters, digits, '.', '_' and '-' that begins with a letter or digit",
}
#: The fault of an entry without a kind.
_NO_KIND = "union_tag_not_found"
#: Keys that may stand for one that is missing.
_INSTEAD = {"rows": ("backbones", "methods")}


def explain(faults: Sequence[Any], tree: dict[str, Any], check: Callable[[dict[str, Any]], list[Any]]) -> str:
    """What is wrong with the configuration `tree`, in a line: the first fault, or where it is a key that is missing all
    keys that are; and how many more faults there are.

    `check` answers the faults of a tree: it is asked what an entry without a kind could be, and would miss besides.
    """
    kinds = {fault["loc"]: _kinds(fault["loc"], tree, check) for fault in faults if fault["type"] == _NO_KIND}
    faults = [*faults, *(fault for place, known in kinds.items() for fault in _missed(place, known, tree, check))]
    absent = {
        key: f" (one of {', '.join(kinds[fault['loc']])})" if fault["loc"] in kinds else ""
        for fault, key in _absent(faults, tree)
    }
    others = [fault for fault in faults if not _is_absent(fault)]
    path = _path(others[0], tree) if others else ""
    alike = [fault for fault in others if _path(fault, tree) == path]
    if _is_absent(faults[0]):
        words, left = _add(absent), len(others)
    else:
        words, left = _explained(alike, path, tree), len(others) - len(alike) + len(absent)
    return words + (f" (and {left} more)" if left else "")


def _kinds(place: Sequence[Any], tree: dict[str, Any], check: Callable[[dict[str, Any]], list[Any]]) -> list[str]:
    """The kinds that an entry without one may be of: what is said of a kind that is none."""
    faults = (fault for fault in check(_with_kind(place, "", tree)) if fault["loc"] == place)
    return next(faults)["ctx"]["expected_tags"].replace("'", "").split(", ")


def _missed(
    place: Sequence[Any], kinds: Sequence[str], tree: dict[str, Any], check: Callable[[dict[str, Any]], list[Any]]
) -> list[Any]:
    """The keys that an entry without a kind misses whatever kind it is given."""
    found = [
        [(*place, *fault["loc"][3:]) for fault in check(_with_kind(place, kind, tree)) if _misses(fault, place)]
        for kind in kinds
    ]
    return [{"type": "missing", "loc": loc} for loc in found[0] if all(loc in others for others in found)]


def _misses(fault: Any, place: Sequence[Any]) -> bool:
    return fault["type"] == "missing" and fault["loc"][:2] == place


def _with_kind(place: Sequence[Any], kind: str, tree: dict[str, Any]) -> dict[str, Any]:
    section, name = place
    return {**tree, section: {**tree[section], name: {**tree[section][name], "kind": kind}}}


def _is_absent(fault: Any) -> bool:
    return fault["type"] in ("missing", _NO_KIND)


def _absent(faults: Sequence[Any], tree: Any) -> list[tuple[Any, str]]:
    """Each fault that is a key's absence, with the path of each key that would mend it."""
    found = []
    for fault in filter(_is_absent, faults):
        *place, key = [*fault["loc"], "kind"] if fault["type"] == _NO_KIND else fault["loc"]
        inside = _followed(place, tree)[1]
        keys = [other for other in _INSTEAD.get(key, (key,)) if not inside.get(other)]
        found += [(fault, f"{_followed(place, tree)[0]}.{each}".removeprefix(".")) for each in keys]
    return found


def _add(absent: Mapping[str, str]) -> str:
    """`views, tables.mine.kind (one of oracle, seconds): expected values, got none; add the keys`."""
    (first, choice), *more = absent.items()
    if more:
        return f"{', '.join(key + choice for key, choice in absent.items())}: expected values, got none; add the keys"
    wish = choice.strip(" ()") or "a value"
    return f"{first}: expected {wish}, got none; add the key"


def _explained(alike: Sequence[Any], path: str, tree: Any) -> str:
    """The faults of one key: several where it might have been of several types."""
    fault = alike[0]
    if fault["type"] == "union_tag_invalid":
        expected, tag = fault["ctx"]["expected_tags"], fault["ctx"]["tag"]
        known = expected.replace("'", "").split(", ")
        return f"{path}.kind: expected one of {expected}, got {tag!r}{_nearest(tag, known)}"
    if fault["type"] in _SAID:
        if taken := _taken_away(fault, tree):
            return taken
        return f"{path}: {fault['msg']}" if path else fault["msg"]
    got = repr(fault["input"]) if fault["input"] is not None else "null"
    wishes = " or ".join(dict.fromkeys(map(_wish, alike)))
    return f"{path}: expected {wishes}, got {got if len(got) < 80 else got[:77] + '…'}{_remedy(fault)}"


def _wish(fault: Any) -> str:
    if fault["type"] == "too_short":
        return f"at least {fault['ctx']['min_length']} in it"
    if fault["type"] == "string_too_long":
        return f"at most {fault['ctx']['max_length']} letters"
    plain = fault["msg"].replace("Input should be ", "").replace("Input should ", "")
    return _WISHES.get(fault["type"], plain.partition(", unable to")[0])


def _remedy(fault: Any) -> str:
    """What to do about it, where that can be known."""
    given, kind = fault["input"], fault["type"]
    if given is None:
        return "; give it one, or leave the key out"
    if kind in ("tuple_type", "list_type") and isinstance(given, str | int | float):
        return f"; write [{given}]"
    if kind == "model_attributes_type":
        return "; write {kind: …}"
    if kind == "string_type" and isinstance(given, int | float):
        return f"; write '{given}', in quotes"
    if kind == "string_pattern_mismatch" and (name := plain_name(str(given))):
        return f"; write {name}"
    known = re.findall(r"'(.+?)'", fault["msg"]) if kind == "literal_error" else []
    return _nearest(given, known) or "; correct it"


def plain_name(words: str) -> str:
    """The nearest that may be the name of a run or an entry: '-' for all but letters, digits, '.', '_' and '-'."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", words).lstrip("_.-").rstrip("-")


def _taken_away(fault: Any, tree: Any) -> str:
    """What to say where a name is missing because `null` took it away, and something that is left needs it."""
    section, name, users = (fault.get("ctx", {}).get(key, "") for key in ("section", "name", "users"))
    entries = tree.get(section) if isinstance(tree, Mapping) else None
    if not isinstance(entries, Mapping) or entries.get(name, "") is not None:
        return ""
    wish = f"expected it to stay, for {users}, got null"
    return f"{section}.{name}: {wish}; keep it, take those away as well, or name in `only` what is to be made"


def _path(fault: Any, tree: Any) -> str:
    """`methods.gradient.steps`, `rows[0]`, as far as the keys are there."""
    return _followed(fault["loc"], tree)[0]


def _followed(location: Sequence[Any], tree: Any) -> tuple[str, Any]:
    """The path and what is there; pydantic's own tags, for the kinds and types of a union, are left out."""
    path = ""
    for part in location:
        if isinstance(tree, Mapping) and part in tree:
            path, tree = f"{path}.{part}", tree[part]
        elif isinstance(tree, Sequence) and isinstance(part, int) and part < len(tree):
            path, tree = f"{path}[{part}]", tree[part]
    return path.removeprefix("."), tree


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
        fitting = {str(key): key for key in tree if re.match(rf"{re.escape(str(key))}($|[.\[,])", path)}
        key = max(fitting, key=len, default=None)
        return 0 if key is None else 1 + _depth(path[len(key) :], tree[fitting[key]])
    number = re.match(r"\[(\d+)\]", path)
    if number and isinstance(tree, list) and int(number[1]) < len(tree):
        return 1 + _depth(path[number.end() :], tree[int(number[1])])
    return 0


def unknown_key(key: Any, known: Any) -> str:
    """What to say of a key that a section does not have."""
    return f"unknown key {repr(key)[:200]}{_nearest(key, known)}; expected one of {', '.join(known)}"


def must_exist(where: str, name: str, known: Mapping[str, Any], section: str = "", users: Sequence[str] = ()) -> None:
    """Fails validation where `name`, used at `where`, is not defined among `known`, which are those of `section`.

    `users` are what needs it, for the words where `null` took it away.
    """
    if name not in known:
        names = ", ".join(known) or "none defined"
        words = f"{where}: expected one of {names}, got {repr(name)[:200]}{_nearest(name, known)}"
        few = ", ".join(users[:3]) + f" and {len(users) - 3} more" * (len(users) > 3)
        about = {"words": words, "section": section, "name": name, "users": few or where.rpartition(".")[0] or where}
        raise PydanticCustomError("unknown_name", "{words}", about)


def _nearest(name: Any, known: Any) -> str:
    near = get_close_matches(str(name)[:200], list(known), n=1, cutoff=0.4)
    return f" (nearest: {near[0]!r})" if near else ""
