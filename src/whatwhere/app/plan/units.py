"""Numbers with units, for people."""

from __future__ import annotations

#: Counts are whole, but may be means as well.
Number = int | float

#: Seconds of each unit of time, the largest first, and from how many of it on it is used.
TIMES = (("days", 86400, 2.0), ("h", 3600, 1.0), ("min", 60, 1.0), ("s", 1, 0.0))
BYTES = ("B", "kB", "MB", "GB", "TB", "PB")
FLOPS = ("GFLOP", "TFLOP", "PFLOP", "EFLOP")


def time_words(seconds: Number | None) -> str:
    """`4.1 h`, `35 min`; nothing for what is not known."""
    if seconds is None:
        return ""
    if seconds < 1:
        return "< 1 s" if seconds else "-"
    unit, size = next((unit, size) for unit, size, least in TIMES if seconds >= least * size)
    return f"{digits(seconds / size)} {unit}"


def bytes_words(size: Number | None) -> str:
    """`12.3 GB`; nothing for what is not known."""
    return "" if size is None else _scaled(size, BYTES)


def flop_words(flop: Number | None) -> str:
    """`7.5 TFLOP`; nothing for what is not known."""
    return "" if flop is None else _scaled(flop / 1e9, FLOPS)


def count_words(count: Number | None) -> str:
    """`1,449`; nothing for what is not known."""
    return "" if count is None else f"{count:,.0f}"


def digits(value: Number) -> str:
    """One decimal below 100 where it says something, none above."""
    return f"{value:,.1f}" if value < 9.95 else f"{value:,.0f}"


def _scaled(value: Number, units: tuple[str, ...]) -> str:
    place = 0
    while value >= 999.5 and place < len(units) - 1:
        value, place = value / 1000, place + 1
    return f"{value:.3g} {units[place]}" if value else "-"
