"""What ga-classic and nsga2 have in common: first points, then children of the best so far, whenever they are asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np

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
    """U: (N, d), snapped; F: (N, m); V: (N,): see Told. All of them are of evaluations that did not fail."""

    U: Floats
    F: Floats
    V: Floats

    def take(self, rows: Ints) -> Members:
        return Members(self.U[rows], self.F[rows], self.V[rows])

    def and_then(self, others: Members) -> Members:
        """Both, one after the other; either may be as `nobody`."""
        if not len(self.U) or not len(others.U):
            return self if len(self.U) else others
        return Members(*(np.concatenate(both) for both in zip(self, others, strict=True)))

    def distinct(self, cube: Cube) -> Members:
        """Of the same points the first, in their order."""
        words = np.frombuffer(b"".join(cube.keys(self.U)), dtype=np.uint64)[::2]
        return self.take(np.sort(np.unique(words, return_index=True)[1]))


def nobody(cube: Cube) -> Members:
    """No members, of an unknown number of objectives."""
    return Members(np.zeros((0, cube.d)), np.zeros((0, 0)), np.zeros(0))


class Breeding(ABC):
    """An Algorithm, but for `_succeed`. size: how many members there are at most."""

    is_exhausted = False

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
        self._committed = 0
        #: From the best to the worst.
        self._members = nobody(cube)

    @property
    def generation(self) -> int:
        return self._committed // self.size

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
        self._succeed(Members(told.U, told.F, told.V), told.ok)
        self._committed += len(told.ids)

    @abstractmethod
    def _succeed(self, told: Members, ok: Any) -> None:
        """These have been evaluated, those that are `ok` without failing: choose who is a member from now on."""

    def state(self) -> State:
        return {"committed": self._committed, "members": self._members._asdict()}

    def load(self, state: State) -> None:
        self._committed = state["committed"]
        self._members = Members(**state["members"])
