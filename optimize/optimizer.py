"""The contract by which anything can be searched: ask for points, tell their scores, in any order and any split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from manyhands.optimize.cube import Floats, Ints
from manyhands.optimize.evaluations import Batch, Rows
from manyhands.optimize.request import request
from manyhands.optimize.result import FrontPoint
from manyhands.optimize.search import Counts, Search
from manyhands.optimize.space import Space
from manyhands.optimize.tally import Best


class Points(Batch):
    """A Batch, and what its points stand for. See `Batch` for the arrays.

    params: n dicts of plain values; columns: the same as (n,) arrays by name.
    """

    space: Space

    @classmethod
    def of(cls, batch: Batch, space: Space) -> Points:
        """These, in that space."""
        points = cls(*batch)
        points.space = space
        return points

    @property
    def params(self) -> list[dict[str, Any]]:
        return self.space.params(self.U)

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        return self.space.decode(self.U)


class Optimizer:
    """Any method by its name, to be asked and told from your own loop.

        optimizer = Optimizer(space, method="ga", budget=1000, seed=7)
        while not optimizer.done():
            points = optimizer.ask(10)
            optimizer.tell(points.ids, [f(params) for params in points.params])

    What is proposed does not depend on how many points are asked for at a time, nor on the order in which they are
    told (but in mode "async"). A point that was proposed before is not asked for again unless `noisy`.
    """

    def __init__(self, space: Space | Mapping[str, Any], *, state: bytes | None = None, **asked: Any) -> None:
        """asked: as of `minimize`, but for what has to do with evaluating. state: of one made with the same arguments
        (the seed, too), to go on from. Raises ValueError for what cannot be asked for, StateRefused.
        """
        for name in ("time_limit", "constraints", "batch"):
            if name in asked:
                raise TypeError(f"{name} is for who evaluates: an Optimizer is only asked and told")
        what = request(_nothing, space, **asked)
        self.space = what.space
        #: How many scores a point has.
        self.objectives = what.plan.objectives
        self._search = Search(what.plan, state)

    def ready(self) -> int:
        """How many points there are to be asked for now, before further ones are told."""
        return self._search.ready()

    def ask(self, n: int | None = None) -> Points:
        """The next points, `n` at most, or all there are now; none if others have to be told first. Never blocks."""
        return Points.of(self._search.ask(n), self.space)

    def tell(
        self,
        ids: Sequence[int] | Ints,
        F: ArrayLike,
        status: ArrayLike | None = None,
        V: ArrayLike | None = None,
        cost: ArrayLike | None = None,
    ) -> None:
        """Scores of (k,) points, in the user's direction: see `Search.tell`."""
        self._search.tell(ids, F, status, V, cost)

    def done(self) -> str | None:
        """Why it is over; None: it is not. See `Search.done`."""
        return self._search.done()

    def best(self) -> Best | None:
        """The best point so far, with one objective."""
        return self._search.best()

    def best_params(self) -> dict[str, Any] | None:
        """What it stands for."""
        best = self._search.best()
        return None if best is None else self.space.params(best.U[np.newaxis])[0]

    def front(self) -> list[FrontPoint]:
        """With several objectives: the points that no other one dominates."""
        return list(FrontPoint.all_of(self._search.front(), self.space))

    def counts(self) -> Counts:
        """How far it is."""
        return self._search.counts()

    def take_history(self) -> Rows | None:
        """What has counted since this was called last, see `Rows`; whoever wants a history keeps it."""
        return self._search.take_history(all_of_it=True)

    def state(self) -> bytes:
        """All that it is: points that are out are handed out again by who goes on from it."""
        return self._search.state()


def _nothing(_params: dict[str, Any]) -> Floats:
    raise NotImplementedError("an Optimizer evaluates nothing")
