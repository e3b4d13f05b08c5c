"""Owns the values that the parts hand to the report: a table, what is judged of it, and all figures behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from benchmarks.readings import Better


@dataclass(frozen=True)
class Judged:
    """One figure and its bars. None: there was no figure, or there is no such bar. aim_is_strict: to equal it is not
    enough."""

    what: str
    measured: float | None
    reach: float | None
    aim: float | None = None
    better: Better = "lower"
    unit: str = ""
    aim_is_strict: bool = False

    @property
    def reach_met(self) -> bool | None:
        return self._met(self.reach)

    @property
    def aim_met(self) -> bool | None:
        if self.aim_is_strict and self.measured is not None and self.measured == self.aim:
            return False
        return self._met(self.aim)

    def _met(self, bar: float | None) -> bool | None:
        if self.measured is None or bar is None:
            return None
        return self.measured <= bar if self.better == "lower" else self.measured >= bar

    def as_json(self) -> dict[str, object]:
        return asdict(self) | {"reach_met": self.reach_met, "aim_met": self.aim_met}


@dataclass(frozen=True)
class Findings:
    """What one part found. about: what a reader has to know, in Markdown; data: whatever JSON can say."""

    title: str
    about: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    judged: Sequence[Judged]
    data: object
    failures: Sequence[str] = field(default=())

    def as_json(self) -> dict[str, object]:
        return {
            "title": self.title,
            "judged": [each.as_json() for each in self.judged],
            "failures": list(self.failures),
            "data": self.data,
        }


def short(value: float | None) -> str:
    """Two digits of a score."""
    return "" if value is None else f"{value:.1e}" if value and not 0.1 <= abs(value) < 1000 else f"{value:.3g}"
