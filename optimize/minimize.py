"""A search in this process: the engine of `Client.optimize` without a cluster."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from manyhands.optimize.evaluating import Begin
from manyhands.optimize.evaluations import Batch, Outcomes
from manyhands.optimize.plan import Mode
from manyhands.optimize.progress import Progress
from manyhands.optimize.recording import Recording, progress
from manyhands.optimize.request import Request, request
from manyhands.optimize.result import OptimizeResult
from manyhands.optimize.search import Search
from manyhands.optimize.space import Space
from manyhands.optimize.wire_results import conclude
from manyhands.wire.function_name import name_of
from manyhands.wire.stand_in import stand_in

#: Seconds between two looks at the clock, and between two calls of a callback.
LOOK_INTERVAL = 0.1


def minimize(
    objective: Callable[..., Any],
    space: Space | Mapping[str, Any],
    *,
    callback: Callable[[Progress], Any] | None = None,
    arrivals: Iterable[int] | None = None,
    **asked: Any,
) -> OptimizeResult:
    """What `Client.optimize` does, with the same arguments and, but for mode "async" and what depends on time, the same
    history; evaluated one by one in this process.

    callback: called with a Progress now and then; if it returns True, the search ends with what it has. arrivals: with
    mode "async": `arrivals` of an earlier result, whose run is repeated by that, as far as it went. Raises ValueError
    and TypeError for what cannot be asked for, TooManyFailures, and whatever `callback` does.
    """
    what = request(objective, space, **asked)
    if arrivals is not None and what.plan.mode is not Mode.ASYNC:
        raise ValueError(
            f'arrivals are for mode="async": in mode "{what.plan.mode}" the order of arrival does not count'
        )
    with stand_in(name_of(objective)) as begin, Recording(what.asked) as recording:
        log = None if arrivals is None else deque(map(int, arrivals))
        return _Run(what, recording, begin, callback, log).to_the_end()


class _Run:
    def __init__(
        self,
        what: Request,
        recording: Recording,
        begin: Begin,
        callback: Callable[[Progress], Any] | None,
        arrivals: deque[int] | None,
    ) -> None:
        self._what = what
        self._begin = begin
        self._callback = callback
        self._arrivals = arrivals
        self._search = Search(what.plan)
        self._recording = recording
        self._begun = self._looked = time.monotonic()
        self._error: str | None = None
        #: With arrivals: what has been evaluated before its turn.
        self._early: dict[int, Outcomes] = {}

    def to_the_end(self) -> OptimizeResult:
        search, points = self._search, 1
        while search.done() is None:
            begun = time.monotonic()
            self._evaluate(search.ask(None if self._what.evaluator.is_batch or self._arrivals else points))
            while (rows := search.take_history()) is not None:
                self._recording.add(rows)
            now = time.monotonic()
            points = 2 * points if now - begun < LOOK_INTERVAL / 4 else max(1, points // 2)
            if now - self._looked >= LOOK_INTERVAL:
                self._look(now)
        elapsed = time.monotonic() - self._begun
        if (rows := search.take_history(all_of_it=True)) is not None:
            self._recording.add(rows)
        return self._recording.result(conclude(search, elapsed, 1.0, self._error))

    def _evaluate(self, batch: Batch) -> None:
        if len(batch.ids):
            outcomes = self._what.evaluator.evaluate(batch, self._begin)
            self._error = self._error or outcomes.error
            if self._arrivals is None:
                self._tell(outcomes)
            else:
                self._early |= {int(each.ids[0]): each for each in outcomes.one_by_one()}
        if self._arrivals is not None:
            self._repeat(self._arrivals)

    def _repeat(self, arrivals: deque[int]) -> None:
        """Until further evaluations are to be made, or to the end."""
        search = self._search
        while arrivals and not search.ready() and search.done() is None:
            entry = arrivals.popleft()
            if entry < 0:
                search.widen(-entry)
            elif (told := self._early.pop(entry, None)) is not None:
                self._tell(told)
            elif not search.has_come(entry):  # otherwise it had the outcome of another one
                raise ValueError(
                    f"these arrivals are of another search: evaluation {entry} cannot have been the next one. "
                    "Space, method and all options have to be what they were, the seed, too"
                )
        if not arrivals and search.done() is None:
            search.stop("stopped")

    def _tell(self, outcomes: Outcomes) -> None:
        self._search.tell(outcomes.ids, outcomes.F, outcomes.status, outcomes.V, outcomes.cost)

    def _look(self, now: float) -> None:
        """Now and then, at the clock and for the user."""
        self._looked = now
        search, elapsed = self._search, now - self._begun
        if self._callback is not None:
            told = progress(self._what.asked, search.counts(), search.best(), elapsed, 1.0)
            if self._callback(told) is True:
                search.stop("stopped")
        if self._what.time_limit is not None and elapsed >= self._what.time_limit:
            search.stop("time limit")
