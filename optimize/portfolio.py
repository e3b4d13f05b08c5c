"""Method "portfolio": a genetic algorithm and CMA-ES side by side, that pass on their best and share the budget."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from manyhands.optimize import settings
from manyhands.optimize.algorithm import Algorithm, Proposal, Scores, State, Told
from manyhands.optimize.cmaes import CMAES
from manyhands.optimize.cube import Cube, Floats, Ints
from manyhands.optimize.ga import GA

#: Of the evaluations: what the genetic algorithm has at first, and what either has at least.
_SHARE = 0.6
_LEAST = 0.2
#: Of the way to the share that the last period speaks for: what is gone after each.
_HASTE = 0.1
#: Evaluations between migrations: a few generations.
_PERIOD = 200


class Island(Algorithm, Protocol):
    """A method that takes points from others."""

    def inject(self, U: Floats, scores: Scores, rng: np.random.Generator) -> None:
        """Points (k, d), snapped, and how they did."""
        ...


class Found(NamedTuple):
    """The best point of an island in a period: (1, d) and its score."""

    U: Floats
    scores: Scores


class Portfolio:
    """Two islands. After each period the best that each has found in it goes to the other, and the share of the
    evaluations moves towards who has improved more, for each evaluation, on what was known before: in what unit scores
    are, and what they are counted from, does not matter. The population of the genetic algorithm follows its share.
    """

    def __init__(
        self,
        cube: Cube,
        *,
        seed: int = 0,
        budget: int | None = None,
        initial: Floats | None = None,
        period: int = _PERIOD,
        share: float = _SHARE,
    ) -> None:
        """period: evaluations between migrations; share: of the genetic algorithm, at first. Raises ValueError."""
        self._period = settings.whole("period", period, 1)
        self._usual = settings.real("share", share, _LEAST, 1 - _LEAST)
        self._budget = budget
        self._ga = GA(cube, seed=seed, budget=budget and max(1, round(budget * share)), initial=initial)
        # It begins at the first initial point, and leaves it to the other to have them evaluated.
        self._cmaes = CMAES(cube, seed=seed, budget=budget, initial=initial)
        self._islands: tuple[Island, Island] = (self._ga, self._cmaes)
        self._given = 0 if initial is None else len(initial)

        self.generation = 0
        self.is_exhausted = False
        self._share = self._usual
        self._credit = 0.0
        self._proposed = [0, self._given]
        self._committed = 0
        self._since = 0  # the last generation
        self._counts = [0, 0]  # in this period
        self._found: list[Found | None] = [None, None]
        self._best: Found | None = None

    @property
    def size(self) -> int:
        """In which the genetic algorithm has a generation."""
        return max(2, round(self._ga.size / self._share))

    @property
    def least_window(self) -> int:
        """See Algorithm."""
        return self.size

    def propose(self, first: int, n: int, rng: np.random.Generator) -> Proposal:
        """See Algorithm."""
        self._credit += self._share * n
        mine = min(n, max(int(self._credit), self._given - first, 0))
        self._credit = max(self._credit - mine, 0.0)
        own: dict[str, NDArray[Any]] = {"island": np.repeat([0, 1], [mine, n - mine])}
        own["id"] = np.concatenate([self._proposed[0] + np.arange(mine), self._proposed[1] + np.arange(n - mine)])
        points = []
        for at, (island, count) in enumerate(zip(self._islands, (mine, n - mine), strict=True)):
            proposal = island.propose(self._proposed[at], count, rng)
            self._proposed[at] += count
            points.append(proposal.U)
            for name, column in proposal.own.items():
                rows = own[f"{at}.{name}"] = np.zeros((n, *column.shape[1:]), dtype=column.dtype)
                rows[own["island"] == at] = column
        return Proposal(np.concatenate(points), own)

    def commit(self, told: Told, rng: np.random.Generator) -> None:
        """See Algorithm."""
        scores = Scores(told.F[:, 0], told.V, told.ok)
        for at, island in enumerate(self._islands):
            rows = np.flatnonzero(told.own["island"] == at)
            if not len(rows):
                continue
            prefix = f"{at}."
            own = {
                name.removeprefix(prefix): column[rows] for name, column in told.own.items() if name.startswith(prefix)
            }
            part = Told(told.own["id"][rows], told.U[rows], told.F[rows], told.V[rows], told.ok[rows], own)
            island.commit(part, rng)
            self._counts[at] += len(rows)
            best = rows[_of(scores, rows).order()[:1]]
            self._found[at] = _better(Found(told.U[best], _of(scores, best)), self._found[at])
        self._committed += len(told.ids)
        self._since += len(told.ids)
        while self._since >= self.size:
            self._since -= self.size
            self.generation += 1
        if sum(self._counts) >= self._period:
            self._end_period(rng)

    def _end_period(self, rng: np.random.Generator) -> None:
        gains = [_gain(found, self._best) / max(1, n) for found, n in zip(self._found, self._counts, strict=True)]
        # Who has improved on nothing speaks for nobody.
        aim = gains[0] / sum(gains) if 0 < sum(gains) < np.inf else self._usual
        self._share += _HASTE * (min(max(aim, _LEAST), 1 - _LEAST) - self._share)
        if self._budget is not None:
            left = max(self._budget - self._committed, 0)
            self._ga.expect(self._ga.committed + round(self._share * left))
        for island, found in zip(self._islands, reversed(self._found), strict=True):
            if found is not None:
                island.inject(found.U, found.scores, rng)
        for found in self._found:
            self._best = _better(found, self._best)
        self._counts, self._found = [0, 0], [None, None]

    def state(self) -> State:
        """See Algorithm."""
        return {
            "islands": [island.state() for island in self._islands],
            "generation": self.generation,
            "numbers": np.array([self._share, self._credit]),
            "proposed": list(self._proposed),
            "committed": self._committed,
            "since": self._since,
            "counts": list(self._counts),
            "found": [found and [found.U, *found.scores] for found in (*self._found, self._best)],
        }

    def load(self, state: State) -> None:
        """See Algorithm."""
        for island, its in zip(self._islands, state["islands"], strict=True):
            island.load(its)
        self.generation = state["generation"]
        self._share, self._credit = state["numbers"].tolist()
        self._proposed = list(state["proposed"])
        self._committed, self._since = state["committed"], state["since"]
        self._counts = list(state["counts"])
        *self._found, self._best = [found and Found(found[0], Scores(*found[1:])) for found in state["found"]]


def _of(scores: Scores, rows: Ints) -> Scores:
    return Scores(scores.F[rows], scores.V[rows], scores.ok[rows])


def _better(new: Found | None, old: Found | None) -> Found | None:
    """Of the two. What has failed is none."""
    if new is None or not new.scores.ok[0]:
        return old
    return new if old is None or new.scores.beat(old.scores)[0] else old


def _gain(new: Found | None, old: Found | None) -> float:
    """By how much it is better: in violation while the old one violates, else in score."""
    if new is None or old is None or not new.scores.beat(old.scores)[0]:
        return 0.0
    old_score, new_score = (each.scores.V if old.scores.V[0] > 0 else each.scores.F for each in (old, new))
    return max(0.0, float(old_score[0] - new_score[0]))
