"""What is told of points, as arrays of the shape that it has to have."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from manyhands.optimize.cube import Floats


def table_of(name: str, values: ArrayLike, shape: tuple[int, int]) -> Floats:
    """A copy. Raises ValueError."""
    table = np.array(values, dtype=np.float64)
    if table.ndim == 1 and shape[1] == 1:
        table = table[:, np.newaxis]
    if table.shape != shape:
        raise ValueError(f"{name} has to have the shape {shape}, one row a point, not {table.shape}")
    return table


def violation_of(V: ArrayLike, k: int) -> Floats:
    """(k,) or (k, c), how far c constraints are violated, to (k,), their sum; nan if one is. Raises ValueError."""
    table: Floats = np.asarray(V, dtype=np.float64)
    if table.shape[:1] != (k,):
        raise ValueError(f"V has to have {k} rows, one a point, not shape {table.shape}")
    violation: Floats = np.maximum(table.reshape(k, -1), 0.0).sum(axis=1)  # maximum keeps nan
    return violation
