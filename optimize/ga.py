"""The default method: a real-coded genetic algorithm that learns its rates and narrows its population to the end."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from manyhands.optimize.algorithm import Proposal, Scores, State, Told
from manyhands.optimize.cube import Cube, Floats, Ints
from manyhands.optimize.design import beginning
from manyhands.optimize.mixed import Recent, choose
from manyhands.optimize.population import Population
from manyhands.optimize.random_streams import Use, stream
from manyhands.optimize.success_history import Rates, SuccessHistory

POPULATION_MIN = 12
#: Points in a population at least, whatever the budget.
POPULATION_LEAST = 4
#: Of the population: the best, one of which each child is drawn to.
BEST_SHARE = 0.1
#: Beaten parents that are kept, for each member.
ARCHIVE = 1.5
#: Evaluations that a search is planned for, if nobody says how many.
HORIZON = 20_000
#: The share of a population that has to be known before it has children. Until then points are random.
READY = 0.5
#: More columns have no eigenbasis: it would take too long, and more evaluations than there are.
EIGEN_COLUMNS_MAX = 64
#: Generations without a better member after which a population is stuck: those that are all alike, and others.
FLAT_GENERATIONS = 5
STALL_GENERATIONS = 30
#: Of the cube: members no further apart than this in any column are one point.
COLLAPSED = 1e-14


def population_size(budget: int, d: int) -> int:
    """Members to begin with: enough for the columns, few enough for the budget to be many generations."""
    size = min(max(budget // 200, 30, 5 * d), max(18 * d, 30))
    return max(min(size, budget // 5), min(8, budget))


class GA:
    """Mutation towards one of the best, with an archive (JADE: Zhang, Sanderson 2009), rates from a history of
    successes and a population that shrinks linearly (L-SHADE: Tanabe, Fukunaga 2014), crossover also in the eigenbasis
    of the better half (CoBiDE: Wang et al. 2014), feasibility rules (Deb 2000), a new population for one that is stuck.

    Discrete ordered columns evolve as continuous ones; categories are copied from the same parents, or drawn.
    """

    def __init__(
        self,
        cube: Cube,
        *,
        seed: int,
        budget: int | None = None,
        initial: Floats | None = None,
        population: int | None = None,
        population_min: int | None = None,
        best_share: float = BEST_SHARE,
        archive: float = ARCHIVE,
        eigen: bool = True,
        restarts: bool = True,
    ) -> None:
        """population: members to begin with, population_min: at the end of the budget; both follow from the budget
        and the columns otherwise. best_share: of the population, drawn to; archive: beaten ones kept, for each member;
        eigen: cross over in the eigenbasis as well; restarts: leave a population that is stuck.

        Raises ValueError for settings that are out of their range.
        """
        self._cube, self._seed, self._budget = cube, seed, budget
        self._population, self._population_min = population, population_min
        self._best_share, self._archive, self._restarts = best_share, archive, restarts
        self._validate()
        self._numeric = np.flatnonzero(~cube.is_categorical)
        self._categorical = np.flatnonzero(cube.is_categorical)
        self._is_relaxed = bool(cube.is_ordered.any())
        self._recent = None if cube.is_continuous.all() else Recent(cube)
        self._arms = 2 if eigen and 1 < len(self._numeric) <= EIGEN_COLUMNS_MAX else 1
        self.generation = 0
        self.is_exhausted = False
        self._committed = 0
        self._epoch = 0
        self._horizon = HORIZON if budget is None else budget
        self._begin(initial)

    def _validate(self) -> None:
        least = POPULATION_LEAST
        for name, value in (("population", self._population), ("population_min", self._population_min)):
            if value is not None and value < least:
                raise ValueError(f"{name} has to be at least {least}, not {value}")
        if not 0 < self._best_share <= 1:
            raise ValueError(f"best_share is a share, above 0 and up to 1, not {self._best_share}")
        if not 0 <= self._archive <= 100:
            raise ValueError(f"archive has to be from 0 to 100, not {self._archive}")

    @property
    def size(self) -> int:
        """Members at present; it shrinks."""
        return self._members.size

    @property
    def least_window(self) -> int:
        """A child of each member: with fewer, evaluations would have to wait for slow ones."""
        return self.size

    def _begin(self, initial: Floats | None = None) -> None:
        """A population of which nothing is known yet, for the budget that is left."""
        self._from = self._committed
        self._failed = 0
        left = max(self._horizon - self._from, 1)
        size = self._population or population_size(left, self._cube.d)
        rng = stream(self._seed, Use.DESIGN, self._epoch)
        self._design = beginning(self._cube, size, initial, rng)
        self._issued = 0
        self._cursor = 0
        self._members = Population(len(self._design), self._cube.d, self._archive)
        self._history = SuccessHistory(self._arms)
        self._basis = np.eye(len(self._numeric))
        self._due = self._committed + self.size
        self._improved = self._committed

    def propose(self, first: int, n: int, rng: np.random.Generator) -> Proposal:
        begun = np.arange(self._issued, min(self._issued + n, len(self._design)))
        self._issued += len(begun)
        rows = (self._cursor + np.arange(n - len(begun))) % self.size
        self._cursor = (self._cursor + len(rows)) % self.size
        if len(self._members.good) >= max(READY * self.size, POPULATION_LEAST):
            X, rates = self._children(rows, rng)
        else:
            X, rates = rng.random((len(rows), self._cube.d)), Rates.none(len(rows))
        if self._recent is not None:
            self._recent.nudge(X, rng)
        none = Rates.none(len(begun))
        X = np.concatenate([self._design[begun], X])
        own: dict[str, NDArray[Any]] = {
            "epoch": np.full(n, self._epoch),
            "slot": np.concatenate([begun, self._members.slot[rows]]),
            "arm": np.concatenate([none.arm, rates.arm]),
            "F": np.concatenate([none.F, rates.F]),
            "CR": np.concatenate([none.CR, rates.CR]),
        }
        if self._is_relaxed:
            own["X"] = X
        return Proposal(X, own)

    def _children(self, rows: Ints, rng: np.random.Generator) -> tuple[Floats, Rates]:
        """One for each row."""
        members, X = self._members, self._members.X
        good, m, n = members.good, len(members.good), len(rows)
        draw = rng.random((5, n))
        rates = self._history.draw(n, rng)
        if m < members.size:
            rows = np.where(members.scores.ok[rows], rows, good[(draw[4] * m).astype(np.int64)])
        best = X.take(good[(draw[0] * max(2, round(self._best_share * m))).astype(np.int64)], axis=0)
        # A mate is another one than the parent; what it is compared with, or one of the archive, another than the mate.
        place = (draw[1] * (m - 1)).astype(np.int64)
        place += place >= members.place[rows]
        mate = X.take(good[place], axis=0)
        other = (draw[2] * (m - 1 + members.archived)).astype(np.int64)
        other += other >= place
        other = np.where(other < m, good[np.minimum(other, m - 1)], other - m + members.archive_at)
        x = X.take(rows, axis=0)
        step = (best - x + mate - X.take(other, axis=0)) * rates.F[:, np.newaxis]
        crossed = rng.random(x.shape) < rates.CR[:, np.newaxis]
        crossed[np.arange(n), (draw[3] * x.shape[1]).astype(np.int64)] = True
        if self._arms == 2:
            turned = np.flatnonzero(rates.arm)
            at = np.ix_(turned, self._numeric)
            inside = ((step[at] @ self._basis) * crossed[at]) @ self._basis.T
            step *= crossed
            step[at] = inside
        else:
            step *= crossed
        child = x + step
        # Half the way to the bound from the parent (JADE): children gather at a bound only if it is good there.
        child = np.where(child < 0.0, 0.5 * x, np.where(child >= 1.0, 0.5 * (x + 1.0), child))
        if len(at_category := self._categorical):
            chosen = choose(best[:, at_category], mate[:, at_category], rng)
            child[:, at_category] = np.where(crossed[:, at_category], chosen, x[:, at_category])
        return child, rates

    def commit(self, told: Told, rng: np.random.Generator) -> None:
        own = told.own
        self._committed += len(told.ids)
        # What is left of an earlier population has nothing to do with this one.
        of_this = np.flatnonzero(own["epoch"] == self._epoch)
        X = own["X"] if self._is_relaxed else told.U
        scores = Scores(told.F[of_this, 0], told.V[of_this], told.ok[of_this])
        gain = self._members.challenge(own["slot"][of_this], X[of_this], scores, rng)
        self._history.learn(Rates(own["arm"][of_this], own["F"][of_this], own["CR"][of_this]), gain)
        self._failed += int(np.count_nonzero(~scores.ok))
        if gain.any():
            self._improved = self._committed
        while self._committed >= self._due:
            self._end_generation()

    @property
    def committed(self) -> int:
        """Evaluations so far."""
        return self._committed

    def expect(self, budget: int) -> None:
        """There will be so many evaluations in all, instead of what was said before."""
        self._horizon = budget

    def inject(self, U: Floats, scores: Scores, rng: np.random.Generator) -> None:
        """Points (k, d), snapped, that others have found, k <= size: they challenge the worst members."""
        worst = self._members.scores.order()[::-1][: len(U)]
        self._members.challenge(self._members.slot[worst], U, scores, rng)

    def _end_generation(self) -> None:
        self.generation += 1
        self._history.end_generation()
        self._narrow()
        if self._restarts and self._is_stuck():
            self._restart()
            return
        self._due += self.size
        if self._arms == 2 and len(self._members.good) > 3:
            better = self._members.good[: len(self._members.good) // 2]
            self._basis = np.linalg.eigh(
                np.cov(self._members.X[np.ix_(better, self._numeric)], rowvar=False)
            ).eigenvectors

    def _narrow(self) -> None:
        begin = len(self._design)
        end = min(POPULATION_MIN if self._population_min is None else self._population_min, begin)
        progress = min((self._committed - self._from) / max(self._horizon - self._from, 1), 1.0)
        # Evaluations that fail leave a smaller budget, and that is for a smaller population: to a half, for what fails
        # may be over soon, and members do not come back.
        held = max(1.0 - self._failed / (self._committed - self._from), 0.5)
        size = max(round((begin + (end - begin) * progress) * held), end)
        if size < self.size:
            self._cursor = int(np.searchsorted(self._members.reduce(size), self._cursor)) % size

    def _is_stuck(self) -> bool:
        """Of the scores only whether they are the same counts, and whether they get better: a test of how far they are
        apart would depend on their scale.
        """
        members = self._members
        if len(members.good) < members.size:
            return False
        if (np.ptp(members.members, axis=0) <= COLLAPSED).all():
            return True
        F, V = members.scores.F, members.scores.V
        is_flat = F.min() == F.max() and V.min() == V.max()
        return self._committed - self._improved > (FLAT_GENERATIONS if is_flat else STALL_GENERATIONS) * self.size

    def _restart(self) -> None:
        """The best member stays, all others are new."""
        members = self._members
        best = members.good[0]
        x, f, v = members.X[best].copy(), float(members.scores.F[best]), float(members.scores.V[best])
        self._epoch += 1
        if self._budget is None and self._committed >= self._horizon:
            self._horizon = 2 * self._committed
        self._begin()
        self._members.put(0, x, f, v)
        self._issued = 1

    def state(self) -> State:
        names = ("committed", "epoch", "horizon", "from", "failed", "issued", "cursor", "due", "improved")
        return {
            "generation": self.generation,
            "counts": {name: getattr(self, f"_{name}") for name in names},
            "design": self._design,
            "members": self._members.state(),
            "history": self._history.state(),
            "basis": self._basis,
            "recent": None if self._recent is None else self._recent.state(),
        }

    def load(self, state: State) -> None:
        for name, value in state["counts"].items():
            setattr(self, f"_{name}", int(value))
        self.generation = int(state["generation"])
        self._design = state["design"].copy()
        self._members.load(state["members"])
        self._history.load(state["history"])
        self._basis = state["basis"].copy()
        if self._recent is not None:
            self._recent.load(state["recent"])
