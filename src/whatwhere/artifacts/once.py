"""Made once, used by every run: an artifact that another run made of the same things is linked instead of made again.

What an artifact is made of is its *recipe*: code, settings, versions, and the content of its inputs; beside it lies
the recipe's hash, `NAME.recipe`. Runs are folders beside each other; an artifact is looked for under the same name in
all of them, verified byte by byte, and its files are linked, so that it takes no room twice and neither run minds
whether the other is taken away.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from whatwhere.artifacts.atomic import replacing
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.manifest import digest
from whatwhere.artifacts.provenance import provenance
from whatwhere.artifacts.store import Store, read_json, remove


def once(task: Any, make: Callable[[], None], *, outputs: int = 1, more: Sequence[str] = ()) -> Path | None:
    """Has a task's outputs made, or linked from another run; answers the manifest that served, None if they were made.

    `task` is what Snakemake tells a script: `output`, of which the first is the manifest of a store and the first
    `outputs` are looked for, `input`, `log`, and `params` with `settings` and `code`. Settings of the names `more` say
    what else is kept: an artifact with more of it serves as well.
    """
    manifest, *beside = (Path(path) for path in list(task.output)[:outputs])
    run = Path(os.path.commonpath([manifest, task.log[0]]))
    contents = [_content(Path(path)) for path in task.input if Path(path).is_file()]  # a store is its manifest
    wanted = [_hash([choice, task.params.code, contents]) for choice in _choices(task.params.settings, more)]
    for other in _elsewhere(manifest, run):
        recipe = _recipe(other)
        if recipe in wanted and _link(other, manifest, beside):
            _write_recipe(manifest, recipe)
            sys.stderr.write(f"linked: {other} is made of the same\n")
            return other
    make()
    _write_recipe(manifest, wanted[0])
    return None


def _choices(settings: dict[str, Any], more: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The settings themselves, then with all that more could be kept."""
    for kept in product(*((settings[name], True) for name in more)):
        yield {**settings, **dict(zip(more, kept, strict=True))}


def _elsewhere(manifest: Path, run: Path) -> Iterator[Path]:
    """Artifacts of the same name in other runs, which are the folders beside this one."""
    place = manifest.relative_to(run)
    for other in sorted(run.parent.iterdir()):
        if other != run and (other / place).is_file():
            yield other / place


def _link(other: Path, manifest: Path, beside: Sequence[Path]) -> bool:
    """Puts the artifact of another run here, the manifest last; nothing and False where it is damaged or gone."""
    own, partial = manifest.with_suffix(".zarr"), Path(f"{manifest.with_suffix('.zarr')}.partial")
    remove(manifest)
    try:
        Store(other).verify()
        shutil.copytree(other.with_suffix(".zarr"), partial, copy_function=_linked)
        for path in beside:
            _copy(other.with_name(path.name), path)
        os.replace(partial, own)
        _copy(other, manifest)
        Store(manifest)
    except (InputError, OSError):
        remove(manifest)
        return False
    return True


def _linked(source: str, target: str) -> None:
    """A second name for the file, or where the disk has none such, a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _copy(source: Path, target: Path) -> None:
    """A small file of its own, whole and of now."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as partial:
        partial.write_bytes(source.read_bytes())


def _recipe(manifest: Path) -> str:
    path = manifest.with_suffix(".recipe")
    return path.read_text("utf-8").strip() if path.is_file() else ""


def _write_recipe(manifest: Path, recipe: str) -> None:
    with replacing(manifest.with_suffix(".recipe")) as partial:
        partial.write_text(recipe + "\n", "utf-8")


def _content(path: Path) -> str:
    """Of a store what its arrays hold, of other files their bytes."""
    described = read_json(path) if path.suffix == ".json" else {}
    return described["content"] if isinstance(described, dict) and "content" in described else digest(path)


def _hash(made_of: list[Any]) -> str:
    text = json.dumps([*made_of, provenance()], sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
