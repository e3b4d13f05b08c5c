"""Methods that learn nothing: grid, random, latin and sobol. Each point is a function of (seed, id) alone."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from manyhands.optimize import settings
from manyhands.optimize.algorithm import Proposal, State, Told
from manyhands.optimize.cube import LEVELS_MAX, Cube, Floats, Ints
from manyhands.optimize.permutation import LENGTH_MAX, permuted
from manyhands.optimize.random_streams import Use, stream
from manyhands.optimize.sobol_numbers import BITS, DIMENSIONS_MAX, directions

#: Points of a generation, and of a latin design if there is no budget.
SIZE = 1000
#: Points that are made at a time, as a power of 2, and at most so many coordinates: fewer cost more each.
_CHUNK_BITS = 9
_CHUNK_COORDINATES = 2**18


class _Sampler(ABC):
    """`initial` points come first, (k, d); the others do not depend on them, but for the design of `Latin`.

    `generation` counts SIZE points each.
    """

    size = least_window = SIZE
    #: How many points there are, initial ones aside; None if there is no end.
    _cardinality: int | None = None

    def __init__(self, cube: Cube, *, seed: int, budget: int | None = None, initial: Floats | None = None) -> None:
        self.cube = cube
        self.seed = seed
        self._initial = np.empty((0, cube.d)) if initial is None else np.asarray(initial, dtype=np.float64)
        self.generation = 0
        self.is_exhausted = False
        self._proposed = self._committed = 0
        self._chunk_bits = max(0, min(_CHUNK_BITS, (_CHUNK_COORDINATES // cube.d).bit_length() - 1))
        # The last chunk made and its number: a memory, no state.
        self._chunk = np.empty((0, cube.d))
        self._chunk_number = -1

    @abstractmethod
    def _points(self, first: int, n: int) -> Floats:
        """(n, d), from the one of that index on; the first after the initial points has index 0."""

    def propose(self, first: int, n: int, rng: np.random.Generator) -> Proposal:
        known = len(self._initial)
        end = first + n if self._cardinality is None else min(first + n, known + self._cardinality)
        self._have(max(self._proposed, end), self._committed)
        blocks = [self._initial[first:end]]
        at, end = max(first - known, 0), end - known
        while at < end:
            number = at >> self._chunk_bits
            begin = number << self._chunk_bits
            if number != self._chunk_number:
                self._chunk, self._chunk_number = self._points(begin, 1 << self._chunk_bits), number
            blocks.append(self._chunk[at - begin : end - begin])
            at = begin + (1 << self._chunk_bits)
        return Proposal(np.concatenate(blocks), {})

    def commit(self, told: Told, rng: np.random.Generator) -> None:
        self._have(self._proposed, self._committed + len(told.ids))

    def _have(self, proposed: int, committed: int) -> None:
        self._proposed, self._committed = proposed, committed
        self.generation = committed // self.size
        self.is_exhausted = self._cardinality is not None and proposed >= len(self._initial) + self._cardinality

    def state(self) -> State:
        return {"proposed": self._proposed, "committed": self._committed}

    def load(self, state: State) -> None:
        self._have(int(state["proposed"]), int(state["committed"]))

    def _uniform(self, first: int, n: int) -> Floats:
        """(n, d) in [0, 1), independent of one another: rows of one long table."""
        # One step of Philox makes four numbers; what has to begin with a step is a row.
        steps = -(-self.cube.d // 4)
        rng = stream(self.seed, Use.DESIGN, 0)
        rng.bit_generator.advance(first * steps)  # type: ignore[attr-defined]  # of Philox, which it is
        rows: Floats = rng.random((n, 4 * steps))[:, : self.cube.d]
        return rows


class Grid(_Sampler):
    """Every point once, the last parameter fastest; computed from its index, so any number of points begins at once.

    points: how many of a continuous parameter, evenly from end to end: one number for all of them, or one for each.
    """

    def __init__(
        self,
        cube: Cube,
        *,
        seed: int,
        budget: int | None = None,
        initial: Floats | None = None,
        points: int | Sequence[int] | None = None,
    ) -> None:
        """Raises ValueError if `points` is missing or no such number."""
        super().__init__(cube, seed=seed, budget=budget, initial=initial)
        counts = [column.levels for column in cube.columns]
        for at, count in zip(np.flatnonzero(cube.is_continuous).tolist(), self._counts(points), strict=True):
            counts[at] = count
        self.cardinality = self._cardinality = math.prod(counts)
        # Ids are below 2 ** 63: what would begin beyond that stays at its first value.
        strides = [1]
        for count in reversed(counts[1:]):
            strides.append(min(strides[-1] * count, 2**63 - 1))
        self._strides: Ints = np.array(strides[::-1], dtype=np.int64)
        self._radices: Ints = np.array(counts, dtype=np.int64)

    def _counts(self, points: int | Sequence[int] | None) -> list[int]:
        """One for each continuous column."""
        wanted = int(self.cube.is_continuous.sum())
        if points is None and wanted:
            raise ValueError(
                f"points: a grid needs to know how many of each of the {wanted} continuous parameters; give points=10, "
                "a list of one number for each, or a step to the parameters"
            )
        counts = list(points) if isinstance(points, Sequence) else [points] * wanted
        if len(counts) != wanted:
            raise ValueError(f"points: {len(counts)} numbers for {wanted} continuous parameters")
        return [settings.whole("points", count, 1, LEVELS_MAX) for count in counts]

    def _points(self, first: int, n: int) -> Floats:
        index = first + np.arange(min(n, self.cardinality - first), dtype=np.int64)
        digits = index[:, np.newaxis] // self._strides % self._radices
        U = self.cube.at_level(np.where(self.cube.is_continuous, 0, digits))
        at = np.flatnonzero(self.cube.is_continuous)
        last = self._radices[at] - 1
        U[:, at] = np.where(last > 0, digits[:, at] / np.maximum(last, 1), 0.5)
        return U


class Random(_Sampler):
    """Each point by itself, uniformly."""

    def _points(self, first: int, n: int) -> Floats:
        return self._uniform(first, n)


class Latin(_Sampler):
    """Latin hypercubes (McKay, Beckman, Conover 1979), one after the other: of as many points as the budget leaves
    beside the initial ones, or of SIZE without a budget.

    In a design of n points, a continuous parameter has one in each of n parts of the same width, and each of k levels
    comes floor(n / k) or ceil(n / k) times; logarithmic ones are parted like continuous ones.
    """

    def __init__(self, cube: Cube, *, seed: int, budget: int | None = None, initial: Floats | None = None) -> None:
        super().__init__(cube, seed=seed, budget=budget, initial=initial)
        self.design = SIZE if budget is None else min(max(budget - len(self._initial), 1), LENGTH_MAX)
        # A chunk of many small designs would cost more than it saves.
        self._chunk_bits = min(self._chunk_bits, self.design.bit_length())
        self._even = np.flatnonzero(~cube.is_continuous & ~cube.is_log)

    def _points(self, first: int, n: int) -> Floats:
        within = self._uniform(first, n)
        blocks = []
        at = first
        while at < first + n:
            number, index = divmod(at, self.design)
            count = min(self.design - index, first + n - at)
            indices = np.arange(index, index + count, dtype=np.int64)
            blocks.append(self._part(number, indices, within[at - first : at - first + count]))
            at += count
        return np.concatenate(blocks)

    def _part(self, number: int, indices: Ints, within: Floats) -> Floats:
        """Those points of the design of that number."""
        n = self.design
        rng = stream(self.seed, Use.DESIGN, 1 + number)
        parts = permuted(indices, n, rng, self.cube.d)
        U: Floats = (parts + within) / n
        if len(at := self._even):
            # Level (part * k + begin) // n, for a random begin below k, without what would not fit into 64 bits.
            levels = self.cube.levels.astype(np.int64)
            begin = rng.integers(levels)
            (whole, rest), (begin_whole, begin_rest) = np.divmod(levels, n), np.divmod(begin, n)
            level = parts * whole + begin_whole + (parts * rest + begin_rest) // n
            U[:, at] = self.cube.at_level(level)[:, at]
        return U


class Sobol(_Sampler):
    """A Sobol sequence (Joe and Kuo 2008), scrambled by the seed: random linear scrambling and a digital shift
    (Matousek 1998). Any 2 ** k points from a multiple of it on are as even as can be.
    """

    size = least_window = 1024

    def __init__(self, cube: Cube, *, seed: int, budget: int | None = None, initial: Floats | None = None) -> None:
        """Raises ValueError for more dimensions than it has numbers for."""
        super().__init__(cube, seed=seed, budget=budget, initial=initial)
        if cube.d > DIMENSIONS_MAX:
            raise ValueError(f"sobol knows up to {DIMENSIONS_MAX} parameters, not {cube.d}: use latin or random")
        rng = stream(seed, Use.DESIGN, 0)
        plain = directions(cube.d)
        self._shift = rng.integers(2**BITS, size=cube.d, dtype=np.uint64)
        # Each digit of a coordinate, from the first, changes itself not at all and those after it at random.
        self._vectors = np.zeros_like(plain)
        for place in range(BITS):
            digit = np.uint64(1 << (BITS - 1 - place))
            changes = rng.integers(int(digit), size=(cube.d, 1), dtype=np.uint64) | digit
            self._vectors ^= np.where(plain & digit, changes, np.uint64(0))

    def _points(self, first: int, n: int) -> Floats:
        digits = np.tile(self._shift, (n, 1))
        index = np.arange(first, first + n, dtype=np.uint64)[:, np.newaxis]
        for bit in range((first + n - 1).bit_length()):
            digits ^= np.where(index >> np.uint64(bit) & np.uint64(1), self._vectors[:, bit], np.uint64(0))
        return digits.astype(np.float64) * 2.0**-BITS
