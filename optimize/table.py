"""Evaluations that are out: a row for each, from its proposal until its result has counted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manyhands.optimize.cube import Floats, Ints
from manyhands.optimize.evaluations import Status

Columns = dict[str, NDArray[Any]]


class Table:
    """d: parameters, m: objectives. Rows are used again; `own` columns come with the first points that are added."""

    def __init__(self, d: int, m: int) -> None:
        self._d, self._m = d, m
        self.row_of: dict[int, int] = {}
        self._free: list[int] = []
        self._make(0)
        self.own: Columns = {}

    def _make(self, capacity: int) -> None:
        self.ids: Ints = np.zeros(capacity, np.int64)
        self.generation = np.zeros(capacity, np.int32)
        self.U: Floats = np.zeros((capacity, self._d))
        self.F: Floats = np.full((capacity, self._m), np.nan)
        self.V: Floats = np.zeros(capacity)
        self.status = np.zeros(capacity, np.uint8)
        self.cost: Floats = np.zeros(capacity)
        self.is_told = np.zeros(capacity, np.bool_)
        #: It did not run: what became of it was known from another one.
        self.is_known = np.zeros(capacity, np.bool_)

    def __len__(self) -> int:
        return len(self.row_of)

    def add(self, first: int, U: Floats, own: Columns, generation: int) -> Ints:
        """Points from number `first` on. Returns their rows."""
        n = len(U)
        while len(self._free) < n:
            self._grow(max(64, len(self.ids)))
        rows = np.array([self._free.pop() for _ in range(n)], dtype=np.int64)
        self.row_of.update(zip(range(first, first + n), rows.tolist(), strict=True))
        self.ids[rows] = np.arange(first, first + n)
        self.generation[rows] = generation
        self.U[rows] = U
        self.F[rows] = np.nan
        self.is_told[rows] = self.is_known[rows] = False
        self.cost[rows] = 0.0
        for name, column in own.items():
            if name not in self.own:
                self.own[name] = np.zeros((len(self.ids), *column.shape[1:]), column.dtype)
            self.own[name][rows] = column
        return rows

    def rows(self, ids: Iterable[int]) -> Ints:
        """Where these are, which are all out."""
        return np.array([self.row_of[id] for id in ids], dtype=np.int64)

    def note(self, rows: Ints, F: Floats, V: Floats, status: NDArray[np.uint8], cost: Floats) -> None:
        """What became of them; they are told once `is_told` says so."""
        self.F[rows] = F
        self.V[rows] = V
        self.status[rows] = status
        self.cost[rows] = cost

    def copy_outcome(self, row: int, to: int) -> None:
        """What became of one is what became of another, which need not run."""
        self.know(to, self.F[row], self.V[row], self.status[row])

    def know(self, row: int, F: Floats, V: float, status: int) -> None:
        """What became of it is known: it need not run."""
        self.F[row], self.V[row], self.cost[row] = F, V, 0.0
        self.status[row] = Status.CACHED if status == Status.OK else status
        self.is_told[row] = self.is_known[row] = True

    def remove(self, rows: Ints) -> None:
        """They have counted."""
        for id in self.ids[rows].tolist():
            self._free.append(self.row_of.pop(id))

    def _grow(self, by: int) -> None:
        old = len(self.ids)
        columns = {name: getattr(self, name) for name in _COLUMNS}
        self._make(old + by)
        for name, column in columns.items():
            getattr(self, name)[:old] = column
        for name, column in self.own.items():
            self.own[name] = np.concatenate([column, np.zeros((by, *column.shape[1:]), column.dtype)])
        self._free.extend(range(old + by - 1, old - 1, -1))

    def state(self) -> dict[str, Any]:
        """For `load`: the rows that are out, in the order of their numbers."""
        rows = self.rows(sorted(self.row_of))
        columns = {name: getattr(self, name)[rows] for name in _COLUMNS}
        return {"columns": columns, "own": {name: column[rows] for name, column in self.own.items()}}

    def load(self, state: dict[str, Any]) -> None:
        """Be as the one whose state this is; it has been empty."""
        for name, column in state["columns"].items():
            setattr(self, name, column)
        self.own = state["own"]
        self.row_of = {id: row for row, id in enumerate(self.ids.tolist())}


_COLUMNS = ("ids", "generation", "U", "F", "V", "status", "cost", "is_told", "is_known")
