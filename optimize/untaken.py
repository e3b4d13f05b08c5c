"""Evaluations that have counted and that nobody has written to the history yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from manyhands.optimize.evaluations import Rows

#: Evaluations that are written to the history together, at least.
HISTORY_ROWS = 256
#: Or, if they are of many parameters, so many numbers.
HISTORY_CELLS = 100_000


class Untaken:
    """d: parameters."""

    def __init__(self, d: int) -> None:
        self._enough = max(1, min(HISTORY_ROWS, HISTORY_CELLS // d))
        self._parts: list[Rows] = []
        self._count = 0

    def add(self, rows: Rows) -> None:
        """These have counted."""
        self._parts.append(rows)
        self._count += len(rows.ids)

    def take(self, *, all_of_it: bool) -> Rows | None:
        """What there is, if it is enough to be worth it, or `all_of_it` is wanted; None if there is nothing."""
        if not self._parts or not (all_of_it or self._count >= self._enough):
            return None
        taken = _joined(self._parts)
        self._parts, self._count = [], 0
        return taken

    def state(self) -> list[Any] | None:
        """For `load`."""
        return list(_joined(self._parts)) if self._parts else None

    def load(self, state: list[Any] | None) -> None:
        """Hold what the one held whose state this is; it has been empty."""
        if state is not None:
            self.add(Rows(*state))


def _joined(rows: Sequence[Rows]) -> Rows:
    return rows[0] if len(rows) == 1 else Rows(*(np.concatenate(columns) for columns in zip(*rows, strict=True)))
