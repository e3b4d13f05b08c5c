"""What running tasks have saved for their next attempts: the latest of each, and no more than there is room for."""

from __future__ import annotations

from collections.abc import Iterable


class StateRoom:
    """Bytes that the states of all jobs together may take."""

    __slots__ = ("limit_bytes", "used_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0


class SavedStates:
    """Those of one job's tasks, by index."""

    __slots__ = ("_by_index", "_room")

    def __init__(self, room: StateRoom) -> None:
        self._room = room
        self._by_index: dict[int, tuple[int, bytes]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_index)

    def __getitem__(self, index: int) -> bytes:
        """What a task has saved; empty if nothing."""
        return self._by_index.get(index, (0, b""))[1]

    def is_older(self, index: int, attempt: int) -> bool:
        """Whether what an attempt saves is older than what is here: of two that are out the later one's counts."""
        known = self._by_index.get(index)
        return known is not None and known[0] > attempt

    def keep(self, index: int, attempt: int, state: bytes) -> bool:
        """Whether there was room; if not, what was there stays."""
        more = len(state) - len(self[index])
        if more > 0 and self._room.used_bytes + more > self._room.limit_bytes:
            return False
        self._room.used_bytes += more
        self._by_index[index] = attempt, state
        return True

    def restore(self, states: Iterable[tuple[int, bytes]]) -> None:
        """Take over those of an earlier life: they had room there."""
        for index, state in states:
            self._room.used_bytes += len(state)
            self._by_index[index] = 0, state

    def within(self, lo: int, hi: int) -> list[int]:
        """The tasks of [lo, hi) that have one, ascending."""
        return sorted(index for index in self._by_index if lo <= index < hi)

    def drop(self, lo: int, hi: int) -> None:
        """Tasks [lo, hi) have their outcome."""
        for index in self.within(lo, hi):
            self._room.used_bytes -= len(self._by_index.pop(index)[1])

    def clear(self) -> None:
        """The job is over."""
        self._room.used_bytes -= sum(len(state) for _, state in self._by_index.values())
        self._by_index.clear()

    @property
    def size_bytes(self) -> int:
        """What they take."""
        return sum(len(state) for _, state in self._by_index.values())
