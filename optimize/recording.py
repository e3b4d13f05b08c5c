"""What is known of a search while it runs and when it has ended, in the user's terms."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import numpy as np

from manyhands.optimize import packing
from manyhands.optimize.evaluations import Rows
from manyhands.optimize.history import History
from manyhands.optimize.history_file import HistoryFile
from manyhands.optimize.plan import Mode
from manyhands.optimize.progress import Progress
from manyhands.optimize.request import Asked
from manyhands.optimize.result import FrontPoint, OptimizeResult, Stats
from manyhands.optimize.search import Counts
from manyhands.optimize.tally import Best
from manyhands.optimize.wire_results import Conclusion, HistoryChunk
from manyhands.wire.errors import TooManyFailures


class Recording:
    """One search's: its history goes to a file without a name, which is mapped by its result. To be closed."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        plan = asked.plan
        self._file = HistoryFile(plan.cube.d, plan.objectives)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def add(self, rows: Rows) -> None:
        """These have counted."""
        self._file.append(rows)

    def result(self, end: Conclusion) -> OptimizeResult:
        """It has ended like that. Raises TooManyFailures."""
        asked = self._asked
        if end.reason == "failures":
            allowed = asked.plan.max_failed_share
            raise TooManyFailures(end.counts.failed, end.counts.counted, allowed, end.error or "")
        space, plan = asked.space, asked.plan
        counts = end.counts
        stats = Stats(counts.counted, counts.failed, counts.cached, end.elapsed, counts.seconds, end.slots)
        rows = self._file.rows()
        is_async = plan.mode is Mode.ASYNC
        return OptimizeResult(
            best_params=_params(asked, end.best),
            best_score=None if end.best is None else end.best.score,
            best_violation=0.0 if end.best is None else end.best.violation,
            front=() if end.front is None else FrontPoint.all_of(end.front, space),
            history=History(space, rows, plan.signs),
            stats=stats,
            reason=end.reason,
            seed=plan.seed,
            arrivals=np.insert(rows.ids, end.widened[:, 0], -end.widened[:, 1]) if is_async else None,
            space=space,
            directions=tuple("min" if sign > 0 else "max" for sign in plan.signs),
        )


def progress(asked: Asked, counts: Counts, best: Best | None, elapsed: float, slots: float) -> Progress:
    """How far a search is after `elapsed` seconds on so many slots."""
    return Progress(
        counts.counted,
        asked.plan.budget,
        counts.failed,
        counts.generation,
        _params(asked, best),
        None if best is None else best.score,
        elapsed,
        counts.counted / elapsed if elapsed else 0.0,
        counts.seconds / elapsed / slots if elapsed and slots else 0.0,
    )


def read_progress(asked: Asked, packed: bytes) -> Progress:
    """The same, as the master says it; see JobReport."""
    state = packing.unpack(packed)
    found = state["best"]
    best = (
        None if found is None else Best(found["id"], found["U"], *found["score"].tolist(), *found["violation"].tolist())
    )
    counts = Counts(*(state[name] for name in Counts._fields))
    return progress(asked, counts, best, state["elapsed"], state["slots"])


def _params(asked: Asked, best: Best | None) -> dict[str, Any] | None:
    return None if best is None else asked.space.params(best.U.reshape(1, -1))[0]


def assembled(asked: Asked, told: Iterable[Any]) -> OptimizeResult:
    """The result of a search, of all that its master has told after the preface. Raises TooManyFailures, and whatever
    `told` does.
    """
    with Recording(asked) as recording:
        for each in told:
            if isinstance(each, HistoryChunk):
                recording.add(each.rows)
            elif isinstance(each, Conclusion):
                return recording.result(each)
    raise ValueError("the search has no end")
