"""How strongly to mutate, how much to cross over and in which basis: learnt from the children that were better."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from manyhands.optimize.algorithm import State
from manyhands.optimize.cube import Floats

#: Means that are remembered for each arm: a generation replaces the oldest.
MEMORIES = 6
#: Half the width of the Cauchy distribution around a mean of F, and the deviation of the normal one around one of CR.
SPREAD = 0.1
F_MIN = 1e-3
#: The least share of children that either arm has, so that it can be seen whether it has become the better one.
SHARE_MIN = 0.05
#: How much of the share a generation decides.
SHARE_RATE = 0.1


class Rates(NamedTuple):
    """(n,) each. arm: which basis, 0 or 1, or -1 for points that are no children; F: the factor of differences, in
    (0, 1]; CR: the share of coordinates that come from the mutant, in [0, 1].
    """

    arm: NDArray[np.int8]
    F: Floats
    CR: Floats

    @classmethod
    def none(cls, n: int) -> Rates:
        """Those of n points that are no children."""
        return cls(np.full(n, -1, dtype=np.int8), np.zeros(n), np.zeros(n))


class SuccessHistory:
    """The memories of SHADE (Tanabe, Fukunaga 2013), a set for each of one or two arms; two compete for their share."""

    def __init__(self, arms: int) -> None:
        self._arms = arms
        self._F = np.full((arms, MEMORIES), 0.5)
        self._CR = np.full((arms, MEMORIES), 0.5)
        self._oldest = np.zeros(arms, dtype=np.int64)
        # Of this generation, by arm: sums of gain * (F, F**2, CR, CR**2), of gain, and the number of children.
        self._sums = np.zeros((arms, 6))
        #: Of children for the second arm.
        self.share = 0.5 if arms == 2 else 0.0

    def draw(self, n: int, rng: np.random.Generator) -> Rates:
        """Rates for n children."""
        share, which, quantile = rng.random((3, n))
        arm = (share < self.share).astype(np.int8)
        memory = (which * MEMORIES).astype(np.int64)
        F, CR = self._F[arm, memory], self._CR[arm, memory]
        # The Cauchy distribution above 0, by its inverse: as if drawn again until it is positive.
        below = np.arctan(F / SPREAD) / np.pi
        F += SPREAD * np.tan(np.pi * (quantile * (0.5 + below) - below))
        CR += SPREAD * rng.standard_normal(n)
        return Rates(arm, np.clip(F, F_MIN, 1.0), np.clip(CR, 0.0, 1.0))

    def learn(self, rates: Rates, gain: Floats) -> None:
        """gain: (n,), how much better each child was than its parent, 0 if it was not."""
        F, CR = gain * rates.F, gain * rates.CR
        facts = np.array([F, F * rates.F, CR, CR * rates.CR, gain, np.ones(len(gain))])
        for arm in range(self._arms):
            self._sums[arm] += facts @ (rates.arm == arm)

    def end_generation(self) -> None:
        """Take over what was learnt since the last one."""
        for arm, (f, f2, cr, cr2, gain, _) in enumerate(self._sums):
            if gain > 0:
                # Lehmer means weighted by gain (Tanabe, Fukunaga 2014): they lean towards the larger ones.
                self._F[arm, self._oldest[arm]] = f2 / f
                self._CR[arm, self._oldest[arm]] = cr2 / cr if cr > 0 else 0.0
                self._oldest[arm] = (self._oldest[arm] + 1) % MEMORIES
        gains = self._sums[:, 4] / np.maximum(self._sums[:, 5], 1.0)
        if self._arms == 2 and gains.any():
            # The gain of a child, not how often there was one: small steps in any basis succeed often.
            share = self.share + SHARE_RATE * (float(gains[1] / gains.sum()) - self.share)
            self.share = min(max(share, SHARE_MIN), 1.0 - SHARE_MIN)
        self._sums[:] = 0.0

    def state(self) -> State:
        share = np.array(self.share)
        return {"F": self._F, "CR": self._CR, "oldest": self._oldest, "sums": self._sums, "share": share}

    def load(self, state: State) -> None:
        self._F, self._CR, self._oldest = state["F"].copy(), state["CR"].copy(), state["oldest"].copy()
        self._sums = state["sums"].copy()
        self.share = float(state["share"])
