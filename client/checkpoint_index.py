"""Where each key's result lies: sorted arrays of the keys' first halves, merged as they grow. No I/O."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
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

    def add(self, runs: Sequence[tuple[int, bytes]]) -> None:
        """The numbers of some runs, ascending, and their keys, 16 bytes each. The latest place of a key counts."""
        if not runs:
            return
        # The latest first, as of equal keys the first one is kept.
        halves = np.concatenate([_halves(keys) for _, keys in reversed(runs)])
        places = np.concatenate(
            [(run << POSITION_BITS) + np.arange(len(keys) // 16, dtype=np.int64) for run, keys in reversed(runs)]
        )
        self._levels.append(_sorted(halves, places))
        while len(self._levels) > 1 and len(self._levels[-2].halves) < 2 * len(self._levels[-1].halves):
            newer, older = self._levels.pop(), self._levels.pop()
            halves = np.concatenate((newer.halves, older.halves))
            self._levels.append(_sorted(halves, np.concatenate((newer.places, older.places))))

    def find(self, keys: bytes) -> _Places:
        """The place of each key, or NOWHERE."""
        halves = _halves(keys)
        found = np.full(len(halves), NOWHERE, dtype=np.int64)
        if len(halves):
            order = np.argsort(halves)  # the search then stays in the caches
            wanted = halves[order]
            for level in self._levels:  # the latest is the last to tell
                at = np.searchsorted(level.halves, wanted)
                at[at == len(level.halves)] = 0
                hits = np.flatnonzero(level.halves[at] == wanted)
                found[order[hits]] = level.places[at[hits]]
        return found

    def find_one(self, key: bytes) -> int:
        """Of one key; without numpy, which would take longer to be called."""
        half = int.from_bytes(key[:8], "little")
        for level in reversed(self._levels):
            with memoryview(level.halves) as halves:  # type: ignore[arg-type]  # numpy's arrays are buffers
                at = bisect_left(halves, half)
                if at < len(halves) and halves[at] == half:
                    return int(level.places[at])
        return NOWHERE


def _halves(keys: bytes) -> _Halves:
    return np.frombuffer(keys, dtype="<u8")[::2].astype(np.uint64)


def _sorted(halves: _Halves, places: _Places) -> _Sorted:
    """Of equal halves, the first one is kept."""
    order = np.argsort(halves, kind="stable")
    halves, places = halves[order], places[order]
    kept = np.ones(len(halves), dtype=bool)
    kept[1:] = halves[1:] != halves[:-1]
    return _Sorted(halves[kept], places[kept])
