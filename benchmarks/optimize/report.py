"""Owns the Markdown page of a run: what had to be reached, then each part's table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.optimize.findings import Findings, Judged, short
from benchmarks.report import met, table

CAVEATS = (
    "The functions are the usual ones of the field, shifted; what is good at them need not be good at yours.",
    "The peers run with the defaults that they have, in one process, as a user would begin with them.",
    "DEAP has no defaults: its rows are what its documentation shows, and what is usual.",
    "Efficiency is of one machine: client, master, workers and slots share its cores.",
)


@dataclass(frozen=True)
class Run:
    """All that one run found. kind: complete, quick or partial; seconds: that it took; seed: to do it again."""

    date: str
    commit: str
    kind: str
    seconds: float
    seed: int
    seeds: int
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    remarks: Sequence[str]
    parts: Mapping[str, Findings]

    def as_json(self) -> dict[str, object]:
        return {
            "format": 1,
            "date": self.date,
            "commit": self.commit,
            "kind": self.kind,
            "seconds": self.seconds,
            "seed": self.seed,
            "seeds": self.seeds,
            "machine": dict(self.machine),
            "versions": dict(self.versions),
            "remarks": list(self.remarks),
            "parts": {name: part.as_json() for name, part in self.parts.items()},
        }


def markdown(run: Run) -> str:
    kind = "" if run.kind == "complete" else f" This is a {run.kind} run: do not quote its figures."
    minutes = max(run.seconds / 60, 1)
    about = f"`./scripts/bench optimize --seed {run.seed}`, {run.seeds} seeds, {minutes:.0f} minutes.{kind}"
    lines = [f"# Search and evolution, {run.date}, commit {run.commit}", "", about, ""]
    lines += ["## What must be reached", "", *_judged(run.parts.values()), ""]
    for part in run.parts.values():
        lines += [f"## {part.title}", "", part.about, "", *table(part.head, part.rows), ""]
        lines += [f"- failed: {failure}" for failure in part.failures]
        lines += [""] if part.failures else []
    lines += ["## Machine and versions", ""]
    lines += [f"- {name}: {value}" for name, value in [*run.machine.items(), *run.versions.items()]]
    lines += ["", "## Caveats", "", *(f"- {caveat}" for caveat in (*run.remarks, *CAVEATS)), ""]
    return "\n".join(lines)


def _judged(parts: Iterator[Findings] | Sequence[Findings]) -> list[str]:
    rows = [
        (
            each.what,
            _figure(each, each.measured) or "no figure",
            _figure(each, each.reach),
            "" if each.reach is None else met(each.reach_met),
            _figure(each, each.aim),
            "" if each.aim is None else met(each.aim_met),
        )
        for part in parts
        for each in part.judged
    ]
    return list(table(("what", "measured", "reach at least", "met", "aim", "met"), rows))


def _figure(judged: Judged, value: float | None) -> str:
    """More digits of what is to be high: it is near its bar."""
    if value is None:
        return ""
    text = f"{value:.4f}" if judged.better == "higher" else short(value)
    return f"{text} {judged.unit}".rstrip()
