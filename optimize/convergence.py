"""Whether a run of a search has come to its end: no test depends on what the scores are counted from."""

from __future__ import annotations

import math

import numpy as np

from manyhands.optimize.algorithm import State
from manyhands.optimize.cube import Floats

#: Differences of scores below this count as none; or below this share of those in the first generation, if smaller.
_TOLERANCE = 1e-12
#: Generations that are remembered.
_REMEMBERED = 2000


class Convergence:
    """Of one run: the tests on scores of Auger and Hansen 2005, and the one on stagnation of Hansen's tutorial."""

    def __init__(self) -> None:
        self._best: list[float] = []
        self._median: list[float] = []
        self._generations = 0
        self._first_range = math.nan
        self._last_range = math.nan

    def add(self, scores: Floats) -> None:
        """Of a generation, (k,), the best first, k >= 1."""
        self._last_range = _range(scores)
        if not self._generations:
            self._first_range = self._last_range
        self._generations += 1
        self._best.append(float(scores[0]))
        self._median.append(float(scores[len(scores) // 2]))
        del self._best[:-_REMEMBERED], self._median[:-_REMEMBERED]

    def is_over(self, size: int, d: int) -> bool:
        """size: of a generation."""
        few = 10 + math.ceil(30 * d / size)
        if self._generations < few:
            return False
        tolerance = _TOLERANCE * min(1.0, self._first_range)
        range_of_best = _range(np.array(self._best[-few:]))
        if range_of_best == 0 or max(range_of_best, self._last_range) <= tolerance:
            return True
        many = 120 + math.ceil(30 * d / size)
        recent = min(max(many, self._generations // 5), _REMEMBERED)
        return self._generations >= many and all(_is_stagnant(each[-recent:]) for each in (self._best, self._median))

    def state(self) -> State:
        """For `load`."""
        return {
            "history": np.array([self._best, self._median]),
            "generations": self._generations,
            "ranges": np.array([self._first_range, self._last_range]),
        }

    def load(self, state: State) -> None:
        """Be as the one whose state this is."""
        self._best, self._median = state["history"].tolist()
        self._generations = state["generations"]
        self._first_range, self._last_range = state["ranges"].tolist()


def _range(scores: Floats) -> float:
    """Between those that are finite."""
    finite = scores[np.isfinite(scores)]
    return float(np.ptp(finite)) if len(finite) else 0.0


def _is_stagnant(history: list[float]) -> bool:
    """The last 30 % are no better than the first."""
    part = max(1, len(history) * 3 // 10)
    return float(np.median(history[-part:])) >= float(np.median(history[:part]))
