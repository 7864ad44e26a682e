"""Seconds and bytes in words, for people."""

from __future__ import annotations


def time_words(seconds: float) -> str:
    """`35 s`, `5 min 2 s`, `3 h 25 min`, `4.2 days`."""
    if seconds >= 48 * 3600:
        return f"{seconds / 86400:.1f} days"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def bytes_words(count: float) -> str:
    """`12.3 kB`, `1.9 GB`: of so many bytes, in units of 1000."""
    unit, divisor = next(((unit, 10.0**zeros) for unit, zeros in _UNITS if count >= 10.0**zeros), ("kB", 1e3))
    return f"{count / divisor:.1f} {unit}"


_UNITS = (("TB", 12), ("GB", 9), ("MB", 6))
