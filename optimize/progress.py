"""How far a search is, for callbacks and progress bars."""

from __future__ import annotations

from typing import Any, NamedTuple


class Progress(NamedTuple):
    """evaluations: those that counted, of `budget` if any; best_params, best_score: of the best so far, with
    one objective; rate: evaluations a second; efficiency: the share of the slots' time that the objective took.
    """

    evaluations: int
    budget: int | None
    failed: int
    generation: int
    best_params: dict[str, Any] | None
    best_score: float | None
    elapsed: float
    rate: float
    efficiency: float

    def __str__(self) -> str:
        of = f" of {self.budget:,}" if self.budget else ""
        best = "" if self.best_score is None else f", best {self.best_score:.6g}"
        return f"{self.evaluations:,}{of} evaluations{best}, {self.rate:,.0f}/s, efficiency {self.efficiency:.0%}"
