"""Importing a library beside other work, without those that it looks for and can do without."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from importlib.abc import MetaPathFinder
from threading import Thread, get_ident
from typing import Any


def imported_ahead(library: str, *, without: Sequence[str] = ()) -> Thread:
    """The started thread that imports `library`; what is wrong with it, whoever imports it next is told.

    In that thread the libraries `without` are not there, unless somebody has imported them already: pandas, which
    scikit-learn asks for in case it is handed its tables, takes longer to import than scikit-learn. Other threads
    import what they like.
    """
    thread = Thread(target=_import, args=(library, frozenset(without)))
    thread.start()
    return thread


class _Absent(MetaPathFinder):
    """Finds nothing, except that libraries are not to be found in one thread."""

    def __init__(self, names: frozenset[str], thread: int) -> None:
        self.names = names
        self.thread = thread

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        """Raises ModuleNotFoundError for the names in that thread."""
        if fullname in self.names and get_ident() == self.thread:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


def _import(library: str, without: frozenset[str]) -> None:
    absent = _Absent(without, get_ident())
    sys.meta_path.insert(0, absent)
    try:
        with suppress(Exception):
            import_module(library)
    finally:
        sys.meta_path.remove(absent)
