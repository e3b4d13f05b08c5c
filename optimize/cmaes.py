"""Method "cmaes": a normal distribution that learns the shape of the objective, in runs of growing populations."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manyhands.optimize import settings
from manyhands.optimize.algorithm import Proposal, Scores, State, Told
from manyhands.optimize.categorical import Categoricals
from manyhands.optimize.convergence import Convergence
from manyhands.optimize.cube import Cube, Floats
from manyhands.optimize.gaussian import Gaussian, rates

#: Columns that are not categorical: with more, one decomposition of the covariance takes seconds, and a state 32 MB.
COLUMNS_MAX = 2000
POPULATION_MAX = 100_000
#: The usual population, 4 + 3 ln d, is that of a search without a crowd. With a window of points on their way it would
#: be many updates behind; this is two, and more would only be slower.
_POPULATION = 32
#: Standard deviations to begin with, at least.
_NARROWEST = 1e-6
#: Restarts that double the population; the next begins with the first one's again.
_DOUBLINGS = 9
#: How likely a point is to be at the most likely level in all discrete columns, at most (CatCMAwM).
_SETTLED = 0.73
#: Of `own["update"]`: not drawn from a distribution.
_FOREIGN = -1
#: Where a run ends: the condition of the covariance, and the deviations, in units of the first ones.
_WORST_CONDITION = 1e14
_SMALLEST_DEVIATION = 1e-12


class CMAES:
    """CMA-ES (Hansen, Ostermeier 2001) with active updates and IPOP restarts (Auger, Hansen 2005).

    Bounds: the objective is continued beyond the faces of the cube as in a mirror, so nothing is redrawn, no sample is
    moved, and none is penalised: the distribution is updated by the samples as they were drawn. Ordered columns: the
    first and the last level reach out for ever, and a margin (Hamano et al. 2022) keeps the levels beside the mean's
    possible. Categorical ones have a distribution each, see Categoricals.

    An update happens whenever `size` results of the present run are there.
    """

    def __init__(
        self,
        cube: Cube,
        *,
        seed: int = 0,
        budget: int | None = None,
        initial: Floats | None = None,
        population: int | None = None,
        sigma: float = 0.3,
        restarts: bool = True,
    ) -> None:
        """population: of the first run; sigma: the first standard deviation, the cube's width being 1; restarts: else
        the search ends where the first run does. The first run begins at the first initial point, else in the middle.
        Raises ValueError.
        """
        if population is not None:
            settings.whole("population", population, 4, POPULATION_MAX)
        settings.real("sigma", sigma, _NARROWEST, 1.0)
        self._at = np.flatnonzero(~cube.is_categorical)
        self._categorical_at = np.flatnonzero(cube.is_categorical)
        d = len(self._at)
        if d > COLUMNS_MAX:
            raise ValueError(f"cmaes is for at most {COLUMNS_MAX} parameters that are no categories, not {d}; use ga")
        self._cube = cube
        self._sigma = sigma
        self._has_restarts = restarts
        self._initial: Floats = np.empty((0, cube.d)) if initial is None else cube.snap(initial)
        self._levels = cube.levels[self._at]
        self._is_continuous = cube.is_continuous[self._at]
        self._is_ordered = ~self._is_continuous & (self._levels > 1)
        discrete = int(self._is_ordered.sum() + (cube.levels[self._categorical_at] > 1).sum())
        self._margin = 1 - _SETTLED ** (1 / discrete) if discrete else 0.0
        normal = NormalDist()
        # How many deviations away the next level may begin, where there is one to one side only, and to both.
        self._reach_one = normal.inv_cdf(1 - self._margin) if discrete else 0.0
        self._reach_two = normal.inv_cdf(1 - self._margin / 2) if discrete else 0.0
        self._population = population or max(_POPULATION, 4 + int(3 * math.log(cube.d)))

        self.size = self._population
        self.generation = 0
        self.is_exhausted = False
        self._run = 0
        self._told = 0  # since the last generation
        self._waiting: list[dict[str, NDArray[Any]]] = []
        start = self._initial[0] if len(self._initial) else np.full(cube.d, 0.5)
        self._begin(start[self._at])

    def _begin(self, mean: Floats) -> None:
        self._gaussian = Gaussian(mean, self._sigma)
        self._categoricals = Categoricals(self._cube.levels[self._categorical_at].astype(np.int64), self._margin)
        self._convergence = Convergence()
        self._waiting = []
        self._keep_margin()

    @property
    def least_window(self) -> int:
        """It learns from whole generations."""
        return self.size

    def propose(self, first: int, n: int, rng: np.random.Generator) -> Proposal:
        """See Algorithm."""
        steps = self._gaussian.draw(n, rng)
        points = np.empty((n, self._cube.d))
        drawn = self._gaussian.mean + self._widening * steps
        mirrored = np.mod(drawn, 2.0)
        mirrored = np.where(mirrored > 1, 2 - mirrored, mirrored)
        points[:, self._at] = np.where(self._is_continuous, mirrored, np.clip(drawn, 0.0, 1.0))
        levels = self._categoricals.draw(n, rng)
        points[:, self._categorical_at] = (levels + 0.5) / self._cube.levels[self._categorical_at]
        updates = np.full(n, self._gaussian.updates, dtype=np.int64)
        if first < len(self._initial):
            given = self._initial[first : first + n]
            points[: len(given)] = given
            updates[: len(given)] = _FOREIGN
        origins = np.tile(self._gaussian.mean, (n, 1))
        own = {"step": steps, "origin": origins, "update": updates, "run": np.full(n, self._run, dtype=np.int64)}
        return Proposal(np.clip(points, 0.0, np.nextafter(1.0, 0.0)), own)

    def commit(self, told: Told, rng: np.random.Generator) -> None:
        """See Algorithm."""
        self._add(told.U, Scores(told.F[:, 0], told.V, told.ok), told.own)
        self._told += len(told.ids)
        while self._told >= self.size:
            self._told -= self.size
            self.generation += 1
        if sum(len(each["F"]) for each in self._waiting) >= self.size:
            self._update(rng)

    def inject(self, U: Floats, scores: Scores, rng: np.random.Generator) -> None:
        """Points (k, d), snapped, that others have found: they take part in the next update."""
        k, d = len(U), len(self._at)
        nowhere = np.zeros((k, d))
        updates = np.full(k, _FOREIGN, dtype=np.int64)
        runs = np.full(k, self._run, dtype=np.int64)
        self._add(U, scores, {"step": nowhere, "origin": nowhere, "update": updates, "run": runs})

    def _add(self, U: Floats, scores: Scores, own: dict[str, NDArray[Any]]) -> None:
        # What was drawn in an earlier run would pull this one back to where that one ended.
        of_now = own["run"] == self._run
        if of_now.any():
            rows = {"U": U, **scores._asdict(), **own}
            self._waiting.append({name: column[of_now] for name, column in rows.items()})

    def _update(self, rng: np.random.Generator) -> None:
        rows = _concatenated(self._waiting)
        self._waiting = []
        scores = Scores(rows["F"], rows["V"], rows["ok"])
        order = scores.order()[: int(rows["ok"].sum())]
        if len(order) < 2:  # nothing is known to be better than anything
            return
        gaussian = self._gaussian
        steps, origins, updates = rows["step"][order], rows["origin"][order], rows["update"][order]
        is_foreign = updates == _FOREIGN
        steps[is_foreign] = self._steps_to(rows["U"][order[is_foreign]])
        origins[is_foreign] = gaussian.mean
        gaussian.update(steps, origins, updates != gaussian.updates)
        rate = rates(len(order), max(1, gaussian.d))
        parents = order[: rate.parents]
        levels = self._cube.level_of(rows["U"][parents])[:, self._categorical_at]
        self._categoricals.update(levels, rate.weights[: rate.parents], rate.mu_eff)
        self._keep_margin()
        F, V = scores.F[order], scores.V[order]
        self._convergence.add(np.where(V > 0, V, F))
        if self._is_over():
            self._restart(rng)

    def _steps_to(self, U: Floats) -> Floats:
        """(k, d) points -> steps from the mean to the nearest of their images in the mirrors."""
        gaussian = self._gaussian
        points = U[:, self._at]
        cell = np.floor(gaussian.mean)
        images = np.where(self._is_continuous, cell + np.where(cell % 2 == 0, points, 1 - points), points)
        steps: Floats = (images - gaussian.mean) / self._widening
        return steps

    def _keep_margin(self) -> None:
        """Move the mean, and widen what is drawn, as little as makes the levels beside the mean's likely enough."""
        gaussian = self._gaussian
        self._widening = np.ones(gaussian.d)
        if not self._is_ordered.any():
            return
        at = np.flatnonzero(self._is_ordered)
        columns, levels, deviations = self._at[at], self._levels[at], gaussian.deviations[at]
        mean = np.clip(gaussian.mean[at], 0.0, 1.0)
        level = self._cube.level_of(mean, columns)
        low, high = self._cube.at_level(level - 0.5, columns), self._cube.at_level(level + 0.5, columns)
        is_first, is_last = level == 0, level == levels - 1
        # Between two others: the mean no further than `reach` from both ends of its level, which have to be that near.
        wide = np.where(is_first | is_last, deviations, np.maximum(deviations, (high - low) / 2 / self._reach_two))
        reach = wide * np.where(is_first | is_last, self._reach_one, self._reach_two)
        mean = np.where(is_last, mean, np.maximum(mean, high - reach))
        mean = np.where(is_first, mean, np.minimum(mean, low + reach))
        gaussian.mean[at] = mean
        self._widening[at] = wide / np.maximum(deviations, 1e-300)

    def _is_over(self) -> bool:
        gaussian = self._gaussian
        if self._convergence.is_over(self.size, self._cube.d) or gaussian.condition > _WORST_CONDITION:
            return True
        smallest = _SMALLEST_DEVIATION * self._sigma
        return bool(self._is_continuous.any()) and gaussian.is_within(smallest, self._is_continuous)

    def _restart(self, rng: np.random.Generator) -> None:
        if not self._has_restarts:
            self.is_exhausted = True
            return
        self._run += 1
        self.size = self._population << (self._run % (_DOUBLINGS + 1))
        self._begin(rng.random(len(self._at)))

    def state(self) -> State:
        """See Algorithm."""
        return {
            "counts": [self.size, self.generation, self._run, self._told, self.is_exhausted],
            "gaussian": self._gaussian.state(),
            "widening": self._widening.copy(),
            "probabilities": self._categoricals.probabilities.copy(),
            "convergence": self._convergence.state(),
            "waiting": _concatenated(self._waiting) if self._waiting else None,
        }

    def load(self, state: State) -> None:
        """See Algorithm."""
        self.size, self.generation, self._run, self._told, self.is_exhausted = state["counts"]
        self._gaussian.load(state["gaussian"])
        self._categoricals.probabilities = state["probabilities"].copy()
        self._convergence.load(state["convergence"])
        self._waiting = [] if state["waiting"] is None else [state["waiting"]]
        self._widening = state["widening"].copy()


def _concatenated(blocks: list[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
