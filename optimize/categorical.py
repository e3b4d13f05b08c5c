"""A distribution over the levels of each categorical column, that moves towards those of the better points."""

from __future__ import annotations

import numpy as np

from manyhands.optimize.cube import Floats, Ints

#: Levels of all columns together: each has its probability in the state.
LEVELS_MAX = 100_000
#: Parents for each level but one that move a distribution half way to theirs.
_PATIENCE = 10


class Categoricals:
    """As in CatCMAwM (Hamano et al. 2025, arXiv:2504.07884): the natural gradient of the expected rank, and a margin
    that keeps every level possible; but with a constant rate, where theirs adapts to the noise of the gradient.
    """

    def __init__(self, levels: Ints, margin: float) -> None:
        """levels: (c,), how many each column has. margin: how likely a column is not at its most likely level, at
        least. Raises ValueError if there are too many levels.
        """
        if levels.sum() > LEVELS_MAX:
            raise ValueError(f"categorical parameters have at most {LEVELS_MAX} values in all, not {levels.sum()}")
        self._ends = np.cumsum(levels)
        self._margin = margin
        self.probabilities: Floats = np.repeat(1 / np.maximum(levels, 1), levels)

    def _columns(self) -> list[Floats]:
        """Views of the probabilities of each."""
        return np.split(self.probabilities, self._ends[:-1]) if len(self._ends) else []

    def draw(self, n: int, rng: np.random.Generator) -> Ints:
        """(n, c) levels."""
        chances = rng.random((n, len(self._ends)))
        levels = np.zeros(chances.shape, dtype=np.int64)
        for at, column in enumerate(self._columns()):
            drawn = np.searchsorted(np.cumsum(column), chances[:, at], side="right")
            levels[:, at] = np.minimum(drawn, len(column) - 1)  # the sum of all may be a little less than 1
        return levels

    def update(self, levels: Ints, weights: Floats, mu_eff: float) -> None:
        """levels: (k, c) of the better points; weights: (k,), 1 in all; mu_eff: how many points they are worth."""
        for at, column in enumerate(self._columns()):
            if len(column) < 2:
                continue
            # So many points tell of one column's levels as well as they would have to for a rate of a half.
            rate = mu_eff / (mu_eff + _PATIENCE * (len(column) - 1))
            moved = column + rate * (np.bincount(levels[:, at], weights, len(column)) - column)
            least = self._margin / (len(column) - 1)
            above = np.maximum(moved - least, 0.0)
            column[:] = least + above * ((1 - least * len(column)) / above.sum())
