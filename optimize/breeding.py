"""What ga-classic and nsga2 have in common: first points, then children of the best so far, whenever they are asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from manyhands.optimize import settings
from manyhands.optimize.algorithm import Proposal, State, Told
from manyhands.optimize.cube import Cube, Floats, Ints
from manyhands.optimize.design import beginning
from manyhands.optimize.random_streams import Use, stream
from manyhands.optimize.variation import Variation

#: Members, if nothing else is said; fewer where the budget is less than `_GENERATIONS` of them.
POPULATION = 100
POPULATION_MAX = 100_000
_POPULATION_MIN = 10
_GENERATIONS = 20


class Members(NamedTuple):
    """U: (N, d), snapped; F: (N, m); V: (N,): see Told. All of them are of evaluations that did not fail.

    key: (N,) uint64, the same for the same points.
    """

    U: Floats
    F: Floats
    V: Floats
    key: NDArray[np.uint64]

    def take(self, rows: Ints) -> Members:
        return Members(self.U[rows], self.F[rows], self.V[rows], self.key[rows])

    def and_then(self, others: Members) -> Members:
        """Both, one after the other; either may be as `nobody`."""
        if not len(self.U) or not len(others.U):
            return self if len(self.U) else others
        return Members(*(np.concatenate(both) for both in zip(self, others, strict=True)))

    def distinct(self) -> Members:
        """Of the same points the first, in their order."""
        return self.take(np.sort(np.unique(self.key, return_index=True)[1]))


def nobody(cube: Cube) -> Members:
    """No members, of an unknown number of objectives."""
    return Members(np.zeros((0, cube.d)), np.zeros((0, 0)), np.zeros(0), np.zeros(0, dtype=np.uint64))


class Breeding(ABC):
    """An Algorithm, but for `_succeed`. size: how many members there are at most."""

    is_exhausted = False
    #: Every result is of use at once: the fewer are out, the more is known when children are made.
    least_window = 1

    def __init__(
        self,
        cube: Cube,
        *,
        seed: int,
        budget: int | None,
        initial: Floats | None,
        population: int | None,
        variation: Variation,
    ) -> None:
        if population is None:
            most = POPULATION if budget is None else budget // _GENERATIONS
            population = min(max(most, _POPULATION_MIN), POPULATION)
        self.size = settings.whole("population", population, 2, POPULATION_MAX)
        self._cube = cube
        self._variation = variation
        self._first = beginning(cube, self.size, initial, stream(seed, Use.DESIGN, 0))
        self.generation = 0
        self._committed = 0
        #: From the best to the worst.
        self._members = nobody(cube)

    def propose(self, first: int, n: int, rng: np.random.Generator) -> Proposal:
        planned = self._first[first : first + n]
        missing = n - len(planned)
        if not missing:
            return Proposal(planned, {})
        if len(self._members.U):
            bred = self._variation.children(self._cube, self._members.U, missing, rng)
        else:
            # None has come back yet, or all have failed.
            bred = rng.random((missing, self._cube.d))
        return Proposal(np.concatenate([planned, bred]), {})

    def commit(self, told: Told, rng: np.random.Generator) -> None:
        key = np.frombuffer(b"".join(self._cube.keys(told.U)), dtype=np.uint64)[::2]
        self._succeed(Members(told.U, told.F, told.V, key), told.ok)
        self._committed += len(told.ids)
        self.generation = self._committed // self.size

    @abstractmethod
    def _succeed(self, told: Members, ok: NDArray[np.bool_]) -> None:
        """These have been evaluated, those that are `ok` without failing: choose who is a member from now on."""

    def state(self) -> State:
        return {"committed": self._committed, "members": self._members._asdict()}

    def load(self, state: State) -> None:
        self._committed = state["committed"]
        self.generation = self._committed // self.size
        self._members = Members(**state["members"])
