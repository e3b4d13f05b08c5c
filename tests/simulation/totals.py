"""What many histories came to, together."""

from __future__ import annotations

from collections import Counter

from tests.simulation.simulation import Outcome

#: A history is bad enough with so many faults, of so many kinds.
FAULTS, KINDS = 5, 3


class Totals:
    """Add each outcome."""

    def __init__(self) -> None:
        self._histories = 0
        self._bad = 0
        self._tasks = 0
        self._seconds = 0.0
        self._counts: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()

    def add(self, tasks: int, outcome: Outcome) -> None:
        """A history that kept every property."""
        self._histories += 1
        self._tasks += tasks
        self._seconds += outcome.seconds
        self._counts.update(outcome.counts)
        self._faults.update(outcome.faults)
        self._bad += sum(outcome.faults.values()) >= FAULTS and len(outcome.faults) >= KINDS

    def __str__(self) -> str:
        faults = ", ".join(f"{count} {kind}" for kind, count in self._faults.most_common())
        counts = ", ".join(f"{count} {name}" for name, count in self._counts.most_common() if count)
        return (
            f"{self._histories} histories, {self._bad} of them with {FAULTS} faults or more of {KINDS} kinds or more; "
            f"{self._tasks} tasks, {self._seconds:.0f} s virtual\nfaults: {faults}\nwhat happened: {counts}"
        )
