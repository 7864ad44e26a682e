"""timm, without torch's compiler: nothing here compiles, and the compiler takes longer to import than timm."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

COMPILER = "torch._dynamo"


@contextmanager
def without_compiler() -> Iterator[None]:
    """In here libraries find a compiler that leaves every function as it is, unless torch's own is there already.

    Whoever asks for it later gets torch's own.
    """
    absent, its_utils = ModuleType(COMPILER), ModuleType(f"{COMPILER}.utils")
    absent.__dict__.update(disable=_unchanged, allow_in_graph=_unchanged, utils=its_utils)
    its_utils.__dict__.update(is_compile_supported=lambda device: False)
    stands_in = {} if COMPILER in sys.modules else {module.__name__: module for module in (absent, its_utils)}
    sys.modules.update(stands_in)
    try:
        yield
    finally:
        for name in stands_in:
            sys.modules.pop(name, None)


def _unchanged(function: Callable[..., Any] | None = None, *_: Any, **__: Any) -> Any:
    return function if function is not None else lambda decorated: decorated


def _imported() -> Any:
    try:
        with without_compiler():
            return import_module("timm")
    except (ImportError, AttributeError):  # a version that asks more of the compiler than its absence can answer
        return import_module("timm")


#: The library of vision transformers.
timm = _imported()
