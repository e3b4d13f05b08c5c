"""What has counted of a search: how many evaluations, the best of them, and when that is enough."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from manyhands.optimize.algorithm import Scores, Told
from manyhands.optimize.cube import Floats
from manyhands.optimize.evaluations import Rows
from manyhands.optimize.front import Front
from manyhands.optimize.plan import Plan

#: Evaluations before a share of failed ones says anything.
FAILED_MIN = 20
#: In a finite space: points in a row that were all known. There is hardly another one.
KNOWN_MAX = 10_000

_COUNTERS = ("counted", "failed", "cached", "known_in_a_row", "improved_at", "seconds")


class Best(NamedTuple):
    """An evaluation. U: (d,); score: as it was told; violation: of the constraints, 0 if they hold."""

    id: int
    U: Floats
    score: float
    violation: float


class Tally:
    """Of one search. None of its rules looks at a clock, or at a ratio of scores."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.counted = 0
        self.failed = 0
        self.cached = 0
        #: What the evaluations cost together.
        self.seconds = 0.0
        #: With one objective: of those that did not fail.
        self.best: Best | None = None
        #: With several.
        self.front = None if plan.objectives == 1 else Front()
        self.known_in_a_row = 0
        self.improved_at = 0

    def count(self, rows: Rows, told: Told, is_known: NDArray[np.bool_]) -> None:
        """These count from now on. told: the same, to be minimised; is_known: (n,), whether they need not have run."""
        ok = told.ok
        known = int(np.count_nonzero(is_known))
        self.counted += len(ok)
        self.failed += len(ok) - int(np.count_nonzero(ok))
        self.cached += known
        self.known_in_a_row = self.known_in_a_row + known if known == len(ok) else 0
        self.seconds += float(rows.cost.sum())
        if self.front is not None:
            self.front.add(told)
            return
        at = 0 if len(ok) == 1 else int(Scores(told.F[:, 0], told.V, ok).order()[0])
        if ok[at]:
            self._consider(Best(int(rows.ids[at]), rows.U[at], float(rows.F[at, 0]), float(told.V[at])))

    def _consider(self, found: Best) -> None:
        if self.best is None or self._rank(found) < self._rank(self.best):
            self.best, self.improved_at = found, self.counted

    def _rank(self, best: Best) -> tuple[float, float]:
        return best.violation, 0.0 if best.violation else best.score * self._plan.signs[0]

    def reason_to_stop(self, generation: int, *, is_exhausted: bool) -> str | None:
        """See Search.done."""
        reason = self._reason(generation, is_exhausted=is_exhausted)
        if self.failed > self._plan.max_failed_share * self.counted and (self.failed >= FAILED_MIN or reason):
            return "failures"
        return reason

    def _reason(self, generation: int, *, is_exhausted: bool) -> str | None:
        plan, best = self._plan, self.best
        if plan.target is not None and best is not None and self._rank(best) <= (0.0, plan.target * plan.signs[0]):
            return "target"
        if plan.budget is not None and self.counted >= plan.budget:
            return "budget"
        if plan.generations is not None and generation >= plan.generations:
            return "generations"
        if plan.stagnation is not None and self.counted - self.improved_at >= plan.stagnation:
            return "stagnation"
        if is_exhausted or (plan.cube.cardinality is not None and self.known_in_a_row >= KNOWN_MAX):
            return "exhausted"
        return None

    def state(self) -> dict[str, Any]:
        """For `load`."""
        best = self.best
        numbers = None if best is None else np.array([best.score, best.violation])
        return {
            "counters": {name: getattr(self, name) for name in _COUNTERS},
            "best": None if best is None else [best.id, best.U, numbers],
            "front": None if self.front is None else self.front.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Be as the one whose state this is."""
        for name in _COUNTERS:
            setattr(self, name, state["counters"][name])
        if state["best"] is not None:
            id, U, numbers = state["best"]
            self.best = Best(id, U, float(numbers[0]), float(numbers[1]))
        if self.front is not None:
            self.front.load(state["front"])
