"""Method "portfolio": a genetic algorithm and CMA-ES side by side, that pass on their best and share the budget."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from manyhands.optimize import settings
from manyhands.optimize.algorithm import Algorithm, Proposal, Scores, State, Told
from manyhands.optimize.cmaes import CMAES
from manyhands.optimize.cube import Cube, Floats, Ints
from manyhands.optimize.ga import GA

#: Of the budget: what the genetic algorithm has at first, and what either has at least.
_SHARE = 0.6
_LEAST = 0.2
#: Of the way to the share that the last period speaks for: what is gone after each.
_HASTE = 0.1


class Island(Algorithm, Protocol):
    """A method that takes points from others."""

    def inject(self, U: Floats, scores: Scores, rng: np.random.Generator) -> None:
        """Points (k, d), snapped, and how they did."""
        ...


class Portfolio:
    """Heterogeneous islands. After each period of `period` evaluations the best that each has found in it goes to the
    other, and the share of the evaluations that each has moves to who has improved more on what was known before, for
    each evaluation. A share of improvements is the same whatever scores are counted in and from.
    """

    def __init__(
        self,
        cube: Cube,
        *,
        seed: int = 0,
        budget: int | None = None,
        initial: Floats | None = None,
        period: int | None = None,
        share: float = _SHARE,
    ) -> None:
        """period: evaluations between migrations, None: as many as a generation has. share: of the genetic algorithm,
        at first. Initial points go to both. Raises ValueError.
        """
        if period is not None:
            settings.whole("period", period, 1)
        self._share = settings.real("share", share, _LEAST, 1 - _LEAST)
        self._usual = self._share
        self._period = period
        self._budget = budget
        ga = GA(cube, seed=seed, budget=None if budget is None else round(budget * share), initial=initial)
        self._ga = ga
        self._islands: tuple[Island, Island] = (ga, CMAES(cube, seed=seed, budget=budget, initial=initial))
        self.generation = 0
        self.is_exhausted = False
        self._proposed = [0, 0]
