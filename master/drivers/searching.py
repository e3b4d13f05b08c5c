"""A search at work: its points are cut into tasks, their outcomes told to it, its history delivered as it comes. Pure.

```
            Run                    outcomes, or a failure of one point
   ready ─────────► running ───────────────────────────────────────────► told ──► counted ──► history
                     │   ▲ one by one
                     └───┘
          a failure of several points
```
What counts, and what is proposed, is the search's to say (optimize/search.py): it does not depend on how points are
cut, where they run, and in which order that ends. So all that is kept is its state, in the same transaction as what has
been delivered of its history; points that were out then are handed out again.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from manyhands.master.drivers.driver import Command, Deliver, Finish, KeepLatest, Phase, Reject, Run
from manyhands.master.drivers.outcomes import (
    COST_MAX,
    ERROR_CHARACTERS,
    joined,
    one_of,
    outcomes_of,
    status_of,
    text_of,
)
from manyhands.optimize import packing, wire_results
from manyhands.optimize.evaluations import Batch, Status
from manyhands.optimize.plan import Mode, Plan
from manyhands.optimize.search import Search
from manyhands.optimize.task_format import pack_batch
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.search_tasks import KEEPS, LETS_OUT

#: Seconds that a task is to take, and tasks that are out for each slot: one that runs, and the next.
TASK_SECONDS, TASKS_PER_SLOT = 0.02, 2
#: In mode "async" no point's result has to wait for another's: tasks may be longer, and then few have to lie ready.
ASYNC_TASK_SECONDS, ASYNC_TASKS_PER_SLOT = 0.07, 1.5
#: The weight of a task's cost in the mean of them.
WEIGHT = 0.25
#: Seconds of evaluations that may have to run again after a restart of the master: as often as this the state is kept;
#: and of a large one, so many bytes for each of these seconds.
UNKEPT_SECONDS = 0.1
STATE_RATE = 10e6
#: Points of a task, if nothing else says how many.
CHUNK_MAX = 1 << 20

STATE = 0


class Searching:
    """One search. See SearchDriver."""

    call = pb.CALL_EVALUATE
    keeps_leaves = False

    def __init__(self, opening: pb.OpenJob, clock: Callable[[], float], slots: Callable[[], int]) -> None:
        """clock: seconds, also of earlier lives; slots: how many there are. Raises ValueError, and whatever else a plan
        leads to that nobody should have written.
        """
        self._plan = Plan.unpack(opening.search.plan)
        self._search = Search(self._plan)
        self._clock = clock
        self._slots = slots
        self._time_limit = opening.search.time_limit
        self._preface = opening.search.preface
        #: Exceptions are tried again by the scheduler, task by task; and what limits a task is meant for an evaluation.
        self._lets_out = opening.retry.retries > 0
        limits = (opening.timeout, opening.progress_timeout, opening.total_timeout, opening.queue_timeout)
        self._chunk_max = 1 if self._lets_out or any(limits) else opening.search.chunk or CHUNK_MAX
        is_async = self._plan.mode is Mode.ASYNC
        self._task_seconds = ASYNC_TASK_SECONDS if is_async else TASK_SECONDS
        self._tasks_per_slot = ASYNC_TASKS_PER_SLOT if is_async else TASKS_PER_SLOT
        self._running: dict[int, Batch] = {}
        #: Points in them.
        self._out = 0
        #: Tasks that have ended, and what is said of their points, until the next look.
        self._heard: list[tuple[Batch, bytes]] = []
        self._next = 0
        #: The preface, chunks of history and the conclusion, as far as they were delivered.
        self.results = 0
        self._begun_at: float | None = None
        self._is_over = False
        self._stopped: str | None = None
        #: Seconds that a point takes, as a mean; None: not known yet.
        self._cost: float | None = None
        #: Since the state was kept: seconds of evaluations, and what there is to be delivered of them, in bytes.
        self._unkept, self._undelivered = 0.0, 0
        self._state_bytes = 0
        #: What failed first.
        self._error: str | None = None
        #: Slots, since when there are so many, and the integral up to then.
        self._slots_seen, self._seen_at, self._slot_seconds = 0, 0.0, 0.0
        #: Why there is no state to be kept.
        self._trouble = ""

    # ------------------------------------------------------------ what happens

    def restored(self, rows: Iterable[tuple[int, pb.Results]], done: int, total: int | None) -> list[Command]:
        """See Driver."""
        if total is None:
            return []
        row = next(iter(rows), None)
        return self._guarded(self._begin if row is None else lambda: self._load(row[1].payload))

    def sealed(self, total: int) -> list[Command]:
        """See Driver."""
        return self._no_leaves() if total else self._guarded(self._begin)

    def leaves(self, results: pb.Results) -> list[Command]:
        """See Driver."""
        return self._no_leaves()

    def lost(self, name: int, id: bytes) -> list[Command]:
        """See Driver."""
        self._is_over = True
        return [Reject(f"an evaluation needs the datum {id.hex()}, which is gone")]

    def task(self, name: int, results: pb.Results) -> list[Command]:
        """See SearchDriver."""
        batch = self._taken(name)
        if batch is not None:
            self._heard.append((batch, results.payload))
        return []

    def _taken(self, name: int) -> Batch | None:
        """The points of a task that runs no more."""
        batch = self._running.pop(name, None)
        self._out -= 0 if batch is None else len(batch.ids)
        return batch

    def failed(self, name: int, failure: pb.Failure) -> list[Command] | None:
        """See Driver. What is about the evaluator or the cluster, and not about points, is the job's end."""
        batch, status = self._running.get(name), status_of(failure)
        if batch is None:
            return []
        if status is None:
            return None
        self._taken(name)
        return self._guarded(lambda: [*self._take_in_heard(), *self._not_evaluated(batch, status, failure)])

    def look(self) -> list[Command]:
        """See SearchDriver."""
        return [] if self._begun_at is None else self._guarded(self._take_in_heard)

    def due(self) -> float | None:
        """See SearchDriver."""
        if not self._time_limit or self._begun_at is None or self._is_over:
            return None
        return max(0.0, self._time_limit - self._elapsed())

    def stop(self, reason: str) -> list[Command]:
        """See SearchDriver."""
        self._stopped = reason or "stopped"
        return self.look()

    def _no_leaves(self) -> list[Command]:
        self._is_over = True
        return [Reject("a search has no tasks but its own")]

    def _guarded(self, step: Callable[[], Iterable[Command]]) -> list[Command]:
        """What a step comes to, and what follows. A fault of a method ends its search, and nobody else's work."""
        if self._is_over:
            return []
        try:
            return [*step(), *self._go_on()]
        except Exception as error:  # noqa: BLE001 - any, of whichever method
            self._is_over = True
            text = "".join(traceback.format_exception(error))[-ERROR_CHARACTERS:]
            return [Reject(f"the search cannot go on, by a fault of its method {self._plan.method!r}:\n{text}")]

    # ------------------------------------------------------------ outcomes

    def _take_in_heard(self) -> list[Command]:
        heard, self._heard = self._heard, []
        if not heard:
            return []
        try:
            several = [outcomes_of(payload, batch, self._plan.objectives) for batch, payload in heard]
            told = joined(several)
        except ValueError as error:
            self._is_over = True
            return [Reject(f"a worker says what is no outcome of an evaluation: {error}")]
        for each in several:
            seconds = float(each.cost.sum())
            mean = seconds / len(each.ids)
            self._cost = mean if self._cost is None else (1 - WEIGHT) * self._cost + WEIGHT * mean
            self._unkept += seconds
        self._undelivered += sum(batch.U.nbytes for batch, _ in heard)
        self._error = self._error or told.error
        self._search.tell(told.ids, told.F, told.status, told.V, told.cost)
        return []

    def _not_evaluated(self, batch: Batch, status: Status, failure: pb.Failure) -> Iterator[Command]:
        if len(batch.ids) > 1:
            for at in range(len(batch.ids)):
                yield self._run(one_of(batch, at))
            return
        self._error = self._error or text_of(failure)
        self._unkept += UNKEPT_SECONDS  # whatever it took, it is not to be tried again
        seconds = min(failure.seconds, COST_MAX)
        self._search.tell(batch.ids, np.full((1, self._plan.objectives), np.nan), [status], cost=[seconds])

    # ------------------------------------------------------------ what is to be done

    def _begin(self) -> list[Command]:
        self._begun_at = self._seen_at = self._clock()
        self._slots_seen = self._slots()
        preface = [self._deliver(self._preface)] if self._preface else []
        return [*preface, KeepLatest(STATE, self._state)]

    def _go_on(self) -> Iterator[Command]:
        """Deliver what has counted, and run what is ready."""
        if self._is_over or self._begun_at is None:
            return
        if self._trouble:
            raise RuntimeError(self._trouble)
        self._see_slots()
        if self._stopped is None and self._time_limit and self._elapsed() >= self._time_limit:
            self._stopped = "time limit"
        if self._stopped is not None:
            self._search.stop(self._stopped)
        self._search.widen(TASKS_PER_SLOT * self._slots_seen)
        reason = self._search.done()
        is_due = self._unkept >= max(UNKEPT_SECONDS, self._state_bytes / STATE_RATE)
        if is_due or reason is not None or self._undelivered >= self._state_bytes:
            for rows in iter(self._search.take_history, None):
                is_due = True
                yield self._deliver(wire_results.chunk(rows))
        if reason is not None:
            yield from self._finish(reason)
            return
        if is_due:
            self._unkept, self._undelivered = 0.0, 0
            yield KeepLatest(STATE, self._state)
        yield from self._run_ready()

    def _run_ready(self) -> Iterator[Command]:
        """As few tasks as keep all slots busy; none smaller than it could be, as long as there are enough."""
        tasks = self._tasks()
        while ready := self._search.ready():
            even = -(-(ready + self._out) // tasks)
            size = int(min(self._chunk_max, max(1, self._task_seconds / self._point_seconds()), even))
            if len(self._running) >= tasks and ready < size:
                return
            if self._cost is None and len(self._running) >= tasks:
                return
            yield self._run(self._search.ask(size))

    def _tasks(self) -> int:
        return int(self._tasks_per_slot * max(1, self._slots_seen))

    def _point_seconds(self) -> float:
        """What is not known yet takes long."""
        return self._task_seconds if self._cost is None else max(self._cost, 1e-9)

    def _run(self, batch: Batch) -> Run:
        name = self._next
        self._next += 1
        self._running[name] = batch
        self._out += len(batch.ids)
        return Run(name, (LETS_OUT if self._lets_out else KEEPS) + pack_batch(batch))

    def _deliver(self, pickle: bytes) -> Deliver:
        index = self.results
        self.results += 1
        return Deliver(index, pb.Results(ends=len(pickle).to_bytes(4, "little"), payload=pickle))

    def _finish(self, reason: str) -> Iterator[Command]:
        elapsed = max(0.0, self._seen_at - (self._begun_at or 0.0))  # as long as slots were counted, not a moment more
        slots = self._slot_seconds / elapsed if elapsed else float(self._slots_seen)
        yield self._deliver(wire_results.conclusion(wire_results.conclude(self._search, elapsed, slots, self._error)))
        self._is_over = True
        self._running.clear()
        self._out = 0
        if reason == "failures" and self._stopped is None:
            counts = self._search.counts()
            yield Reject(
                f"{counts.failed} of {counts.counted} evaluations failed, and max_failed_share allows "
                f"{self._plan.max_failed_share:.0%}; the first one: {self._error or 'its score is not a number'}"
            )
        else:
            yield Finish()

    # ------------------------------------------------------------ time

    def _elapsed(self) -> float:
        """A clock may be set back."""
        return 0.0 if self._begun_at is None else max(0.0, self._clock() - self._begun_at)

    def _see_slots(self) -> None:
        now = self._clock()
        self._slot_seconds += self._slots_seen * max(0.0, now - self._seen_at)
        self._slots_seen, self._seen_at = self._slots(), now

    # ------------------------------------------------------------ states

    def _state(self) -> pb.Results:
        """All that it is. Does not raise: a fault is noticed at the next opportunity."""
        try:
            search = np.frombuffer(self._search.state(), np.uint8)
            state = {
                "search": search,
                "results": self.results,
                "begun_at": self._begun_at,
                "slot_seconds": self._slot_seconds,
                "cost": self._cost,
                "error": self._error,
            }
            packed = packing.pack(state)
        except Exception as error:  # noqa: BLE001 - any, of whichever method
            self._trouble = f"its state cannot be kept: {error!r}"
            return pb.Results()
        self._state_bytes = len(packed)
        return pb.Results(ends=len(packed).to_bytes(4, "little"), payload=packed)

    def _load(self, packed: bytes) -> list[Command]:
        state = packing.unpack(packed)
        self._search = Search(self._plan, state["search"].tobytes())
        self.results, self._begun_at = state["results"], state["begun_at"]
        self._slot_seconds, self._cost, self._error = state["slot_seconds"], state["cost"], state["error"]
        self._seen_at, self._slots_seen = self._clock(), self._slots()
        return []

    # ------------------------------------------------------------ looking

    def phases(self, received: int) -> list[Phase]:
        """See Driver."""
        return [Phase("evaluate", self._search.counts().counted, self._plan.budget or 0)]

    def progress(self) -> bytes:
        """See SearchDriver. score and violation are arrays, as they need not be finite."""
        best = self._search.best()
        found: dict[str, Any] | None = None
        if best is not None:
            score, violation = np.array([best.score]), np.array([best.violation])
            found = {"id": best.id, "U": best.U, "score": score, "violation": violation}
        report = {
            **self._search.counts()._asdict(),
            "budget": self._plan.budget,
            "elapsed": self._elapsed(),
            "slots": self._slots(),
            "best": found,
        }
        return packing.pack(report)

    def check_invariants(self) -> None:
        """Assert that no point is in two tasks, and that after a look slots have work if there is any. For tests."""
        ids = [id for batch in self._running.values() for id in batch.ids.tolist()]
        assert len(set(ids)) == len(ids) == self._out
        if not self._heard and not self._is_over and self._begun_at is not None and self._search.ready():
            assert len(self._running) >= self._tasks()
