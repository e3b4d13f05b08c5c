"""What is known of a search while it runs and when it has ended, in the user's terms."""

from __future__ import annotations

from typing import Any

from manyhands.optimize.evaluations import Rows
from manyhands.optimize.history import History
from manyhands.optimize.history_file import HistoryFile
from manyhands.optimize.progress import Progress
from manyhands.optimize.request import Request
from manyhands.optimize.result import FrontPoint, OptimizeResult, Stats
from manyhands.optimize.search import Counts
from manyhands.optimize.tally import Best
from manyhands.optimize.wire_results import Conclusion
from manyhands.wire.errors import TooManyFailures


class Recording:
    """One search's: its history goes to a file without a name, which its result reads."""

    def __init__(self, request: Request) -> None:
        self._request = request
        plan = request.plan
        self._file = HistoryFile(plan.cube.d, plan.objectives)

    def add(self, rows: Rows) -> None:
        """These have counted."""
        self._file.append(rows)

    def progress(self, counts: Counts, best: Best | None, elapsed: float, slots: float) -> Progress:
        """How far it is after `elapsed` seconds on so many slots."""
        return Progress(
            counts.counted,
            self._request.plan.budget,
            counts.failed,
            counts.generation,
            self._params(best),
            None if best is None else best.score,
            elapsed,
            counts.counted / elapsed if elapsed else 0.0,
            counts.seconds / elapsed / slots if elapsed and slots else 0.0,
        )

    def _params(self, best: Best | None) -> dict[str, Any] | None:
        return None if best is None else self._request.space.params(best.U.reshape(1, -1))[0]

    def result(self, end: Conclusion) -> OptimizeResult:
        """It has ended like that. Raises TooManyFailures."""
        if end.reason == "failures":
            allowed = self._request.plan.max_failed_share
            raise TooManyFailures(end.counts.failed, end.counts.counted, allowed, end.error or "")
        space, plan = self._request.space, self._request.plan
        front: tuple[FrontPoint, ...] = ()
        if end.front is not None:
            ids, U, F = end.front
            points = zip(ids.tolist(), space.params(U), F.tolist(), strict=True)
            front = tuple(FrontPoint(id, params, tuple(scores)) for id, params, scores in points)
        counts = end.counts
        stats = Stats(counts.counted, counts.failed, counts.cached, end.elapsed, counts.seconds, end.slots)
        return OptimizeResult(
            best_params=self._params(end.best),
            best_score=None if end.best is None else end.best.score,
            best_violation=0.0 if end.best is None else end.best.violation,
            front=front,
            history=History(space, self._file.rows(), plan.signs),
            stats=stats,
            reason=end.reason,
            seed=plan.seed,
            space=space,
            directions=tuple("min" if sign > 0 else "max" for sign in plan.signs),
        )
