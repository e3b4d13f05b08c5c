"""A search: asks a method for points, hands them out, takes their scores in any order, and counts them in its own.

What is proposed depends on the plan and on the scores, and on nothing else but in mode "async": not on how many points
are asked for at a time, not on the order in which they are told, and not on who restores a state and when.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from manyhands.optimize import packing
from manyhands.optimize.algorithm import Algorithm, Told
from manyhands.optimize.cube import Floats, Ints
from manyhands.optimize.duplicates import Duplicates
from manyhands.optimize.evaluations import Batch, Rows, Status, failed
from manyhands.optimize.methods import make_algorithm
from manyhands.optimize.plan import WINDOW, WINDOW_BLOCKS, Mode, Plan, default_window
from manyhands.optimize.random_streams import Streams, Use, evaluation_seeds
from manyhands.optimize.table import Table
from manyhands.optimize.tally import Best, Tally
from manyhands.optimize.told_arrays import table_of, violation_of
from manyhands.optimize.untaken import Untaken

#: What is remembered of an outcome: the same, whether or not it was known before.
_AS_FIRST = np.array([Status.OK if status == Status.CACHED else status for status in range(256)], np.uint8)


class Counts(NamedTuple):
    """How far a search is, in evaluations; `seconds`: what they cost together."""

    counted: int
    failed: int
    cached: int
    out: int
    generation: int
    seconds: float


class _Block(NamedTuple):
    """Points that were proposed together."""

    first: int
    rows: Ints


class Search:
    """One search. Its points are those of the plan's cube, its scores as the objective returns them."""

    def __init__(self, plan: Plan, state: bytes | None = None, *, algorithm: Algorithm | None = None) -> None:
        """state: of a search with this plan, to go on from: points that were out then are handed out again. algorithm:
        instead of the plan's method. Raises ValueError for settings that cannot be, StateRefused.
        """
        self.plan = plan
        self._signs: Floats = np.array(plan.signs)
        self._algorithm = algorithm or make_algorithm(plan)
        self._streams = Streams(plan.seed)
        self._table = Table(plan.cube.d, plan.objectives)
        self._tally = Tally(plan)
        is_finite = plan.cube.cardinality is not None
        self._duplicates = None if plan.noisy else Duplicates(plan.objectives, is_finite=is_finite)
        #: Of points that are out, by number; kept only where duplicates are looked for.
        self._keys: dict[int, bytes] = {}
        self._blocks: deque[_Block] = deque()
        #: Points to be handed out next, by number.
        self._ready: deque[int] = deque()
        self._next = 0
        self._reason: str | None = None
        self._untaken = Untaken(plan.cube.d)
        self._async_window = plan.window or WINDOW
        #: In mode "async": results that the method has not been told yet, by number, as they arrived.
        #: Whenever the window was widened: how many results there had been, and to what.
        self._arrived: deque[int] = deque()
        self._widened: list[tuple[int, int]] = []
        #: Results that came for nothing: a second time, or for points that are not out.
        self.ignored = 0
        if state is not None:
            self._load(packing.unpack(state))
        self._advance()

    # ------------------------------------------------------------ asking

    def ready(self) -> int:
        """How many points there are to be asked for now."""
        return 0 if self._reason else len(self._ready)

    def ask(self, n: int | None = None) -> Batch:
        """The next points, `n` at most; none if results have to be told first, or if it is done."""
        count = self.ready() if n is None else min(n, self.ready())
        ids = [self._ready.popleft() for _ in range(count)]
        rows = self._table.rows(ids)
        numbers: Ints = np.array(ids, dtype=np.int64)
        seeds = evaluation_seeds(self.plan.seed, numbers)
        return Batch(numbers, self._table.U[rows], seeds, self._table.generation[rows])

    def widen(self, out: int) -> None:
        """In mode "async": let at least so many points be out at a time, as there are slots for them."""
        if self.plan.mode is Mode.ASYNC and self.plan.window is None and out > self._async_window:
            self._async_window = out
            self._widened.append((self._tally.counted, out))
            self._advance()

    def widened(self) -> Ints:
        """(k, 2): how many results had come when so many were let out at a time."""
        return np.array(self._widened, dtype=np.int64).reshape(-1, 2)

    # ------------------------------------------------------------ telling

    def tell(
        self,
        ids: Sequence[int] | Ints,
        F: ArrayLike,
        status: ArrayLike | None = None,
        V: ArrayLike | None = None,
        cost: ArrayLike | None = None,
    ) -> None:
        """Scores of (k,) points that were asked for, in any order and any split.

        F: (k,) or (k, m), m objectives; status: (k,) of Status, OK by default; V: (k,) or (k, c), how far each of c
        constraints is violated, none if it is not positive; cost: (k,) seconds. A score that is not a number, or
        infinitely good, is a failure; one that is infinitely bad is only that. Points that are not out, or have been
        told before, are ignored, and counted. Raises ValueError if the shapes do not fit.
        """
        numbers: Ints = np.asarray(ids, dtype=np.int64).reshape(-1)
        k, m = len(numbers), self.plan.objectives
        scores = table_of("F", F, (k, m))
        violation = np.zeros(k) if V is None else violation_of(V, k)
        states = np.zeros(k, np.uint8) if status is None else np.asarray(status, dtype=np.uint8).reshape(k).copy()
        costs = np.zeros(k) if cost is None else np.asarray(cost, dtype=np.float64).reshape(k)
        is_score = (scores * self._signs > -np.inf).all(axis=1) & ~np.isnan(violation)  # nan is above nothing
        states[~is_score & ~failed(states)] = Status.FAILED
        scores[failed(states)] = np.nan
        at, rows = self._out_and_untold(numbers)
        self._table.note(rows, scores[at], violation[at], states[at], costs[at])
        told = numbers[at].tolist()
        if self.plan.mode is not Mode.ASYNC:
            self._table.is_told[rows] = True
            for id in told:
                self._tell_twins(id)
            self._advance()
            return
        # Each counts by itself, so that the order of arrival says it all.
        for id, row in zip(told, rows.tolist(), strict=True):
            self._table.is_told[row] = True
            for each in (id, *self._tell_twins(id)):
                self._arrive(each)
            self._advance()

    def _out_and_untold(self, ids: Ints) -> tuple[Ints, Ints]:
        """Where in `ids` those are that are out and have not been told yet, each once; and their rows."""
        found = np.array([self._table.row_of.get(id, -1) for id in ids.tolist()], dtype=np.int64)
        at: Ints = np.arange(len(ids))
        if len(ids) > 1:
            at = np.unique(ids, return_index=True)[1]
            at.sort()
        at = at[found[at] >= 0]
        at = at[~self._table.is_told[found[at]]]
        self.ignored += len(ids) - len(at)
        return at, found[at]

    def _tell_twins(self, id: int) -> list[int]:
        if self._duplicates is None:
            return []
        twins = self._duplicates.twins(id)
        for twin in twins:
            self._table.copy_outcome(self._table.row_of[id], self._table.row_of[twin])
        return twins

    def stop(self, reason: str) -> None:
        """Count what has been told, and be done."""
        if self._reason is None:
            self._reason = reason
            rows = self._table.rows(sorted(self._table.row_of.keys() - self._arrived))
            told = rows[self._table.is_told[rows]]
            if len(told):
                self._record(told, self._told(told))
                self._table.remove(told)

    # ------------------------------------------------------------ looking

    def has_come(self, id: int) -> bool:
        """Whether there is a result of this evaluation already."""
        row = self._table.row_of.get(id)
        return id < self._next if row is None else bool(self._table.is_told[row])

    def done(self) -> str | None:
        """Why it is over: "target", "budget", "generations", "stagnation", "exhausted", "failures", or as `stop` was
        told; None: it is not.
        """
        return self._reason

    def best(self) -> Best | None:
        """Of all that counted, with one objective; None if there is none that did not fail."""
        return self._tally.best

    def front(self) -> tuple[Ints, Floats, Floats]:
        """With several objectives: ids (k,), U (k, d) and scores (k, m), as they were told, of those points that are
        dominated by none, and violate nothing; at most front.LIMIT of them.
        """
        front = self._tally.front
        if front is None:
            raise ValueError("a search with one objective has a best point, and no front")
        return front.ids, front.U.reshape(-1, self.plan.cube.d), front.F.reshape(-1, self.plan.objectives) * self._signs

    def counts(self) -> Counts:
        """How far it is."""
        tally = self._tally
        out, generation = len(self._table) - len(self._arrived), self._algorithm.generation
        return Counts(tally.counted, tally.failed, tally.cached, out, generation, tally.seconds)

    def take_history(self, *, all_of_it: bool = False) -> Rows | None:
        """What has counted since this was called last; None if that is not much yet, or nothing."""
        return self._untaken.take(all_of_it=all_of_it or self._reason is not None)

    # ------------------------------------------------------------ proposing and counting

    def _advance(self) -> None:
        """Propose whatever may be proposed, and only then count further blocks: so each is proposed at a set time."""
        while self._reason is None:
            if self._may_propose():
                self._propose()
            elif self._blocks and self._table.is_told[self._blocks[0].rows].all():
                self._count(self._blocks.popleft().rows)
            elif self._arrived and len(self._arrived) >= min(self._window_block(), len(self._table)):
                self._tell_method_of_arrived()
            elif not self._table and not self._may_propose():
                self._reason = "exhausted"
            else:
                return

    def _block_size(self) -> int:
        plan = self.plan
        size = self._algorithm.size
        if plan.mode is not Mode.GENERATIONAL:
            size = self._window_block()
        return size if plan.budget is None else min(size, plan.budget - self._next)

    def _window_block(self) -> int:
        return max(1, self._window() // WINDOW_BLOCKS)

    def _window(self) -> int:
        if self.plan.mode is Mode.ASYNC:
            return self._async_window
        return self.plan.window or default_window(self._algorithm.least_window)

    def _may_propose(self) -> bool:
        size = self._block_size()
        if size < 1 or self._algorithm.is_exhausted:
            return False
        out = len(self._table)
        return out == 0 if self.plan.mode is Mode.GENERATIONAL else out + size <= self._window()

    def _propose(self) -> None:
        size, first, generation = self._block_size(), self._next, self._algorithm.generation
        self.plan.cube.check_room(len(self._table) + size)
        points, own = self._algorithm.propose(first, size, self._streams.at(Use.PROPOSE, first))
        U = self.plan.cube.snap(points)
        rows = self._table.add(first, U, own, generation)
        self._next += len(rows)
        if self.plan.mode is not Mode.ASYNC:
            self._blocks.append(_Block(first, rows))
        self._hand_out(first, rows)

    def _hand_out(self, first: int, rows: Ints) -> None:
        """Have new points evaluated, unless their outcome is known or on its way."""
        if self._duplicates is None:
            self._ready.extend(range(first, first + len(rows)))
            return
        keys = self.plan.cube.keys(self._table.U[rows])
        self._keys.update(zip(range(first, first + len(rows)), keys, strict=True))
        for id, row, key in zip(range(first, first + len(rows)), rows.tolist(), keys, strict=True):
            if (known := self._duplicates.known(key)) is not None:
                self._table.know(row, *known)
                if self.plan.mode is Mode.ASYNC:
                    self._arrive(id)
            else:
                self._queue(id, key)

    def _queue(self, id: int, key: bytes) -> None:
        """Hand it out, unless another one at the same place is out."""
        first = id if self._duplicates is None else self._duplicates.first_out(key, id)
        if first == id:
            self._ready.append(id)
        elif self._table.is_told[(row := self._table.row_of[first])]:
            self._table.copy_outcome(row, self._table.row_of[id])
        elif self._duplicates is not None:
            self._duplicates.wait_for(first, id)

    def _arrive(self, id: int) -> None:
        """In mode "async": this result counts from now on. The method hears of a block of them at once, which costs
        less, and of each before it proposes the next.
        """
        if self._reason is None:
            rows = self._table.rows([id])
            self._arrived.append(id)
            self._record(rows, self._told(rows, own=()))
            self._end_if_enough()

    def _tell_method_of_arrived(self) -> None:
        count = min(self._window_block(), len(self._arrived))
        rows = self._table.rows([self._arrived.popleft() for _ in range(count)])
        self._commit(self._told(rows))
        self._table.remove(rows)
        self._end_if_enough()

    def _count(self, rows: Ints) -> None:
        """These results count from now on, in this order, and the method hears of them."""
        told = self._told(rows)
        self._commit(told)
        self._record(rows, told)
        self._table.remove(rows)
        self._end_if_enough()

    def _told(self, rows: Ints, own: Iterable[str] | None = None) -> Told:
        """own: which of the method's columns, all by default."""
        table = self._table
        ok = ~failed(table.status[rows])
        violation: Floats = np.where(ok, table.V[rows], np.inf)
        columns = {name: table.own[name][rows] for name in (table.own if own is None else own)}
        return Told(table.ids[rows], table.U[rows], table.F[rows] * self._signs, violation, ok, columns)

    def _commit(self, told: Told) -> None:
        self._algorithm.commit(told, self._streams.at(Use.COMMIT, int(told.ids[0])))

    def _record(self, rows: Ints, told: Told) -> None:
        """In the history, in what is known of the search, and for those that come again."""
        table = self._table
        F, V, status = table.F[rows], table.V[rows], table.status[rows]
        rows_told = Rows(told.ids, told.U, F, V, status, table.cost[rows])
        self._untaken.add(rows_told)
        self._tally.count(rows_told, told, table.is_known[rows])
        if self._duplicates is not None:
            self._duplicates.counted([self._keys.pop(id) for id in told.ids.tolist()], F, V, _AS_FIRST[status])

    def _end_if_enough(self) -> None:
        if self._reason is None:
            is_exhausted = self._algorithm.is_exhausted and not len(self._table)
            self._reason = self._tally.reason_to_stop(self._algorithm.generation, is_exhausted=is_exhausted)

    # ------------------------------------------------------------ states

    def state(self) -> bytes:
        """All that it is, for `restore`: what has been told counts as told, what is out is handed out again."""
        return packing.pack(
            {
                "algorithm": self._algorithm.state(),
                "table": self._table.state(),
                "blocks": [[block.first, len(block.rows)] for block in self._blocks],
                "duplicates": None if self._duplicates is None else self._duplicates.state(),
                "next": self._next,
                "tally": self._tally.state(),
                "reason": self._reason,
                "async_window": self._async_window,
                "widened": self.widened(),
                "arrived": list(self._arrived),
                "history": self._untaken.state(),
            }
        )

    def _load(self, state: dict[str, Any]) -> None:
        self._algorithm.load(state["algorithm"])
        self._table.load(state["table"])
        self._tally.load(state["tally"])
        self._next, self._reason, self._async_window = state["next"], state["reason"], state["async_window"]
        self._untaken.load(state["history"])
        if self._duplicates is not None:
            self._duplicates.load(state["duplicates"])
        for first, n in state["blocks"]:
            self._blocks.append(_Block(first, self._table.rows(range(first, first + n))))
        if "arrived" in state:  # from version 2 on; before, the method was told of each result at once
            self._widened = [(at, out) for at, out in state["widened"].tolist()]
            self._arrived = deque(state["arrived"])
        ids = self._table.ids.tolist()
        keys = dict(zip(ids, self.plan.cube.keys(self._table.U), strict=True))
        for id in self._arrived:
            del keys[id]
        if self._duplicates is not None:
            self._keys = keys
        for id, key in sorted(keys.items()):
            if not self._table.is_told[self._table.row_of[id]]:
                self._queue(id, key)
            elif self._duplicates is not None:
                self._duplicates.first_out(key, id)
