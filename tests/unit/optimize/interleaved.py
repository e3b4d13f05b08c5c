"""Drives an algorithm as the modes do: blocks of a size, so many points ahead of those that are told, some failing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

from manyhands.optimize.algorithm import Algorithm, Proposal, Told
from manyhands.optimize.cube import Cube, Floats
from manyhands.optimize.random_streams import Use, stream

Scored = Callable[[Floats], tuple[Floats, Floats]]


class Drive:
    """scored: (n, d) points -> F (n, m) and V (n,). failing: the share of evaluations that fails."""

    def __init__(
        self,
        algorithm: Algorithm,
        cube: Cube,
        scored: Scored,
        *,
        block: int,
        ahead: int,
        failing: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.algorithm, self.cube, self.scored = algorithm, cube, scored
        self.block, self.ahead, self.failing, self.seed = block, max(ahead, block), failing, seed
        self.out: deque[tuple[int, Proposal]] = deque()
        self.proposed = self.committed = 0
        self.told: list[Told] = []

    def run(self, budget: int) -> list[Told]:
        """Until so many are committed in all; all that was told."""
        while self.committed < budget:
            while self.proposed < budget and self.proposed - self.committed + self.block <= self.ahead:
                n = min(self.block, budget - self.proposed)
                proposal = self.algorithm.propose(self.proposed, n, stream(self.seed, Use.PROPOSE, self.proposed))
                assert proposal.U.shape == (n, self.cube.d)
                self.out.append((self.proposed, proposal))
                self.proposed += n
            self._commit(*self.out.popleft())
        return self.told

    def _commit(self, first: int, proposal: Proposal) -> None:
        U = self.cube.snap(proposal.U)
        ids = np.arange(first, first + len(U))
        F, V = self.scored(U)
        ok = np.ones(len(ids), dtype=bool)
        if self.failing:
            ok = np.array([stream(self.seed, Use.EVALUATION, int(id)).random() >= self.failing for id in ids])
        told = Told(ids, U, np.where(ok[:, np.newaxis], F, np.nan), np.where(ok, V, np.inf), ok, proposal.own)
        self.algorithm.commit(told, stream(self.seed, Use.COMMIT, first))
        self.told.append(told)
        self.committed += len(U)


def of_one(values: Callable[[Floats], Floats]) -> Scored:
    """One objective without constraints."""
    return lambda U: (values(U)[:, np.newaxis], np.zeros(len(U)))


def points(told: list[Told]) -> Floats:
    """All that were told, in order."""
    return np.concatenate([each.U for each in told])


def best(told: list[Told]) -> float:
    """Of the first objective, among those that violate nothing."""
    return float(min(each.F[each.ok & (each.V <= 0), 0].min(initial=np.inf) for each in told))
