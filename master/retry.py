"""When a failed task runs again: exponential backoff with jitter, woken in ticks."""

from __future__ import annotations

import heapq
from random import Random

from manyhands.master.events import RetryOptions

#: Retries due within the same tick wake, and travel, together. Seconds.
TICK = 0.01

#: The k-th delay is multiplied by a factor from 1 - JITTER to 1 + JITTER.
JITTER = 0.25


def retry_delay(options: RetryOptions, failures: int, rng: Random) -> float | None:
    """Seconds until the next attempt after `failures` (>= 1) failed ones; None if there is none."""
    if failures > options.retries:
        return None
    try:
        delay = options.delay * options.backoff ** (failures - 1)
    except OverflowError:  # far beyond any delay_max, and no client may stop the master with it
        delay = options.delay_max if options.delay else 0.0
    return min(delay, options.delay_max) * rng.uniform(1 - JITTER, 1 + JITTER)


class Wakes:
    """Tasks that wait for their next attempt, by tick."""

    def __init__(self) -> None:
        self._ticks: dict[int, list[tuple[int, int]]] = {}
        self._order: list[int] = []
        self._latest: dict[tuple[int, int], int] = {}  # -> tick

    def add(self, due: float, job: int, index: int) -> None:
        """Task `index` of `job` may run again at `due`, and no longer when it was said before."""
        tick = int(due / TICK) + 1
        self._latest[job, index] = tick
        waiting = self._ticks.get(tick)
        if waiting is None:
            waiting = self._ticks[tick] = []
            heapq.heappush(self._order, tick)
        waiting.append((job, index))

    def next_due(self) -> float | None:
        """When the next tick is due."""
        return self._order[0] * TICK if self._order else None

    def pop_due(self, now: float) -> list[tuple[int, int]]:
        """Remove and return the (job, index) pairs whose time has come."""
        due: list[tuple[int, int]] = []
        while self._order and self._order[0] * TICK <= now:
            tick = heapq.heappop(self._order)
            for key in self._ticks.pop(tick):
                if self._latest.get(key) == tick:
                    del self._latest[key]
                    due.append(key)
        return due
