"""Owns the values that measures hand to the report: a Reading a figure, an Outcome a (measure, system)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

Better = Literal["higher", "lower"]
Unit = Literal["1/s", "s", "MB", "%"]

SLOTS = 2


@dataclass(frozen=True, slots=True)
class Scale:
    """How much work a run does; `quick` trades precision for a run of about three minutes."""

    quick: bool = False
    #: Items of the generator whose memory is measured; None leaves the measure's own choice.
    generator_items: int | None = None

    def count(self, full: int) -> int:
        """`full`, or a fifth of it in a quick run."""
        return max(full // 5, 10) if self.quick else full


@dataclass(frozen=True, slots=True)
class Reading:
    """One figure of one repetition."""

    key: str
    value: float
    unit: Unit
    better: Better
    #: What else is worth knowing about this figure: counts, percentiles, the event loop in use.
    detail: Mapping[str, float | str] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        return asdict(self)


@dataclass(slots=True)
class Outcome:
    """Everything that the repetitions of one measure on one system gave, failures included."""

    measure: str
    system: str
    repetitions: list[list[Reading]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    #: Processes that were still alive two seconds after the system had been shut down.
    strays: list[str] = field(default_factory=list)

    def best(self) -> dict[str, Reading]:
        """The best figure for each key over all repetitions that succeeded."""
        chosen: dict[str, Reading] = {}
        for reading in (reading for repetition in self.repetitions for reading in repetition):
            known = chosen.get(reading.key)
            if known is None or is_better(reading, known):
                chosen[reading.key] = reading
        return chosen

    def spread(self, key: str) -> float:
        """Largest over smallest of the repetitions' figures, at least 1."""
        values = [r.value for repetition in self.repetitions for r in repetition if r.key == key]
        return max(values) / min(values) if values and min(values) > 0 else 1.0

    def as_json(self) -> dict[str, object]:
        return {
            "measure": self.measure,
            "system": self.system,
            "best": {key: reading.as_json() for key, reading in self.best().items()},
            "repetitions": [[reading.as_json() for reading in r] for r in self.repetitions],
            "failures": self.failures,
            "strays": self.strays,
        }


def is_better(one: Reading, other: Reading) -> bool:
    return one.value > other.value if one.better == "higher" else one.value < other.value
