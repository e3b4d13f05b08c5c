"""What a client's tasks took: the figures behind `Client.get_stats`."""

from __future__ import annotations

import threading


class Stats:
    """Counts tasks, and the time during which any was open. Time is an argument.

    Written on the loop's thread, but for `recalled`.
    """

    def __init__(self) -> None:
        self.completed = 0
        #: Seconds that the tasks took in their slots, together.
        self.busy = 0.0
        self._recalled = 0
        self._recalling = threading.Lock()
        self._open = 0
        self._opened_at = 0.0
        self._total = 0.0

    @property
    def open(self) -> int:
        """Tasks sent that have not ended."""
        return self._open

    def opened(self, count: int, now: float) -> None:
        """`count` tasks are on their way to the master."""
        if self._open == 0 and count:
            self._opened_at = now
        self._open += count

    def ended(self, count: int, now: float, *, seconds: float = 0.0, completed: bool = False) -> None:
        """`count` tasks ended; `completed`: with a result or an exception of their own."""
        self._open -= count
        if completed:
            self.completed += count
            self.busy += seconds
        if self._open == 0 and count:
            self._total += now - self._opened_at

    def recalled(self, count: int) -> None:
        """From any thread: `count` results were taken from a checkpoint."""
        with self._recalling:
            self._recalled += count

    def summary(self, workers: int, slots: int, now: float) -> dict[str, float]:
        """See `Client.get_stats`."""
        total = self._total + (now - self._opened_at if self._open else 0.0)
        completed, busy = self.completed, self.busy
        return {
            "tasks_completed": completed,
            "tasks_recalled": self._recalled,
            "throughput": completed / total if total else 0.0,
            "num_workers": workers,
            "total_time": total,
            "avg_task_time": busy / completed if completed else 0.0,
            "efficiency": busy / (total * slots) if total and slots else 0.0,
        }
