"""Counts of many images as one table. A table of pandas for each image takes longer to make than the image to count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

#: Columns by name: arrays, one at least, all of one length; beside them single values, the same in all its rows.
Counted = Mapping[str, Any]


def counted_table(pieces: Sequence[Counted], columns: Sequence[str]) -> pd.DataFrame:
    """The pieces one below the other, with these of their columns in this order; without any, none but the columns."""
    if not pieces:
        return pd.DataFrame(columns=list(columns))
    rows = [next(len(value) for value in piece.values() if isinstance(value, np.ndarray)) for piece in pieces]
    return pd.DataFrame({name: _column([piece[name] for piece in pieces], rows) for name in columns})


def _column(values: list[Any], rows: Sequence[int]) -> np.ndarray:
    if isinstance(values[0], np.ndarray):
        return np.concatenate(values)
    return np.repeat(np.array(values, object) if isinstance(values[0], str) else np.array(values), rows)
