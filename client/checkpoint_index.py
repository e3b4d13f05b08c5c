"""Where each key's result lies: sorted arrays of the keys' first halves, merged as they grow. No I/O."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

#: A place is a run's number and a position in it, in the lower bits.
POSITION_BITS = 16
NOWHERE = -1

_Halves = npt.NDArray[np.uint64]
_Places = npt.NDArray[np.int64]


class _Sorted(NamedTuple):
    halves: _Halves
    places: _Places


class KeyIndex:
    """16 bytes a key. Finds candidates: whoever asks compares the whole key."""

    def __init__(self) -> None:
        self._levels: list[_Sorted] = []  # the oldest, and largest, first

    def add(self, run: int, keys: bytes) -> None:
        """The keys of one run, 16 bytes each. The latest place of a key counts."""
        halves = _halves(keys)
        places = (run << POSITION_BITS) + np.arange(len(halves), dtype=np.int64)
        self._levels.append(_sorted(halves, places))
        while len(self._levels) > 1 and len(self._levels[-2].halves) < 2 * len(self._levels[-1].halves):
            newer, older = self._levels.pop(), self._levels.pop()
            halves = np.concatenate((newer.halves, older.halves))
            self._levels.append(_sorted(halves, np.concatenate((newer.places, older.places))))

    def find(self, keys: bytes) -> _Places:
        """The place of each key, or NOWHERE."""
        halves = _halves(keys)
        found = np.full(len(halves), NOWHERE, dtype=np.int64)
        for level in reversed(self._levels):
            at = np.searchsorted(level.halves, halves)
            at[at == len(level.halves)] = 0
            hits = (level.halves[at] == halves) & (found == NOWHERE)
            found[hits] = level.places[at[hits]]
        return found


def _halves(keys: bytes) -> _Halves:
    return np.frombuffer(keys, dtype="<u8")[::2].astype(np.uint64)


def _sorted(halves: _Halves, places: _Places) -> _Sorted:
    """Of equal halves, the first one is kept."""
    order = np.argsort(halves, kind="stable")
    halves, places = halves[order], places[order]
    kept = np.ones(len(halves), dtype=bool)
    kept[1:] = halves[1:] != halves[:-1]
    return _Sorted(halves[kept], places[kept])
