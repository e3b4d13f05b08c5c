"""What many histories came to, together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from tests.simulation.scenario import Scenario
from tests.simulation.simulation import Outcome

#: A history counts as bad enough with so many workers and tasks, and so many faults that struck, of so many kinds.
WORKERS, TASKS, FAULTS, KINDS = 3, 200, 5, 3


@dataclass(slots=True)
class Totals:
    """`seconds` are virtual. `qualify`: how many were bad enough. `violations`: seeds of those that failed."""

    histories: int = 0
    qualify: int = 0
    tasks: int = 0
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[int] = field(default_factory=list)

    def add(self, scenario: Scenario, outcome: Outcome) -> None:
        """A history that kept every property."""
        self.histories += 1
        self.qualify += qualifies(scenario, outcome.faults)
        self.tasks += scenario.task_count
        self.seconds += outcome.seconds
        self.faults.update(outcome.faults)
        self.counts.update(outcome.counts)

    def add_violation(self, seed: int) -> None:
        """A history that did not."""
        self.histories += 1
        self.violations.append(seed)

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def __str__(self) -> str:
        faults = ", ".join(f"{count} {kind}" for kind, count in self.faults.most_common())
        counts = ", ".join(f"{count} {name}" for name, count in self.counts.most_common() if count)
        return (
            f"{self.histories} histories, {self.qualify} of them with at least {WORKERS} workers, {TASKS} tasks and "
            f"{FAULTS} faults of {KINDS} kinds\n{self.tasks} tasks, {self.seconds:.0f} s virtual\n"
            f"{self.faults.total()} faults: {faults}\nwhat happened: {counts}\n{len(self.violations)} violations"
        )


def qualifies(scenario: Scenario, faults: Mapping[str, int]) -> bool:
    """Whether a history with these faults, by kind, is bad enough."""
    enough = len(scenario.workers) >= WORKERS and scenario.task_count >= TASKS
    return enough and sum(faults.values()) >= FAULTS and len(faults) >= KINDS
