"""Evaluations on their way: what is asked for, what is told of them, and what is remembered."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from manyhands.optimize.cube import Floats, Ints


class Status(IntEnum):
    """What became of an evaluation. All but OK and CACHED have failed: they lose to every other."""

    OK = 0
    #: It raised an exception, or its score is not a number.
    FAILED = 1
    TIMED_OUT = 2
    #: It took its process down, or used too much memory.
    CRASHED = 3
    #: The point had been evaluated before: the score is the one from then.
    CACHED = 4


class Batch(NamedTuple):
    """Points to be evaluated. ids: (n,) int64; U: (n, d) float64 in [0, 1), snapped; seeds: (n,) uint64, each for the
    random numbers of one evaluation; generation: (n,) int32.
    """

    ids: Ints
    U: Floats
    seeds: NDArray[np.uint64]
    generation: NDArray[np.int32]


class Outcomes(NamedTuple):
    """Of (k,) points: what Search.tell takes. error: what the first one that failed raised, with its traceback."""

    ids: Ints
    F: Floats
    V: Floats
    status: NDArray[np.uint8]
    cost: Floats
    error: str | None = None

    def one_by_one(self) -> Iterator[Outcomes]:
        """Each point's by itself, without the error."""
        for at in range(len(self.ids)):
            one = slice(at, at + 1)
            yield Outcomes(self.ids[one], self.F[one], self.V[one], self.status[one], self.cost[one])


class Rows(NamedTuple):
    """Evaluations in the order in which they counted. ids: (n,) int64; U: (n, d); F: (n, m), scores as they were told,
    nan where there is none; V: (n,), the violation of the constraints; status: (n,) uint8; cost: (n,), seconds.
    """

    ids: Ints
    U: Floats
    F: Floats
    V: Floats
    status: NDArray[np.uint8]
    cost: Floats


_FINE = np.array([status in (Status.OK, Status.CACHED) for status in range(256)])


def failed(status: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(n,): which evaluations have."""
    has_failed: NDArray[np.bool_] = ~_FINE[status]
    return has_failed
