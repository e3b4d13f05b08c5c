"""The report of a soak: samples, what was left at the end, the verdict; for people and for programs. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

#: Memory at the end may exceed that after a tenth of the tasks by this part; but what a process takes until it has
#: done everything several times is not held against it, so the tenth is so many tasks at least.
GROWTH, WARM_TASKS = 0.05, 1_000_000
#: The journal's file and log, whenever no task is open: room that was needed once is given back in part only.
JOURNAL_BYTES = 64 << 20
#: Definitions that the journal may have left: it looks through them now and then, not at once.
DEFINITIONS = 1000

PROCESSES = ("master", "agent", "client")
_MB = 1e6


@dataclass(frozen=True, slots=True)
class Sample:
    """Taken at rest, no task open. Memory is what a process has for itself (USS)."""

    tasks: int
    #: Since the sample before.
    tasks_per_second: float
    master_bytes: int
    agent_bytes: int
    client_bytes: int
    journal_bytes: int


@dataclass(frozen=True, slots=True)
class Remains:
    """What there was when all clients had left."""

    jobs: int
    clients: int
    #: By name: tasks that the master thinks they have.
    outstanding: Mapping[str, int]
    #: Of each of the journal's tables.
    rows: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Report:
    seed: int
    samples: list[Sample]
    #: None: it did not come so far.
    remains: Remains | None
    drained: int
    killed: int
    clients: int
    clients_killed: int
    complaints: list[str]

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "violations": self.violations()}

    @property
    def judged(self) -> tuple[Sample, Sample] | None:
        """The samples whose memory is compared; None: there were too few tasks."""
        warm = [sample for sample in self.samples if sample.tasks >= WARM_TASKS]
        return (warm[0], warm[-1]) if len(warm) > 1 else None

    def violations(self) -> list[str]:
        """Sentences; none: it passed."""
        found = [*self.complaints]
        if self.remains is not None:
            found += _of_remains(self.remains)
        elif not found:
            found.append("it did not come to its end")
        largest = max((sample.journal_bytes for sample in self.samples), default=0)
        if largest > JOURNAL_BYTES:
            found.append(f"the journal took {largest / _MB:.0f} MB while no task was open")
        if self.judged is not None:
            found += _of_growth(*self.judged)
        return found


def _of_remains(remains: Remains) -> Iterator[str]:
    if remains.jobs or remains.clients:
        yield f"{remains.jobs} jobs and {remains.clients} clients are left"
    if len(remains.outstanding) != 2 or any(remains.outstanding.values()):
        yield f"there should be two idle workers, and are {dict(remains.outstanding)}"
    limits = {"master": 2, "workers": 2, "definitions": DEFINITIONS}  # identity and epoch; those that are there
    for table, count in remains.rows.items():
        if count > limits.get(table, 0):
            yield f"the journal's table {table} has {count} rows left"


def growth(before: Sample, after: Sample) -> dict[str, float]:
    """By process, of what it had before."""
    return {name: getattr(after, f"{name}_bytes") / getattr(before, f"{name}_bytes") - 1 for name in PROCESSES}


def _of_growth(first: Sample, last: Sample) -> Iterator[str]:
    for name, part in growth(first, last).items():
        if part > GROWTH:
            yield f"the {name}'s memory grew by {part:.1%} from {first.tasks:,} to {last.tasks:,} tasks"


HEADER = "     tasks  tasks/s  master MB  agent MB  client MB  journal MB"


def as_line(sample: Sample) -> str:
    """A row below HEADER."""
    return (
        f"{sample.tasks:>10,} {sample.tasks_per_second:8,.0f} {sample.master_bytes / _MB:10.1f} "
        f"{sample.agent_bytes / _MB:9.1f} {sample.client_bytes / _MB:10.1f} {sample.journal_bytes / _MB:11.1f}"
    )


def as_text(report: Report) -> str:
    """For people."""
    lines = [HEADER, *map(as_line, report.samples)]
    if report.judged is not None:
        before, after = report.judged
        parts = ", ".join(f"{name} {part:+.1%}" for name, part in growth(before, after).items())
        lines.append(f"from {before.tasks:,} to {after.tasks:,} tasks: {parts}")
    lines.append(
        f"{report.clients} short-lived clients, {report.clients_killed} of them killed; "
        f"{report.drained} workers drained, {report.killed} killed; seed {report.seed}"
    )
    if report.remains is not None:
        left = {table: count for table, count in report.remains.rows.items() if count}
        lines.append(f"left in the journal: {left}")
    violations = report.violations()
    lines.append("passed" if not violations else f"{len(violations)} violations")
    lines += [f"  {each}" for each in violations]
    return "\n".join(lines)
