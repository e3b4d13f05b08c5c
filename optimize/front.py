"""Several objectives: who dominates whom, how crowded a front is, what it covers; and the front of all that was found.

F: (n, m), to be minimised; V: (n,), how far constraints are violated, 0 where they hold. Neither has nan.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from manyhands.optimize.algorithm import State, Told
from manyhands.optimize.cube import Floats, Ints

#: Points of a front that are kept, if nothing else is said.
LIMIT = 1000

#: Rows that are compared with a front at a time: bounds the memory that a long table takes.
_CHUNK = 512
#: One of so many surplus points is dropped before crowding is computed anew.
_ROUNDS = 8


def _covers(F: Floats, G: Floats) -> NDArray[np.bool_]:
    """(n, m), (k, m) -> (n, k): whether F[i] is nowhere worse than G[j]."""
    covers = np.ones((len(F), len(G)), dtype=np.bool_)
    for mine, theirs in zip(F.T, G.T, strict=True):
        covers &= mine[:, np.newaxis] <= theirs
    return covers


def ranks(F: Floats, V: Floats | None = None) -> Ints:
    """(n,) from 0: the fronts that are left when those before are taken away, one by one (Deb et al. 2002).

    V: who violates less dominates who violates more, and those that do not violate anything are compared by F.
    """
    covers = _covers(F, F)
    dominates = covers & ~covers.T
    if V is not None and V.any():
        dominates &= (V <= 0) & (V <= 0)[:, np.newaxis]
        dominates |= V[:, np.newaxis] < V
    rank = np.zeros(len(F), dtype=np.int64)
    dominators = dominates.sum(axis=0)
    front, level = np.flatnonzero(dominators == 0), 0
    while len(front):
        rank[front] = level
        dominators[front] = -1
        dominators -= dominates[front].sum(axis=0)
        front, level = np.flatnonzero(dominators == 0), level + 1
    return rank


def crowding(F: Floats, rank: Ints | None = None) -> Floats:
    """(n,), inf at the ends of a front: how far a point's neighbours are from each other, summed over the objectives,
    in units of the front's range (Deb et al. 2002). 0 for scores that an earlier row of the front has already.

    rank: (n,), the front that each is of; None: all are of one.
    """
    if not len(F):
        return np.zeros(0)
    of = np.zeros(len(F), dtype=np.int64) if rank is None else rank
    F = _finite(F)
    sizes = np.bincount(of)
    sizes = sizes[sizes > 0]
    ends = np.cumsum(sizes) - 1
    begins = ends + 1 - sizes
    distance = np.zeros(len(F))
    order = np.zeros(0, dtype=np.int64)
    for column in F.T:
        # Front by front; the other objectives bring those together that are the same in all.
        order = np.lexsort((*F.T, column, of))
        values = column[order]
        span = values[ends] - values[begins]
        gap = np.full(len(F), np.inf)
        gap[1:-1] = values[2:] - values[:-2]
        gap /= np.repeat(np.where(span > 0, span, 1.0), sizes)
        gap[begins] = gap[ends] = np.inf
        distance[order] += gap
    keys = np.column_stack([of, F])[order]
    distance[order[1:][(keys[1:] == keys[:-1]).all(axis=1)]] = 0.0
    return distance


def _finite(F: Floats) -> Floats:
    """Infinite scores take the place of the largest or least finite one of their column."""
    finite = np.isfinite(F)
    if finite.all():
        return F
    low = np.min(F, axis=0, initial=np.inf, where=finite)
    high = np.max(F, axis=0, initial=-np.inf, where=finite)
    return np.where(finite.any(axis=0), np.clip(F, low, high), 0.0)


def thinned(F: Floats, keep: int) -> Ints:
    """(keep,) rows of one front, (n, m): the most crowded are dropped, and crowding is computed anew for those left as
    they go (Kukkonen & Deb 2006): dropping all at once leaves holes, for neighbours are crowded together.
    """
    left = np.arange(len(F))
    while (surplus := len(left) - keep) > 0:
        crowded = np.argsort(crowding(F[left]), kind="stable")
        left = left[np.sort(crowded[-(-surplus // _ROUNDS) :])]
    return left


def nondominated(F: Floats, V: Floats, ok: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n,): which rows of a table of any length no other dominates. Failed ones, not `ok`, are none and dominate none;
    while all violate the constraints, it is those that do so least.
    """
    best = np.zeros(len(F), dtype=np.bool_)
    if not ok.any():
        return best
    least = V[ok].min()
    rows = np.flatnonzero(ok & np.equal(V, least))
    if least > 0:
        best[rows] = True
        return best
    # None is dominated by a row that comes later in this order, equals aside.
    rows = rows[np.lexsort(F[rows].T[::-1])]
    front = rows[:0]
    for at in range(0, len(rows), _CHUNK):
        chunk = rows[at : at + _CHUNK]
        chunk = chunk[~(_covers(F[front], F[chunk]) & ~_covers(F[chunk], F[front]).T).any(axis=0)]
        chunk = chunk[ranks(F[chunk]) == 0]
        front = np.concatenate([front, chunk])
    best[front] = True
    return best


def hypervolume_2d(F: Floats, reference: Floats) -> float:
    """The area that (n, 2) points dominate, as far as `reference`, (2,): exact. Points beyond it add nothing."""
    inside = F[np.less(F, reference).all(axis=1)]
    inside = inside[np.lexsort((inside[:, 1], inside[:, 0]))]
    floor = np.minimum.accumulate(np.append(reference[1], inside[:, 1]))
    return float(((reference[0] - inside[:, 0]) * (floor[:-1] - floor[1:])).sum())


class Front:
    """The nondominated points of all that were told, in the order of their ids, of equal scores the first. Only what
    violates no constraint counts. Beyond `limit` the most crowded are dropped.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        """Raises ValueError for a limit below 1."""
        if limit < 1:
            raise ValueError(f"a front keeps at least 1 point, not {limit}")
        self.limit = limit
        self.ids: Ints = np.zeros(0, dtype=np.int64)
        #: (k, d) and (k, m); without columns while there are no points.
        self.U: Floats = np.zeros((0, 0))
        self.F: Floats = np.zeros((0, 0))

    def add(self, told: Told) -> None:
        """All that is committed, block by block."""
        rows = np.flatnonzero(told.ok & (told.V <= 0))
        if not len(rows):
            return
        F = told.F[rows]
        # Who is nowhere better than another, or than an equal that came before, adds nothing.
        covers = _covers(F, F)
        is_new = ~(covers & (~covers.T | np.tri(len(F), k=-1, dtype=np.bool_).T)).any(axis=0)
        if len(self.ids):
            is_new &= ~_covers(self.F, F).any(axis=0)
        rows, F = rows[is_new], F[is_new]
        if not len(rows):
            return
        ids, U = told.ids[rows], told.U[rows]
        if len(self.ids):
            stays = ~_covers(F, self.F).any(axis=0)
            ids = np.concatenate([self.ids[stays], ids])
            U = np.concatenate([self.U[stays], U])
            F = np.concatenate([self.F[stays], F])
        left = thinned(F, self.limit)
        left = left[np.argsort(ids[left], kind="stable")]
        self.ids, self.U, self.F = ids[left], U[left], F[left]

    def state(self) -> State:
        """For `load`."""
        return {"ids": self.ids, "U": self.U, "F": self.F}

    def load(self, state: State) -> None:
        """Be as the one whose state this is."""
        self.ids, self.U, self.F = state["ids"], state["U"], state["F"]
