"""Files laid over one another into one configuration: the shipped ones from the bottom up, then overlays.

The workflow and `whatwhere plan` read it here, so that both see the same, and a fault is said of the file it stands in.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.reading import read_yaml
from whatwhere.config import Config, check_files, parse
from whatwhere.config.faults import plain_name

#: The configuration that every other is laid over, in the working directory: what a person edits.
BASE = Path("config.yaml")
#: And what goes with it, as data.
PARTS = tuple(Path("config") / f"{section}.yaml" for section in ("tables", "figures", "claims", "zoo"))
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


def read_layers(overlays: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """The tree of each file by its path: `BASE` and `PARTS` of the working directory, if it has any, then `overlays`.

    Raises `InputError` for a file that is missing or no YAML of keys and values, where some of the shipped files are
    there and others not, and where there is none at all.
    """
    beneath = [] if BASE.resolve() in {path.resolve() for path in overlays[:1]} or not BASE.is_file() else [BASE]
    if not beneath and not overlays:
        raise InputError(
            f"{BASE}: expected a configuration, found no such file in {Path.cwd()}; name one, or the "
            "project's folder (snakemake --directory)"
        )
    parts = PARTS if BASE.is_file() and any(part.is_file() for part in PARTS) else ()
    return {_shown(path): read_yaml(path) for path in (*beneath, *parts, *overlays)}


def configured(overlays: Sequence[Path]) -> Config:
    """The configuration of a run with these overlays, for a plan.

    A variable that is not set does not stop it: in roots of data sets a folder `NAME-is-not-set` stands for it (see
    `unset_variable`). Raises `InputError` as `read_layers`, `named_after` and `whatwhere.config.parse` do.
    """
    layers = read_layers(overlays)
    tree = merged(*layers.values(), named_after(overlays, layers))
    return parse(_with_placeholders(tree), layers=layers)


def configured_run(overlays: Sequence[Path], more: Mapping[str, Any]) -> Config:
    """The configuration of a run with these overlays and, above them, `more`: single values of the command line.

    Raises `InputError` as `read_layers`, `named_after`, `whatwhere.config.parse` and `check_files` do.
    """
    layers = {**read_layers(overlays), "--config": _with_nulls(dict(more))}
    config = parse(merged(*layers.values(), named_after(overlays, layers)), layers=layers)
    check_files(config, layers=layers)
    return config


def _with_nulls(tree: Any) -> Any:
    """The tree with nothing where the word null stands: Snakemake reads what is inside of brackets as words."""
    if isinstance(tree, Mapping):
        return {key: _with_nulls(value) for key, value in tree.items()}
    return None if tree == "null" else tree


def named_after(overlays: Sequence[Path], layers: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """`{run: NAME}` of overlays of which none says a run, nor anything above them: none writes into another's folder.

    The name is the overlay's own, or those of several with `-` between. Raises `InputError` where it has none to give.
    """
    own = [path for path in overlays if path.resolve() != BASE.resolve()]
    shipped = {_shown(path) for path in (BASE, *PARTS)}
    if not own or any("run" in tree for file, tree in layers.items() if file not in shipped):
        return {}
    name = plain_name("-".join(path.stem for path in own))
    if not name:
        raise InputError(f"{own[-1]}: expected a file's name with letters or digits, for the run; add `run: …` to it")
    return {"run": name}


def unset_variable(root: Path) -> str | None:
    """The environment variable that a root needs and that is not set; None where all are."""
    return next((part.removesuffix(UNSET) for part in root.parts if part.endswith(UNSET)), None)


def _with_placeholders(tree: Any, key: str = "") -> Any:
    if isinstance(tree, Mapping):
        return {name: _with_placeholders(value, str(name)) for name, value in tree.items()}
    if isinstance(tree, str) and key.endswith("root"):
        return _VARIABLE.sub(lambda found: f"{found[1] or found[2]}{UNSET}", os.path.expandvars(tree))
    return tree


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
