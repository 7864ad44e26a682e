"""Progress bars that appear only for what takes longer than two seconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def progress(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """Iterates `items` under a bar called `what`, on standard error, gone when it ends."""
    from tqdm import tqdm

    return iter(tqdm(items, desc=what, total=total, delay=2, leave=False, dynamic_ncols=True))
