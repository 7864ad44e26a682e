"""Which of a data set's classes texts are asked about; the others are background (appendix D.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from whatwhere.artifacts.errors import InputError
from whatwhere.datasets.record import IGNORE

#: What pixels are that no asked class has.
BACKGROUND = "background"


def asked(known: Sequence[str], wanted: Sequence[str] | None) -> tuple[str, ...]:
    """The classes that texts are written for: the `wanted` of the `known`, by default all but the background.

    Raises `InputError` for a class that the data set does not have, and where none is left.
    """
    missing = sorted({*(wanted or ())} - {*known})
    if missing:
        got = ", ".join(missing)
        raise InputError(
            f"namings: expected classes of the data set ({', '.join(known)}), got {got}; correct `classes`"
        )
    names = tuple(name for name in dict.fromkeys(wanted or known) if name != BACKGROUND)
    if not names:
        raise InputError("namings: expected a data set whose classes have names, got none; name labels of another")
    return names


def in_names(labels: Int[np.ndarray, "y x"], known: Sequence[str], names: Sequence[str]) -> Int[np.ndarray, "y x"]:
    """Labels of a data set as numbers of names: 0 for background, n + 1 for `names[n]`; `IGNORE` stays."""
    numbers = np.array([names.index(name) + 1 if name in names else 0 for name in known] + [IGNORE])
    return numbers[np.where(labels == IGNORE, len(known), labels)]
