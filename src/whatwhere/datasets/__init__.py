"""Data sets by kind; each module has `load(name, **values) -> Dataset`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from whatwhere.artifacts.errors import InputError
from whatwhere.datasets.record import IGNORE, Dataset, Instance, Record
from whatwhere.datasets.seen import digest_of_files
from whatwhere.datasets.walk import files

__all__ = ["IGNORE", "Dataset", "Instance", "Record", "class_names", "fingerprint", "load_dataset"]


def load_dataset(name: str, *, kind: str, skip: int = 0, **values: Any) -> Dataset:
    """The data set `name` of `kind` (a module of this package), with that kind's own settings, without the first `skip`
    of its records; a `limit` counts those after them.

    Raises `InputError` where there are none after them, and whatever that kind's `load` does.
    """
    if skip and values.get("limit"):
        values["limit"] += skip
    found: Dataset = import_module(f"whatwhere.datasets.{kind}").load(name, **values)
    if not skip:
        return found
    if skip >= len(found.records):
        raise InputError(
            f"data set {name}: expected more than the {skip:,} images that skip leaves out, got "
            f"{len(found.records):,}; lower it"
        )
    took = ", ".join(part for part in (found.took, f"without the first {skip:,}") if part)
    return replace(found, records=found.records[skip:], took=took)


def class_names(*, kind: str, classes: Sequence[str] = (), **_: Any) -> tuple[str, ...]:
    """What the classes of a data set with these settings are called, which needs none of its files; `()` without."""
    if _.get("annotations"):
        return ()
    return tuple(classes) or getattr(import_module(f"whatwhere.datasets.{kind}"), "CLASSES", ())


def fingerprint(values: dict[str, Any], notes: Path | None = None) -> str:
    """Changes when the files under a data set's roots do (names and bytes), also those behind links; empty where it has
    none. What a desktop leaves in folders is none of them, and a file that is touched, or copied, is the same.

    `notes`: where digests are kept, for files to be read once and not each time; who may not write there reads again.
    """
    named = (value for key, value in sorted(values.items()) if key.endswith("root") or key == "annotations")
    roots = [Path(value) for value in named if value]
    found = (file for root in roots if root.exists() for file in _named(root))
    return digest_of_files(found, notes) if roots else ""


def _named(root: Path) -> Iterator[tuple[str, Path]]:
    if root.is_file():
        return iter([(root.name, root)])
    return ((file.relative_to(root).as_posix(), file) for file in files(root))
