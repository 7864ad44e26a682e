"""Settings as values on a line each, with their paths: what depends on many then says which of them changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

#: A path of keys, and numbers in lists, with the value at its end.
Leaf = tuple[Any, ...]
#: What takes at most so many letters is one value: of thousands Snakemake would look at each, whenever it starts.
LETTERS = 400


def leaves(tree: Any, *path: str | int) -> Iterator[Leaf]:
    """Every value of a tree of dictionaries and lists as (key, key, …, value), in order.

    What is short is a value, whatever it holds, but for the tree itself.
    """
    inner = _inner(tree) if not path or len(repr(tree)) > LETTERS else []
    if not inner:
        yield (*path, tree)
    for key, value in inner:
        yield from leaves(value, *path, key)


def _inner(tree: Any) -> list[tuple[str | int, Any]]:
    if isinstance(tree, dict):
        return list(tree.items())
    return list(enumerate(tree)) if isinstance(tree, list) else []


def tree_of(values: Iterable[Leaf]) -> Any:
    """The tree that `leaves` took apart."""
    tree: dict[str | int, Any] = {}
    for *path, last, value in values:
        place = tree
        for key in path:
            place = place.setdefault(key, {})
        place[last] = value
    return _with_lists(tree)


def _with_lists(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    inner = {key: _with_lists(value) for key, value in tree.items()}
    return list(inner.values()) if inner and all(isinstance(key, int) for key in inner) else inner
