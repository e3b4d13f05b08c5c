"""What a search came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from manyhands.optimize.cube import Floats, Ints
from manyhands.optimize.history import History
from manyhands.optimize.space import Space

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Stats(NamedTuple):
    """total_evaluations: those that counted; of these `failed` did, and `cached` need not have run, as their point had
    been evaluated before. seconds: from the first proposal to the end; busy_seconds: what the objective took, all
    together; num_workers: slots, as a mean over that time. throughput: evaluations a second; speedup: busy_seconds for
    each second; efficiency: that for each slot.
    """

    total_evaluations: int
    failed: int
    cached: int
    seconds: float
    busy_seconds: float
    num_workers: float

    @property
    def throughput(self) -> float:
        return self.total_evaluations / self.seconds if self.seconds else 0.0

    @property
    def speedup(self) -> float:
        return self.busy_seconds / self.seconds if self.seconds else 0.0

    @property
    def efficiency(self) -> float:
        return self.speedup / self.num_workers if self.num_workers else 0.0


class FrontPoint(NamedTuple):
    """A point that no other one dominates."""

    id: int
    params: dict[str, Any]
    scores: tuple[float, ...]

    @classmethod
    def all_of(cls, front: tuple[Ints, Floats, Floats], space: Space) -> tuple[FrontPoint, ...]:
        """Those of a front, see Search.front."""
        ids, U, F = front
        points = zip(ids.tolist(), space.params(U), F.tolist(), strict=True)
        return tuple(cls(id, params, tuple(scores)) for id, params, scores in points)


@dataclass(frozen=True, eq=False)
class OptimizeResult:
    """reason: why it ended: "target", "budget", "generations", "stagnation", "exhausted", "time limit", or "stopped".

    With one objective `best_params` and `best_score` are those of the best evaluation that violates no constraint, or
    else least; None if all evaluations failed. With several objectives they are None, and `front` has those points
    that no other one dominates. history: all evaluations; seed: to do it again, and in mode "async" arrivals: see
    `minimize`. They are the history's ids, and among them, wherever more evaluations were let out at a time, how many,
    as a negative number.
    """

    best_params: dict[str, Any] | None
    best_score: float | None
    best_violation: float
    front: tuple[FrontPoint, ...]
    history: History
    stats: Stats
    reason: str
    seed: int
    arrivals: Ints | None
    space: Space
    directions: tuple[str, ...]

    def plot(self) -> Figure:
        """Convergence, the parameters' importance, and the front if there is one. Needs matplotlib: ImportError tells
        how to get it.
        """
        from manyhands.optimize.plots import plot

        return plot(self)

    def __repr__(self) -> str:
        found = f"front of {len(self.front)}" if len(self.directions) > 1 else f"best_score={self.best_score!r}"
        done = self.stats.total_evaluations
        return f"<{type(self).__name__} {found} of {done} evaluations, ended by {self.reason!r}, seed={self.seed}>"
