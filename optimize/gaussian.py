"""A normal distribution that moves towards the better of its samples and takes their shape: the rules of CMA-ES."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from manyhands.optimize.algorithm import State
from manyhands.optimize.cube import Floats

#: Of the largest eigenvalue: what smaller ones are taken for, so that there is an inverse.
_SMALLEST = 1e-18
#: Below any length or sum that is divided by.
_TINY = 1e-300
#: Of the way of the mean since a stale sample was drawn: what it takes back.
_REGRESS = 0.5
#: Standard deviations are kept below this, the cube's width being 1: on a plateau nothing else would.
_WIDEST = 2.0


class Rates(NamedTuple):
    """What k samples in d dimensions are worth: the defaults of Hansen's tutorial (arXiv:1604.00772, table 1).

    weights: (k,), from the best to the worst, those of the better half positive and 1 in all, the others negative.
    """

    weights: Floats
    parents: int
    mu_eff: float
    c_sigma: float
    d_sigma: float
    c_c: float
    c_1: float
    c_mu: float


@lru_cache(maxsize=64)
def rates(k: int, d: int) -> Rates:
    """For k >= 2, d >= 1."""
    raw = math.log((k + 1) / 2) - np.log(np.arange(1, k + 1))
    parents = k // 2
    better, worse = raw[:parents], raw[parents:]
    mu_eff = float(better.sum() ** 2 / (better**2).sum())
    # With two or three samples the worse ones may weigh nothing.
    mu_eff_worse = float(worse.sum() ** 2 / max(float((worse**2).sum()), _TINY))
    c_1 = 2 / ((d + 1.3) ** 2 + mu_eff)
    c_mu = min(1 - c_1, 2 * (0.25 + mu_eff + 1 / mu_eff - 2) / ((d + 2) ** 2 + mu_eff))
    negative = min(1 + c_1 / c_mu, 1 + 2 * mu_eff_worse / (mu_eff + 2), max(0.0, 1 - c_1 - c_mu) / (d * c_mu))
    weights = np.where(raw >= 0, raw / better.sum(), negative * raw / max(-float(raw[raw < 0].sum()), _TINY))
    weights.flags.writeable = False
    c_sigma = (mu_eff + 2) / (d + mu_eff + 5)
    return Rates(
        weights=weights,
        parents=parents,
        mu_eff=mu_eff,
        c_sigma=c_sigma,
        d_sigma=1 + 2 * max(0.0, math.sqrt((mu_eff - 1) / (d + 1)) - 1) + c_sigma,
        c_c=(4 + mu_eff / d) / (d + 4 + 2 * mu_eff / d),
        c_1=c_1,
        c_mu=c_mu,
    )


class Gaussian:
    """N(mean, sigma**2 C). Steps are the ways from the mean to samples."""

    def __init__(self, mean: Floats, sigma: float) -> None:
        self.d = d = len(mean)
        self.mean = mean.copy()
        self.sigma = sigma
        self.C: Floats = np.eye(d)
        #: How often it was updated.
        self.updates = 0
        # C = B diag(D**2) B', as of an update not long ago.
        self._B: Floats = np.eye(d)
        self._D: Floats = np.ones(d)
        self._decomposed_at = 0
        self._path_c: Floats = np.zeros(d)
        self._path_sigma: Floats = np.zeros(d)

    @property
    def deviations(self) -> Floats:
        """(d,): of each coordinate, before any margin."""
        deviations: Floats = self.sigma * np.sqrt(np.diag(self.C))
        return deviations

    @property
    def condition(self) -> float:
        """Of C: the ratio of its largest to its smallest eigenvalue."""
        return float((self._D.max(initial=1.0) / self._D.min(initial=np.inf)) ** 2) if self.d else 1.0

    def draw(self, n: int, rng: np.random.Generator) -> Floats:
        """(n, d) steps."""
        steps: Floats = self.sigma * (rng.standard_normal((n, self.d)) * self._D) @ self._B.T
        return steps

    def update(self, steps: Floats, origins: Floats, is_stale: NDArray[np.bool_]) -> None:
        """steps: (k, d), from the best to the worst, k >= 2; origins: (k, d), the means that they were taken from.
        is_stale: (k,), which were not drawn from the present distribution: they count as injected ones (Hansen 2011,
        arXiv:1110.4181), of which those that it would hardly draw are cut to a length that it would.
        """
        self.updates += 1
        if not self.d:
            return
        d, rate = self.d, rates(len(steps), self.d)
        steps = steps / self.sigma
        whitened = (steps @ self._B) / self._D
        lengths = np.sqrt((whitened**2).sum(axis=1))
        longest = math.sqrt(d) + 2 * d / (d + 2)
        cut = np.where(is_stale & (lengths > longest), longest / np.maximum(lengths, _TINY), 1.0)
        steps, whitened, lengths = steps * cut[:, np.newaxis], whitened * cut[:, np.newaxis], lengths * cut
        better = rate.weights[: rate.parents]
        shift = better @ steps[: rate.parents]
        # Steps from an older mean, all made again from this one, would go the same way twice; the points themselves as
        # the aim would undo what was done since. Half of each is stable and fast with a window of points on their way.
        behind = better @ (origins[: rate.parents] - self.mean)
        self.mean += self.sigma * shift + _REGRESS * behind
        # The length of the path of the mean says whether steps are too short or too long.
        c_s, mu_eff = rate.c_sigma, rate.mu_eff
        self._path_sigma *= 1 - c_s
        self._path_sigma += math.sqrt(c_s * (2 - c_s) * mu_eff) * (self._B @ (better @ whitened[: rate.parents]))
        expected = math.sqrt(d) * (1 - 1 / (4 * d) + 1 / (21 * d * d))
        length = float(np.sqrt((self._path_sigma**2).sum()))
        self.sigma *= math.exp(min(1.0, c_s / rate.d_sigma * (length / expected - 1)))
        # C takes the shape of that path and of the better steps, and loses that of the worse ones.
        unbiased = length / math.sqrt(1 - (1 - c_s) ** (2 * self.updates))
        is_steady = unbiased < (1.4 + 2 / (d + 1)) * expected
        c_c, c_1, c_mu = rate.c_c, rate.c_1, rate.c_mu
        self._path_c *= 1 - c_c
        if is_steady:
            self._path_c += math.sqrt(c_c * (2 - c_c) * mu_eff) * shift
        lost = 0.0 if is_steady else c_1 * c_c * (2 - c_c)
        weights = np.where(rate.weights < 0, rate.weights * d / np.maximum(lengths**2, _TINY), rate.weights)
        self.C *= 1 + lost - c_1 - c_mu * float(rate.weights.sum())
        self.C += c_1 * np.outer(self._path_c, self._path_c) + c_mu * ((steps * weights[:, np.newaxis]).T @ steps)
        self.sigma *= min(1.0, _WIDEST / max(float(self.deviations.max()), _TINY))
        if (self.updates - self._decomposed_at) * (c_1 + c_mu) * d * 10 >= 1:
            self._decompose()

    def _decompose(self) -> None:
        self.C = (self.C + self.C.T) / 2
        squares, self._B = np.linalg.eigh(self.C)
        self._D = np.sqrt(np.maximum(squares, _SMALLEST * max(float(squares[-1]), _TINY)))
        self._decomposed_at = self.updates

    def is_within(self, deviation: float, columns: NDArray[np.bool_]) -> bool:
        """Whether it, and the path of its mean, are narrower than that in those columns."""
        extent = self.sigma * np.maximum(np.sqrt(np.diag(self.C)), np.abs(self._path_c))
        return bool((extent[columns] < deviation).all())

    def state(self) -> State:
        """For `load`."""
        return {
            "counts": [self.updates, self._decomposed_at],
            "vectors": np.stack([self.mean, self._path_c, self._path_sigma, self._D]),
            "sigma": np.array([self.sigma]),
            "C": self.C.copy(),
            "B": self._B.copy(),
        }

    def load(self, state: State) -> None:
        """Be as the one whose state this is."""
        self.updates, self._decomposed_at = state["counts"]
        self.mean, self._path_c, self._path_sigma, self._D = state["vectors"].copy()
        self.sigma = float(state["sigma"][0])
        self.C, self._B = state["C"].copy(), state["B"].copy()
