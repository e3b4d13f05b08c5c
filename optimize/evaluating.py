"""Evaluating points with a user's functions, one by one or a batch at a time; whatever they raise is an outcome."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from manyhands.optimize.cube import Floats
from manyhands.optimize.evaluations import Batch, Outcomes, Status
from manyhands.optimize.task_format import pack_outcomes, unpack_batch

#: Of the text of an exception, that much is told.
ERROR_CHARACTERS = 4000


class Decoder(Protocol):
    """What turns points of the cube into what the functions take; see Space."""

    def decode(self, U: Floats) -> dict[str, NDArray[Any]]: ...
    def params(self, U: Floats) -> list[dict[str, Any]]: ...


#: Called before an evaluation with its number and its seed.
Begin = Callable[[int, int], None]


def _no_begin(_id: int, _seed: int) -> None:
    pass


@dataclass(frozen=True)
class Evaluator:
    """The user's side of a search, as it travels to workers. objectives: how many scores the objective returns;
    constraints: functions of the same argument, each to return a number that is positive where it is violated.
    """

    objective: Callable[..., Any]
    space: Decoder
    objectives: int = 1
    is_batch: bool = False
    constraints: Sequence[Callable[..., Any]] = field(default=())

    def evaluate(
        self,
        batch: Batch,
        begin: Begin = _no_begin,
        clock: Callable[[], float] = time.perf_counter,
        *,
        lets_out: bool = False,
    ) -> Outcomes:
        """All points of a batch. What a function raises is the failure of its point, or of the whole batch where it
        takes that, unless `lets_out`; what is no Exception, such as an interrupt, comes out of here anyway.
        """
        if self.is_batch:
            return self._evaluate_batch(batch, begin, clock, lets_out=lets_out)
        # Lists: to set a number in an array costs as much as a quick objective.
        no_score, none_violated = [math.nan] * self.objectives, [0.0] * len(self.constraints)
        F, V, status, cost, error = [], [], [], [], None
        points = zip(self.space.params(batch.U), batch.ids.tolist(), batch.seeds.tolist(), strict=True)
        for params, id, seed in points:
            scores, violated, state = no_score, none_violated, Status.OK
            begin(id, seed)
            begun = clock()
            try:
                violated = [float(constraint(params)) for constraint in self.constraints]
                scores = _scores(self.objective(params), self.objectives)
            except Exception as raised:
                if lets_out:
                    raise
                state = Status.FAILED
                error = error or _text_of(raised)
            cost.append(clock() - begun)
            F.append(scores)
            V.append(violated)
            status.append(state)
        k = len(F)
        return Outcomes(
            batch.ids,
            np.array(F, dtype=np.float64).reshape(k, self.objectives),
            np.array(V, dtype=np.float64).reshape(k, len(self.constraints)),
            np.array(status, dtype=np.uint8),
            np.array(cost, dtype=np.float64),
            error,
        )

    def _evaluate_batch(self, batch: Batch, begin: Begin, clock: Callable[[], float], *, lets_out: bool) -> Outcomes:
        k = len(batch.ids)
        F, V = np.full((k, self.objectives), np.nan), np.zeros((k, len(self.constraints)))
        status, error = np.zeros(k, np.uint8), None
        columns = self.space.decode(batch.U)
        begin(int(batch.ids[0]), int(batch.seeds[0]))
        begun = clock()
        try:
            for at, constraint in enumerate(self.constraints):
                V[:, at] = _column(constraint(columns), k)
            F[:] = _rows(self.objective(columns), k, self.objectives)
        except Exception as raised:
            if lets_out:
                raise
            status[:] = Status.FAILED
            error = _text_of(raised)
        return Outcomes(batch.ids, F, V, status, np.full(k, (clock() - begun) / k), error)

    def evaluate_packed(self, item: bytes, begin: Begin = _no_begin, *, lets_out: bool = False) -> bytes:
        """The same for points that come packed, see task_format.py; the outcomes are, too."""
        return pack_outcomes(self.evaluate(unpack_batch(item), begin, lets_out=lets_out))


def _scores(returned: Any, objectives: int) -> list[float]:
    """What the objective returned for a point: a number of any kind, or as many as there are objectives."""
    if objectives == 1 and not isinstance(returned, (list, tuple, np.ndarray)):
        return [float(returned)]
    scores = [float(each) for each in np.ravel(np.asarray(returned, dtype=object))]
    if len(scores) != objectives:
        raise ValueError(f"the objective returned {len(scores)} scores, and there are {objectives} directions")
    return scores


def _column(returned: Any, k: int) -> Floats:
    column: Floats = np.asarray(returned, dtype=np.float64)
    return np.broadcast_to(column, (k,)) if column.ndim == 0 else column.reshape(k)


def _rows(returned: Any, k: int, objectives: int) -> Floats:
    rows: Floats = np.asarray(returned, dtype=np.float64)
    if rows.shape not in ((k, objectives), (k,) if objectives == 1 else (k, objectives)):
        raise ValueError(
            f"the objective returned an array of shape {rows.shape} for a batch of {k} points: it has to return "
            f"({k}{', ' if objectives == 1 else f', {objectives}'})"
        )
    return rows.reshape(k, objectives)


def _text_of(error: Exception) -> str:
    return "".join(traceback.format_exception(error))[-ERROR_CHARACTERS:]
