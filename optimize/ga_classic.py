"""The genetic algorithm of the textbooks: method "ga-classic"."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manyhands.optimize import settings
from manyhands.optimize.algorithm import Scores, State
from manyhands.optimize.breeding import Breeding, Members, nobody
from manyhands.optimize.cube import Cube, Floats
from manyhands.optimize.variation import Variation

SURVIVALS = ("plus", "generational")


class ClassicGA(Breeding):
    """An Algorithm of one objective. Children are made of whoever are members when they are proposed.

    survival: "plus": the best of members and children stay, each point once (mu + lambda); "generational": as soon as
    `population` children are told, they take the members' place, but for the `elites` best members, who stay instead
    of as many of the worst children. Where children have failed, members stay for them.
    """

    def __init__(
        self,
        cube: Cube,
        *,
        seed: int = 0,
        budget: int | None = None,
        initial: Floats | None = None,
        population: int | None = None,
        survival: str = "plus",
        elites: int = 1,
        **variation: Any,
    ) -> None:
        """population: None: 100, fewer for a budget of less than 2000. variation: see Variation, which has the rest of
        the settings. Raises ValueError for what is not allowed.
        """
        names = [field.name for field in fields(Variation)]
        settings.known("ga-classic", variation, [*names, "population", "survival", "elites"])
        super().__init__(
            cube,
            seed=seed,
            budget=budget,
            initial=initial,
            population=population,
            variation=Variation(**variation),
        )
        self._survival = settings.one_of("survival", survival, SURVIVALS)
        self._elites = settings.whole("elites", elites, 0, self.size - 1)
        #: Children of the next generation so far, and how many have been told, with those that failed.
        self._nursery = nobody(cube)
        self._told = 0

    def _succeed(self, told: Members, ok: NDArray[np.bool_]) -> None:
        if self._survival == "plus":
            # Newcomers first: of equals they stay, so that a plateau is crossed.
            newcomers = told.take(np.flatnonzero(ok))
            self._members = _sorted(newcomers.and_then(self._members).distinct(), self.size)
            return
        at = 0
        while at < len(ok):
            rows = np.arange(at, min(at + self.size - self._told, len(ok)))
            self._nursery = self._nursery.and_then(told.take(rows[ok[rows]]))
            self._told += len(rows)
            at += len(rows)
            if self._told == self.size:
                self._members = self._next_generation()
                self._nursery, self._told = nobody(self._cube), 0

    def _next_generation(self) -> Members:
        old = np.arange(len(self._members.U))
        elites, others = self._members.take(old[: self._elites]), self._members.take(old[self._elites :])
        chosen = elites.and_then(_sorted(self._nursery, self.size)).and_then(others)
        return _sorted(chosen.take(np.arange(min(len(chosen.U), self.size))), self.size)

    def state(self) -> State:
        return {**super().state(), "nursery": self._nursery._asdict(), "told": self._told}

    def load(self, state: State) -> None:
        super().load(state)
        self._nursery, self._told = Members(**state["nursery"]), state["told"]


def _sorted(members: Members, most: int) -> Members:
    """From the best to the worst, and no more than so many."""
    if not len(members.U):
        return members
    order = Scores(members.F[:, 0], members.V, np.ones(len(members.V), dtype=np.bool_)).order()
    return members.take(order[:most])
