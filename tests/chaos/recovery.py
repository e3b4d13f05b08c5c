"""How long what a fault had struck took to work again, from what was written down. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence

from tests.chaos.history import Ended, Event
from tests.chaos.starts import Start


class Signs:
    """Signs of life: tasks that started at a worker, outcomes that a client saw, which count for the master, too."""

    def __init__(self, histories: Mapping[str, Sequence[Event]], starts: Sequence[Start]) -> None:
        self._by_name: dict[str, list[float]] = {}
        for client, events in histories.items():
            seen = [event.at for event in events if isinstance(event, Ended)]
            self._by_name.setdefault(client.partition(".")[0], []).extend(seen)
            self._by_name.setdefault("master", []).extend(seen)
        for start in starts:
            self._by_name.setdefault(start.worker, []).append(start.at)
        for times in self._by_name.values():
            times.sort()

    def recovery(self, target: str, healed: float) -> float | None:
        """Seconds from `healed` to the target's next sign of life; None if there was none."""
        times = self._by_name.get(target, [])
        at = bisect_right(times, healed)
        return times[at] - healed if at < len(times) else None


def moved_after(pids: Sequence[int], killed_at: float, starts: Sequence[Start]) -> list[float]:
    """Seconds from the end of these processes to the next start of each task that ran in them, where there was one."""
    last = {start.pid: start for start in starts if start.pid in pids and start.at <= killed_at}
    running = {start.task for start in last.values()}
    again: dict[str, float] = {}
    for start in sorted(starts, key=lambda start: start.at):
        if start.task in running and start.at > killed_at:
            again.setdefault(start.task, start.at - killed_at)
    return list(again.values())
