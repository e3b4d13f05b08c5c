"""How children are made of members: operators chosen by name, with their rates, and what is checked of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from manyhands.optimize import operators, settings
from manyhands.optimize.cube import Cube, Floats, Ints

SELECTIONS = ("tournament", "ranking", "random")
CROSSOVERS = ("sbx", "blx", "uniform", "one-point", "two-point")
MUTATIONS = ("polynomial", "gaussian", "uniform")


@dataclass(frozen=True)
class Variation:
    """Each setting is that of one operator, and without effect for others.

    selection: tournament (of how many: `tournament`), ranking (linear, of that `pressure`, 1 to 2) or random.
    crossover: sbx (`eta_crossover`: the larger, the nearer to the parents), blx (`alpha`: by how much of their distance
    children may be outside of it), uniform, one-point or two-point; crossover_rate: the share of pairs that is crossed.
    mutation: polynomial (`eta_mutation`: the larger, the smaller are the steps), gaussian (`sigma`, in units of the
    range) or uniform; mutation_rate: the share of values that is changed, None: one of each point on average.
    """

    selection: str = "tournament"
    tournament: int = 2
    pressure: float = 1.8
    crossover: str = "sbx"
    crossover_rate: float = 0.9
    eta_crossover: float = 15.0
    alpha: float = 0.5
    mutation: str = "polynomial"
    mutation_rate: float | None = None
    eta_mutation: float = 20.0
    sigma: float = 0.1

    def __post_init__(self) -> None:
        """Raises ValueError for what is not allowed."""
        settings.one_of("selection", self.selection, SELECTIONS)
        settings.one_of("crossover", self.crossover, CROSSOVERS)
        settings.one_of("mutation", self.mutation, MUTATIONS)
        settings.whole("tournament", self.tournament, 1)
        settings.real("pressure", self.pressure, 1, 2)
        settings.real("crossover_rate", self.crossover_rate, 0, 1)
        settings.real("eta_crossover", self.eta_crossover, 0)
        settings.real("alpha", self.alpha, 0)
        settings.real("eta_mutation", self.eta_mutation, 0)
        settings.real("sigma", self.sigma, 0)
        if self.mutation_rate is not None:
            settings.real("mutation_rate", self.mutation_rate, 0, 1)

    def children(self, cube: Cube, members: Floats, n: int, rng: np.random.Generator) -> Floats:
        """(N, d) snapped points, N > 0, from the best to the worst -> (n, d), not snapped.

        A child that would be the copy of a parent is changed in one column, unless nothing is to be mutated.
        """
        pairs = (n + 1) // 2
        chosen = self._select(len(members), 2 * pairs, rng)
        A, B = members[chosen[:pairs]], members[chosen[pairs:]]
        C, D = self._cross(cube, A, B, rng)
        is_crossed = rng.random((pairs, 1)) < self.crossover_rate
        children = cube.snap(np.concatenate([np.where(is_crossed, C, A), np.where(is_crossed, D, B)])[:n])
        mothers, fathers = np.concatenate([A, B])[:n], np.concatenate([B, A])[:n]

        may_vary = np.flatnonzero(cube.is_continuous | (cube.levels > 1))
        rate = 1.0 / max(len(may_vary), 1) if self.mutation_rate is None else self.mutation_rate
        children = operators.mutate(cube, children, rng.random(children.shape) < rate, rng, self._step)
        if rate > 0 and len(may_vary):
            snapped = cube.snap(children)
            copies = np.flatnonzero((snapped == mothers).all(axis=1) | (snapped == fathers).all(axis=1))
            where = np.zeros((len(copies), cube.d), dtype=np.bool_)
            where[np.arange(len(copies)), rng.choice(may_vary, len(copies))] = True
            children[copies] = operators.mutate(cube, snapped[copies], where, rng, self._step)
        return children

    def _select(self, members: int, n: int, rng: np.random.Generator) -> Ints:
        match self.selection:
            case "tournament":
                return operators.tournament(members, n, rng, rivals=self.tournament)
            case "ranking":
                return operators.ranking(members, n, rng, pressure=self.pressure)
            case _:
                return operators.anyone(members, n, rng)

    def _cross(self, cube: Cube, A: Floats, B: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
        match self.crossover:
            case "sbx":
                return operators.sbx(cube, A, B, rng, eta=self.eta_crossover)
            case "blx":
                return operators.blx(cube, A, B, rng, alpha=self.alpha)
            case "uniform":
                return operators.uniform(cube, A, B, rng)
            case "one-point":
                return operators.one_point(cube, A, B, rng)
            case _:
                return operators.two_point(cube, A, B, rng)

    def _step(self, x: Floats, rng: np.random.Generator) -> Floats:
        match self.mutation:
            case "polynomial":
                return operators.polynomial(x, rng, eta=self.eta_mutation)
            case "gaussian":
                return operators.gaussian(x, rng, sigma=self.sigma)
            case _:
                return operators.redrawn(x, rng)
