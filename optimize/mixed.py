"""Columns that are no numbers, and points that were proposed before."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from manyhands.optimize.algorithm import State
from manyhands.optimize.cube import Cube, Floats

#: Where a child's category comes from: one of the best, a mate, or else any.
FROM_BEST = 0.45
FROM_MATE = 0.4
#: Points that are remembered.
RECENT = 1024
#: How often a point is moved on that was proposed before.
NUDGES = 4
#: Of the geometric distribution of steps: mostly 1.
STEP_CHANCE = 0.7


def choose(best: Floats, mate: Floats, rng: np.random.Generator) -> Floats:
    """(n, c) each: categories of n children."""
    source, anything = rng.random((2, *best.shape))
    return np.where(source < FROM_BEST, best, np.where(source < FROM_BEST + FROM_MATE, mate, anything))


class Recent:
    """The last points that were proposed. A new one that is one of them is moved on, in a discrete column."""

    def __init__(self, cube: Cube) -> None:
        self._cube = cube
        # A column with one level cannot move.
        self._movable = np.flatnonzero(~cube.is_continuous & (cube.levels > 1))
        self._factors = np.random.default_rng(0).integers(1 << 63, size=cube.d, dtype=np.uint64) * 2 + 1
        self._hashes = np.zeros(RECENT, dtype=np.uint64)
        self._at = 0

    def nudge(self, X: Floats, rng: np.random.Generator) -> None:
        """Change those of (n, d) points, not snapped, that were there before; and remember them all."""
        hashes = self._hash(X)
        for _ in range(NUDGES if len(self._movable) else 0):
            again = np.isin(hashes, self._hashes)
            again |= ~np.isin(np.arange(len(X)), np.unique(hashes, return_index=True)[1])
            rows = np.flatnonzero(again)
            if not len(rows):
                break
            self._move(X, rows, rng)
            hashes[rows] = self._hash(X[rows])
        at = (self._at + np.arange(len(hashes))) % RECENT
        self._hashes[at] = hashes
        self._at = (self._at + len(hashes)) % RECENT

    def _move(self, X: Floats, rows: NDArray[np.int64], rng: np.random.Generator) -> None:
        columns = rng.choice(self._movable, size=len(rows))
        levels = self._cube.levels[columns]
        level = np.floor(self._cube.snap(X[rows])[np.arange(len(rows)), columns] * levels)
        steps = rng.geometric(STEP_CHANCE, size=len(rows)) * rng.choice([-1.0, 1.0], size=len(rows))
        other = 1.0 + np.floor(rng.random(len(rows)) * (levels - 1))
        # A step that leads out goes the other way.
        stepped = np.where((level + steps < 0) | (level + steps >= levels), level - steps, level + steps)
        is_categorical = self._cube.is_categorical[columns]
        moved = np.where(is_categorical, (level + other) % levels, np.clip(stepped, 0.0, levels - 1))
        X[rows, columns] = (moved + 0.5) / levels

    def _hash(self, X: Floats) -> NDArray[np.uint64]:
        words = np.ascontiguousarray(self._cube.snap(X)).view(np.uint64)
        hashes: NDArray[np.uint64] = ((words ^ (words >> np.uint64(29))) * self._factors).sum(axis=1, dtype=np.uint64)
        hashes ^= hashes >> np.uint64(32)
        return hashes

    def state(self) -> State:
        return {"hashes": self._hashes, "at": self._at}

    def load(self, state: State) -> None:
        self._hashes = state["hashes"].copy()
        self._at = int(state["at"])
