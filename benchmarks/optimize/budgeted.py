"""Owns the count: what a contestant found within its budget, and in the box."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.optimize.functions import Floats, Function


class Budgeted:
    """A function with a budget: called with points, it scores them, and keeps the best of the first `budget`.

    Points outside of the box are scored as the function is there, and count, but earn no credit.
    """

    def __init__(self, function: Function, budget: int) -> None:
        self.function = function
        self.budget = budget
        self.best = np.inf
        self.used = 0
        #: CPU seconds of this process that the function took.
        self.seconds = 0.0

    @property
    def is_spent(self) -> bool:
        return self.used >= self.budget

    def __call__(self, X: Floats) -> Floats:
        """(n, d) -> (n,)."""
        begun = time.process_time()
        scores = self.function.values(X)
        self.seconds += time.process_time() - begun
        left = max(self.budget - self.used, 0)
        self.used += len(X)
        counted = scores[:left][self.function.allows(X[:left])]
        self.best = min(self.best, float(np.fmin.reduce(counted, initial=np.inf)))
        return scores

    def of_columns(self, columns: Mapping[str, NDArray[Any]]) -> Floats:
        """The same for what an objective of manyhands gets."""
        return self(self.function.code(columns))
