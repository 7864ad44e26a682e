"""Seconds, bytes and rows of cells in words, for people."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

_UNITS = (("TB", 12), ("GB", 9), ("MB", 6))


def time_words(seconds: float | int) -> str:
    """`35 s`, `5 min 2 s`, `3 h 25 min`, `4.2 days`."""
    if seconds >= 48 * 3600:
        return f"{seconds / 86400:.1f} days"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def bytes_words(count: float | int | None) -> str:
    """`12.3 kB`, `1.9 GB`: of so many bytes, in units of 1000; nothing for what is not known."""
    if count is None:
        return ""
    unit, divisor = next(((unit, 10.0**zeros) for unit, zeros in _UNITS if count >= 10.0**zeros), ("kB", 1e3))
    return f"{count / divisor:.1f} {unit}"


def aligned(rows: Sequence[Sequence[str]], sides: str, *, widest: int = 50) -> str:
    """Cells in columns, two spaces before each, to the left or right (`sides`: `l` or `r` a column); longer cells than
    the `widest` are cut.
    """
    cells = [[textwrap.shorten(cell, widest, placeholder=" …") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    fitted = [
        [
            cell.rjust(width) if side == "r" else cell.ljust(width)
            for cell, side, width in zip(row, sides, widths, strict=True)
        ]
        for row in cells
    ]
    return "\n".join("".join(f"  {cell}" for cell in row).rstrip() for row in fitted)


def wrapped(text: str, first: str, *, width: int = 120) -> str:
    """Lines of at most so many characters: `first` before the first of them, and as much space before the others."""
    lines = textwrap.wrap(text, width - len(first), break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"{' ' * len(first) if number else first}{line}" for number, line in enumerate(lines))
