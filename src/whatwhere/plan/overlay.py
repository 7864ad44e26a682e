"""Configurations laid over one another, as the workflow does it, and what to put where a variable is not set."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from whatwhere.config import Config, parse
from whatwhere.errors import InputError

#: The configuration that every other is laid over, in the working directory.
BASE = Path("config.yaml")
#: Ends the folder that stands for an environment variable without a value.
UNSET = "-is-not-set"
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


def merged(*trees: Mapping[str, Any]) -> dict[str, Any]:
    """Later trees over earlier ones: dictionaries merge, everything else replaces, also `null` and lists.

    What `null` took away is still a key, as in the workflow; `whatwhere.config.parse` leaves it out.
    """
    found: dict[str, Any] = {}
    for tree in trees:
        found = _over(found, tree)
    return found


def _over(below: Any, above: Any) -> Any:
    if not isinstance(above, Mapping):
        return above
    found = dict(below) if isinstance(below, Mapping) else {}
    return {**found, **{key: _over(found.get(key), value) for key, value in above.items()}}


def read_merged(paths: Sequence[Path]) -> dict[str, Any]:
    """`config.yaml` of the working directory, if there is one, under the files of `paths` in their order.

    Raises `InputError` for a file that is missing or no YAML of keys and values, and where there is none at all.
    """
    beneath = [BASE] if BASE.is_file() and BASE.resolve() not in {path.resolve() for path in paths[:1]} else []
    if not beneath and not paths:
        raise InputError(f"{BASE}: expected a configuration, found no such file in {Path.cwd()}; name one")
    return merged(*(_read(path) for path in (*beneath, *paths)))


def configured(paths: Sequence[Path]) -> Config:
    """The configuration of a run with these overlays, for a plan.

    A variable that is not set does not stop it: in roots of data sets a folder `NAME-is-not-set` stands for it (see
    `unset_variable`). Raises `InputError` as `read_merged` and `whatwhere.config.parse` do.
    """
    where = " + ".join(map(str, paths)) or str(BASE)
    return parse(_with_placeholders(read_merged(paths)), where=where)


def unset_variable(root: Path) -> str | None:
    """The environment variable that a root needs and that is not set; None where all are."""
    return next((part.removesuffix(UNSET) for part in root.parts if part.endswith(UNSET)), None)


def _with_placeholders(tree: Any, key: str = "") -> Any:
    if isinstance(tree, Mapping):
        return {name: _with_placeholders(value, str(name)) for name, value in tree.items()}
    if isinstance(tree, str) and key.endswith("root"):
        return _VARIABLE.sub(lambda found: f"{found[1] or found[2]}{UNSET}", os.path.expandvars(tree))
    return tree


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        tree = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"{path}: expected a configuration file, got {error.strerror}; check the path") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected YAML, got {' '.join(str(error).split())}; correct it") from error
    if not isinstance(tree, dict):
        raise InputError(f"{path}: expected keys and values, got {type(tree).__name__}; correct it")
    return tree
