"""When the time of tasks that wait or run is up, whole runs of them at once: `total_timeout` and `queue_timeout`.

Tasks of a job that arrive within a small part of their timeout of each other share a deadline. So a job has a few
hundred deadlines at most, however many tasks, and none strikes early.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from typing import Literal

Limit = Literal["total_timeout", "queue_timeout"]

#: A deadline is late by this part of the timeout at most.
LATENESS = 1 / 256


class Expiries:
    """Of all jobs. A deadline whose tasks have all ended is of no account: whoever is told of it looks."""

    def __init__(self) -> None:
        self._runs: dict[tuple[int, Limit], deque[tuple[float, int, int]]] = {}
        self._heap: list[tuple[float, int, Limit]] = []  # the first deadline of each, and void ones

    def add(self, job: int, limit: Limit, timeout: float, lo: int, hi: int, now: float) -> None:
        """Tasks [lo, hi) have arrived, behind those that arrived before."""
        runs = self._runs.get((job, limit))
        if runs is None:
            runs = self._runs[job, limit] = deque()
        if runs and now + timeout <= runs[-1][0]:
            due, first, _ = runs[-1]
            runs[-1] = due, first, hi
            return
        due = now + timeout * (1 + LATENESS)
        runs.append((due, lo, hi))
        if len(runs) == 1:
            heapq.heappush(self._heap, (due, job, limit))

    def forget(self, job: int) -> None:
        """The job is over."""
        for limit in ("total_timeout", "queue_timeout"):
            self._runs.pop((job, limit), None)

    def next_due(self) -> float | None:
        """When the next deadline strikes."""
        heap = self._heap
        while heap:
            due, job, limit = heap[0]
            runs = self._runs.get((job, limit))
            if runs and runs[0][0] == due:
                return due
            heapq.heappop(heap)
        return None

    def pop_due(self, now: float) -> Iterator[tuple[int, Limit, int, int]]:
        """(job, limit, first task, last + 1) of each deadline that has struck by `now`, once."""
        while (due := self.next_due()) is not None and due <= now:
            _, job, limit = heapq.heappop(self._heap)
            runs = self._runs[job, limit]
            _, lo, hi = runs.popleft()
            if runs:
                heapq.heappush(self._heap, (runs[0][0], job, limit))
            else:
                del self._runs[job, limit]
            yield job, limit, lo, hi
