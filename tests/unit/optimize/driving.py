"""Drives a method without the engine: proposes in blocks, evaluates, and tells in order, in any of the modes."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from tests.unit.optimize.functions import Values

from manyhands.optimize import packing
from manyhands.optimize.algorithm import Algorithm, Told
from manyhands.optimize.cube import Cube, Floats
from manyhands.optimize.random_streams import Use, stream


class Drive:
    """window 0: a generation at a time; otherwise so many out, in eighths. failing: a share."""

    def __init__(self, cube: Cube, method: Algorithm, values: Values, window: int = 0, failing: float = 0.0) -> None:
        self.cube, self.method, self.values, self.window, self.failing = cube, method, values, window, failing
        self.out: deque[tuple[Any, Floats, dict[str, Any]]] = deque()
        self.first = self.done = self.commits = 0
        self.points: list[Floats] = []
        self.best = np.inf

    def run(self, budget: int) -> float:
        """The best score."""
        while self.done < budget:
            while self.first < budget:
                n = max(1, self.window // 8) if self.window else self.method.size
                waiting = self.first - self.done
                if waiting + n > self.window if self.window else waiting:
                    break
                self._propose(min(n, budget - self.first))
            self._commit()
        return self.best

    def _propose(self, n: int) -> None:
        proposal = self.method.propose(self.first, n, stream(7, Use.PROPOSE, self.first))
        assert proposal.U.shape == (n, self.cube.d)
        assert np.isfinite(proposal.U).all()
        assert all(len(part) == n for part in proposal.own.values())
        ids = np.arange(self.first, self.first + n)
        self.out.append((ids, self.cube.snap(proposal.U), proposal.own))
        self.first += n

    def _commit(self) -> None:
        ids, U, own = self.out.popleft()
        rng = stream(7, Use.COMMIT, int(ids[0]))
        ok = rng.random(len(ids)) >= self.failing
        F = np.where(ok, self.values(U), np.nan)
        self.method.commit(Told(ids, U, F[:, np.newaxis], np.where(ok, 0.0, np.inf), ok, own), rng)
        self.done += len(ids)
        self.points.append(U)
        self.best = float(np.fmin(self.best, np.fmin.reduce(F)))

    def hand_over(self, method: Algorithm) -> Drive:
        """The same search, with a method made alike that has loaded this one's state."""
        method.load(packing.unpack(packing.pack(self.method.state())))
        other = Drive(self.cube, method, self.values, self.window, self.failing)
        other.out = deque((ids, U, {name: part.copy() for name, part in own.items()}) for ids, U, own in self.out)
        other.first, other.done, other.best = self.first, self.done, self.best
        return other
