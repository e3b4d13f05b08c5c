"""What a method is: proposals out, their scores in, in an order that is always the same; and all that it is, saved."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from manyhands.optimize.cube import Floats, Ints

#: Arrays, whose first axis counts members or nothing in particular, and what JSON can say.
State = dict[str, Any]


class Proposal(NamedTuple):
    """U: (n, d) points in the cube, snapped or not. own: what the method wants to be told again with their scores, by
    name: arrays of n rows each, the same names and types for every proposal of a method.
    """

    U: Floats
    own: dict[str, NDArray[Any]]


class Told(NamedTuple):
    """What became of proposals, in the order of their ids.

    ids: (n,); U: (n, d), snapped; F: (n, m), to be minimised, of m objectives, inf where a score is as bad as can be,
    nan where the evaluation failed; V: (n,), how far the constraints are violated in all, 0 where they hold, inf where
    the evaluation failed; ok: (n,), whether it did not; own: see Proposal.
    """

    ids: Ints
    U: Floats
    F: Floats
    V: Floats
    ok: NDArray[np.bool_]
    own: dict[str, NDArray[Any]]


class Algorithm(Protocol):
    """A method. Pure: the same calls lead to the same points, on any machine of the same numpy.

    Points are proposed in blocks and told in blocks, both in the order of their ids, from 0 on; between the two there
    may be any number of other blocks (`mode`), so a method is told of points that it proposed long ago, and may be
    asked for points when it has been told of none. It is never asked while `is_exhausted`.
    """

    @property
    def size(self) -> int:
        """Points that belong together, at present: a generation. It may change with each commit."""
        ...

    @property
    def least_window(self) -> int:
        """Points that should be out at a time at least, in mode "windowed"."""
        ...

    @property
    def generation(self) -> int:
        """How many generations there were."""
        ...

    @property
    def is_exhausted(self) -> bool:
        """There are no further points."""
        ...

    def propose(self, first: int, n: int, rng: np.random.Generator) -> Proposal:
        """Points `first` to `first + n`; fewer only if the method is exhausted by them. `rng` is for this call only."""
        ...

    def commit(self, told: Told, rng: np.random.Generator) -> None:
        """The next results. `rng` as for `propose`."""
        ...

    def state(self) -> State:
        """All that it is, but not how it was made: to be given to `load` of one made alike."""
        ...

    def load(self, state: State) -> None:
        """Be as the one whose state this is."""
        ...


class Scores(NamedTuple):
    """(n,) each: those of one objective, see Told."""

    F: Floats
    V: Floats
    ok: NDArray[np.bool_]

    def order(self) -> Ints:
        """(n,) indices, from the best to the worst: who violates less comes first, of those who do not violate anything
        who scores less (feasibility rules: Deb 2000); failed ones come last. Equals keep their order.
        """
        if len(self.ok) < 2:  # in mode "async" they often come alone
            return np.arange(len(self.ok))
        return np.lexsort((np.where(self.V > 0, 0.0, self.F), self.V, ~self.ok))

    def beat(self, other: Scores) -> NDArray[np.bool_]:
        """(n,): whether each is at least as good as the other's beside it, by the same rules. A failed one never is."""
        alike = (self.V == other.V) & ((self.V > 0) | (self.F <= other.F))
        beats: NDArray[np.bool_] = self.ok & (~other.ok | (self.V < other.V) | alike)
        return beats
