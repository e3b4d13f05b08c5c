"""The report of a chaos run: what it did, what came of it, for people and for programs. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from tests.chaos.checker import Circumstances, Totals, Violation, check, count
from tests.chaos.plan import MASTER_DEATHS, SLOT_DEATHS, Kind
from tests.chaos.recovery import Signs, moved_after
from tests.chaos.refusals import refusals
from tests.chaos.run import SETTLE_TIMEOUT, Record, Settings


@dataclass(frozen=True, slots=True)
class KindReport:
    """Faults of one kind. Times in seconds."""

    struck: int
    missed: int
    #: From the mending of each to the target's next sign of life.
    recovery_median: float | None
    recovery_max: float | None
    #: From a kill to the next start of what had been running, tasks' median and maximum.
    moved_median: float | None
    moved_max: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """A run's outcome."""

    seed: int
    seconds: float
    kinds: dict[str, KindReport]
    totals: Totals
    tasks_per_second: float
    violations: list[Violation]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def make_report(settings: Settings, record: Record) -> Report:
    """Check the record, and count."""
    starts = Counter(start.task for start in record.starts)
    around = Circumstances(
        deadline=record.over + SETTLE_TIMEOUT,
        killed=record.killed_clients,
        starts=starts,
        slots_died=any(struck.fault.kind in SLOT_DEATHS for struck in record.struck),
        refused={client: refusals(client, record.struck) for client in record.histories},
        master_deaths=[struck.began for struck in record.struck if struck.fault.kind in MASTER_DEATHS],
    )
    totals = count(record.histories, starts)
    seconds = record.over - record.begun
    return Report(
        seed=settings.seed,
        seconds=seconds,
        kinds=_by_kind(settings.kinds, record),
        totals=totals,
        tasks_per_second=(totals.ended - totals.refused) / seconds,
        violations=[*check(record.histories, around), *record.complaints],
    )


def _by_kind(kinds: Sequence[Kind], record: Record) -> dict[str, KindReport]:
    signs = Signs(record.histories, record.starts)
    missed = Counter(fault.kind for fault, _ in record.missed)
    recoveries: dict[Kind, list[float]] = defaultdict(list)
    moves: dict[Kind, list[float]] = defaultdict(list)
    struck_counts: Counter[Kind] = Counter()
    for struck in record.struck:
        kind = struck.fault.kind
        struck_counts[kind] += 1
        recovery = signs.recovery("master" if kind is Kind.FULL_DISK else struck.fault.target, struck.healed)
        if recovery is not None:
            recoveries[kind].append(recovery)
        if struck.victim.slots:
            moves[kind] += moved_after(struck.victim.slots, struck.began, record.starts)
    return {
        str(kind): KindReport(
            struck=struck_counts[kind],
            missed=missed[kind],
            recovery_median=_median(recoveries[kind]),
            recovery_max=max(recoveries[kind], default=None),
            moved_median=_median(moves[kind]),
            moved_max=max(moves[kind], default=None),
        )
        for kind in kinds
    }


def _median(values: list[float]) -> float | None:
    return median(values) if values else None


def as_text(report: Report) -> str:
    """For people."""
    totals = report.totals
    lines = [f"{'fault':<12} struck missed  works again after (median, max)  tasks run again after (median, max)"]
    for name, kind in report.kinds.items():
        again = _times(kind.recovery_median, kind.recovery_max)
        lines.append(
            f"{name:<12} {kind.struck:6} {kind.missed:6}  {again:<30}  {_times(kind.moved_median, kind.moved_max)}"
        )
    lines += [
        f"{sum(kind.struck for kind in report.kinds.values())} faults in {report.seconds:.0f} s, seed {report.seed}",
        f"{totals.tasks} tasks, {report.tasks_per_second:.0f} a second",
        f"{totals.values} values, {totals.raised} exceptions ({totals.refused} refusals), {totals.cancelled} cancelled",
        f"{totals.started_again} tasks were started again, beyond their retries",
        f"longest stall seen by a client: {totals.longest_stall:.1f} s ({totals.stalled})",
        f"{len(report.violations)} violations",
    ]
    alike = Counter((violation.kind, violation.who, violation.text) for violation in report.violations)
    first = {(each.kind, each.who, each.text): each for each in reversed(report.violations)}
    lines += [f"  {number} times {first[key]}" for key, number in alike.most_common(_SHOWN)]
    if len(alike) > _SHOWN:
        lines.append(f"  ... and {len(alike) - _SHOWN} other kinds")
    return "\n".join(lines)


#: Different violations in the report for people; the other one has them all.
_SHOWN = 20


def _times(middle: float | None, longest: float | None) -> str:
    return "" if middle is None or longest is None else f"{middle:7.2f} s {longest:7.2f} s"
