"""When the core wants to be called again about which slot."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Literal

from manyhands.worker.slot_state import Slot

#: watch: look for a straggler. cut: publish the cut. deadline: see whether a task has run too long.
#: memory: measure what it uses. stop: see whether what is to stop has. spawn: start the slot's next process.
Kind = Literal["watch", "cut", "deadline", "memory", "stop", "spawn"]

NEVER = float("inf")


class Timers:
    """A timer set in one life of a slot's process is void in the next."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Kind, Slot, int]] = []
        self._count = 0

    def set(self, when: float, kind: Kind, slot: Slot) -> None:
        """Come back at `when`."""
        self._count += 1  # breaks ties, first set first
        heappush(self._heap, (when, self._count, kind, slot, slot.life))

    def due(self, now: float) -> Iterator[tuple[Kind, Slot]]:
        """Those due by `now`, each once; also those that are set meanwhile."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            _, _, kind, slot, life = heappop(heap)
            if slot.life == life:
                yield kind, slot

    @property
    def first(self) -> float:
        """When the next one is due; NEVER if none is."""
        return self._heap[0][0] if self._heap else NEVER
