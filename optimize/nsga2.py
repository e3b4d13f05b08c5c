"""NSGA-II (Deb, Pratap, Agarwal & Meyarivan 2002), for several objectives: method "nsga2"."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manyhands.optimize import settings
from manyhands.optimize.breeding import Breeding, Members
from manyhands.optimize.cube import Cube, Floats, Ints
from manyhands.optimize.front import crowding, ranks, thinned
from manyhands.optimize.variation import Variation


class NSGA2(Breeding):
    """An Algorithm. Whatever is told joins the members, each point once, and the worst beyond `population` leave: those
    of the last fronts, of the one that is not kept whole the most crowded. Told a generation at a time, this is the
    paper's (mu + lambda); told less at a time, the steady-state variant of it (Durillo, Nebro,
    Luna & Alba 2009).
    """

    def __init__(
        self,
        cube: Cube,
        *,
        seed: int = 0,
        budget: int | None = None,
        initial: Floats | None = None,
        population: int | None = None,
        **variation: Any,
    ) -> None:
        """population: None: 100, fewer for a budget of less than 2000. variation: see Variation, which has the rest of
        the settings. Raises ValueError for what is not allowed.
        """
        settings.known("nsga2", variation, ["population", *(field.name for field in fields(Variation))])
        super().__init__(
            cube,
            seed=seed,
            budget=budget,
            initial=initial,
            population=population,
            variation=Variation(**variation),
        )

    def _succeed(self, told: Members, ok: NDArray[np.bool_]) -> None:
        joined = told.take(np.flatnonzero(ok)).and_then(self._members)
        if len(joined.U):
            joined = joined.distinct()
            self._members = joined.take(survivors(joined.F, joined.V, self.size))


def survivors(F: Floats, V: Floats, most: int) -> Ints:
    """(n, m), (n,) -> (min(n, most),) rows, by their front, then from the least crowded to the most (the paper's
    crowded comparison, with constraints).
    """
    rank = ranks(F, V)
    rows = np.argsort(rank, kind="stable")
    if len(rows) > most:
        last = rank[rows[most - 1]]
        whole, cut = rows[rank[rows] < last], rows[rank[rows] == last]
        rows = np.concatenate([whole, cut[thinned(F[cut], most - len(whole))]])
    return rows[np.lexsort((-crowding(F[rows], rank[rows]), rank[rows]))]
