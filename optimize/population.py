"""Members, each in a slot of its own that children challenge, and an archive of those that were beaten."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from manyhands.optimize.algorithm import Scores, State
from manyhands.optimize.cube import Floats, Ints


class Population:
    """Rows come and go; a slot is a number that stays with its row until that is dropped.

    A row is good once an evaluation that did not fail is in it. Until then it is no parent, and every success beats it.
    """

    def __init__(self, n: int, d: int, archive: float) -> None:
        """archive: how many of the beaten are kept, for each member."""
        self._archive = archive
        self._slots = n
        #: (n + archive, d): the members, from `archive_at` on the archive.
        self.X = np.zeros((n + int(archive * n), d))
        self.archive_at = n
        self.archived = 0
        self.slot = np.arange(n)
        self.scores = Scores(np.full(n, np.nan), np.full(n, np.inf), np.zeros(n, dtype=bool))
        self._index()

    @property
    def size(self) -> int:
        """How many rows there are."""
        return len(self.slot)

    @property
    def members(self) -> Floats:
        """(size, d)"""
        return self.X[: self.size]

    def row_of(self, slots: Ints) -> Ints:
        """(n,) slots -> rows; -1 where it was dropped."""
        return self._row_of[slots]

    def challenge(self, slots: Ints, X: Floats, new: Scores, rng: np.random.Generator) -> Floats:
        """Each of n points replaces what is in its slot if it is no worse; of several for one slot the best one tries.

        A slot that is gone stands for that of the worst. Returns (n,) how much better each was than what it replaced:
        0 if it was not, did not replace, or replaced nothing good.
        """
        gain = np.zeros(len(slots))
        rows = self._row_of[slots]
        self._replace(rows, np.flatnonzero(rows >= 0), X, new, gain, rng)
        if len(gone := np.flatnonzero((rows < 0) & new.ok)):
            gone = gone[_of(new, gone).order()][: self.size]
            rows[gone] = self.scores.order()[::-1][: len(gone)]
            self._replace(rows, gone, X, new, gain, rng)
        return gain

    def _replace(self, rows: Ints, which: Ints, X: Floats, new: Scores, gain: Floats, rng: np.random.Generator) -> None:
        old = self.scores
        if len(which) > 1 and np.bincount(rows[which]).max() > 1:
            order = which[_of(new, which).order()]
            which = order[np.unique(rows[order], return_index=True)[1]]
        rows = rows[which]
        challengers, holders = _of(new, which), _of(old, rows)
        won = challengers.beat(holders)
        which, rows = which[won], rows[won]
        if not len(which):
            return
        challengers, holders = _of(challengers, won), _of(holders, won)
        with np.errstate(invalid="ignore"):  # inf - inf, which is no gain
            better = np.where(holders.V > 0, holders.V - challengers.V, holders.F - challengers.F)
        gain[which] = np.where(holders.ok & np.isfinite(better), better, 0.0)
        self._store(self.X[rows[gain[which] > 0]], rng)
        self.X[rows] = X[which]
        old.F[rows], old.V[rows], old.ok[rows] = challengers
        self.rank()

    def _store(self, beaten: Floats, rng: np.random.Generator) -> None:
        """Into the archive; once that is full, in the place of any."""
        capacity = int(self._archive * self.size)
        free = min(max(capacity - self.archived, 0), len(beaten))
        at = self.archived + np.arange(len(beaten))
        if capacity and len(beaten) > free:
            at[free:] = rng.integers(capacity, size=len(beaten) - free)
        kept = len(beaten) if capacity else 0
        self.X[self.archive_at + at[:kept]] = beaten[:kept]
        self.archived += free

    def put(self, row: int, x: Floats, f: float, v: float) -> None:
        """A member that was evaluated elsewhere."""
        self.X[row] = x
        self.scores.F[row], self.scores.V[row], self.scores.ok[row] = f, v, True
        self.rank()

    def reduce(self, size: int) -> Ints:
        """Drop the worst. Returns the rows that stayed."""
        keep = np.sort(self.scores.order()[:size])
        self.X[: len(keep)] = self.X[keep]
        self.scores = _of(self.scores, keep)
        self.slot = self.slot[keep]
        self.archived = min(self.archived, int(self._archive * len(keep)))
        self._index()
        return keep

    def _index(self) -> None:
        self._row_of = np.full(self._slots, -1)
        self._row_of[self.slot] = np.arange(self.size)
        self.rank()

    def rank(self) -> None:
        scores = self.scores
        if scores.ok.all() and not scores.V.any():
            good = np.argsort(scores.F, kind="stable")
        else:
            good = scores.order()[: np.count_nonzero(scores.ok)]
        #: Rows of good members, the best first; and where each is in there.
        self.good = good
        self.place = np.zeros(self.size, dtype=np.int64)
        self.place[good] = np.arange(len(good))

    def state(self) -> State:
        scores = self.scores
        archive = self.X[self.archive_at : self.archive_at + self.archived]
        parts = {"slots": self._slots, "slot": self.slot, "members": self.members, "archive": archive}
        return {**parts, "F": scores.F, "V": scores.V, "ok": scores.ok}

    def load(self, state: State) -> None:
        self.__init__(state["slots"], self.X.shape[1], self._archive)  # type: ignore[misc]  # all of it is replaced
        self.slot = state["slot"].copy()
        self.X[: self.size] = state["members"]
        self.archived = len(state["archive"])
        self.X[self.archive_at : self.archive_at + self.archived] = state["archive"]
        self.scores = Scores(state["F"].copy(), state["V"].copy(), state["ok"].copy())
        self._index()


def _of(scores: Scores, which: Ints | NDArray[np.bool_]) -> Scores:
    return Scores(scores.F[which], scores.V[which], scores.ok[which])
