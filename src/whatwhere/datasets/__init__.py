"""Data sets by kind; each module has `load(name, **values) -> Dataset`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from whatwhere.datasets.record import IGNORE, Dataset, Instance, Record
from whatwhere.datasets.walk import files

__all__ = ["IGNORE", "Dataset", "Instance", "Record", "class_names", "fingerprint", "load_dataset"]


def load_dataset(name: str, *, kind: str, **values: Any) -> Dataset:
    """The data set `name` of `kind` (a module of this package), with that kind's own settings."""
    return import_module(f"whatwhere.datasets.{kind}").load(name, **values)


def class_names(*, kind: str, classes: Sequence[str] = (), **_: Any) -> tuple[str, ...]:
    """What the classes of a data set with these settings are called, which needs none of its files; `()` without."""
    if _.get("annotations"):
        return ()
    return tuple(classes) or getattr(import_module(f"whatwhere.datasets.{kind}"), "CLASSES", ())


def fingerprint(values: dict[str, Any]) -> str:
    """Changes when the files under a data set's roots do (names, sizes, times), also those behind links; empty where it
    has none. What a desktop leaves in folders is none of them.
    """
    digest = hashlib.blake2b(digest_size=8)
    named = (value for key, value in sorted(values.items()) if key.endswith("root") or key == "annotations")
    roots = [Path(value) for value in named if value]
    for root in roots:
        for file in files(root) if root.is_dir() else [root] if root.is_file() else []:
            found = file.stat() if file.exists() else file.lstat()  # a dangling link is the reader's to report
            digest.update(f"{file.relative_to(root)}\0{found.st_size}\0{found.st_mtime_ns}\n".encode())
    return digest.hexdigest() if roots else ""
