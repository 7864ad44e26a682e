"""Progress bars that appear only for what takes longer than two seconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")


def progress(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """Iterates `items` under a bar called `what`, on standard error, gone when it ends."""
    from tqdm import tqdm

    bar = iter(tqdm(items, desc=what, total=total, delay=2, leave=False, dynamic_ncols=True))
    while True:
        with tqdm.get_lock():  # a bar that ends is for a moment on the screen and not among those that can be taken off
            try:
                item = next(bar)
            except StopIteration:
                return
        yield item


@contextmanager
def between_bars() -> Iterator[None]:
    """Takes every bar off the screen while lines are written, and brings it back below them; from any thread."""
    from tqdm import tqdm

    with tqdm.external_write_mode():
        yield
