"""The classical operators of genetic algorithms: who is chosen, how two are crossed, how one is changed.

Members are rows of (N, d) points of a cube, from the best to the worst. Ordered columns are crossed and changed like
continuous ones, between their levels, and snapped later; categorical ones are only exchanged or redrawn.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from manyhands.optimize.cube import Cube, Floats, Ints

#: Chance of each column to be crossed or exchanged, for SBX and uniform crossover.
EXCHANGE = 0.5
#: Values nearer to each other than this are the same for SBX, whose bounds are in units of their distance.
_GAP_MIN = 1e-14


def tournament(members: int, n: int, rng: np.random.Generator, *, rivals: int) -> Ints:
    """(n,) indices: the best of so many `rivals`, drawn with replacement, each time.

    Member i (0 is the best) of N wins with ((N - i) ** k - (N - i - 1) ** k) / N ** k (Blickle & Thiele 1996).
    """
    winners: Ints = rng.integers(members, size=(n, rivals)).min(axis=1)
    return winners


def ranking(members: int, n: int, rng: np.random.Generator, *, pressure: float) -> Ints:
    """(n,) indices, by a roulette wheel whose parts fall linearly from the best to the worst (Baker 1985).

    pressure: 1 to 2, the part of the best in units of the mean; that of the worst is 2 - pressure.
    """
    parts = np.linspace(pressure, 2.0 - pressure, members)
    wheel = np.cumsum(parts) / parts.sum()
    drawn: Ints = np.minimum(np.searchsorted(wheel, rng.random(n), side="right"), members - 1)
    return drawn


def anyone(members: int, n: int, rng: np.random.Generator) -> Ints:
    """(n,) indices, each member alike."""
    return rng.integers(members, size=n)


def sbx(cube: Cube, A: Floats, B: Floats, rng: np.random.Generator, *, eta: float) -> tuple[Floats, Floats]:
    """Simulated binary crossover (Deb & Agrawal 1995) of parents A and B, (n, d) each -> two children of each pair.

    In each column that is crossed the children are beta times as far from the parents' middle as the parents are, one
    on each side. The density of beta is (eta + 1) / 2 * beta ** eta up to 1, and (eta + 1) / 2 / beta ** (eta + 2)
    above, cut off where a child would leave the cube. Which child gets which is drawn.
    """
    drawn = rng.random(A.shape)
    low, high = np.minimum(A, B), np.maximum(A, B)
    gap = high - low
    is_crossed = (drawn < EXCHANGE) & (gap > _GAP_MIN) & ~cube.is_categorical
    gap = np.where(gap > _GAP_MIN, gap, 1.0)
    u = rng.random(A.shape)
    below = (low + high - _spread(u, 1.0 + 2.0 * low / gap, eta) * gap) / 2.0
    above = (low + high + _spread(u, 1.0 + 2.0 * (1.0 - high) / gap, eta) * gap) / 2.0
    is_below_first = drawn < EXCHANGE / 2.0
    C = np.where(is_crossed, np.where(is_below_first, below, above), A)
    D = np.where(is_crossed, np.where(is_below_first, above, below), B)
    return _exchanged(C, D, (drawn < EXCHANGE) & cube.is_categorical)


def _spread(u: Floats, farthest: Floats, eta: float) -> Floats:
    """The quantile u of beta, given that it is at most `farthest`, which is at least 1."""
    mass = u * (2.0 - farthest ** -(eta + 1.0))
    spread: Floats = np.where(mass <= 1.0, mass, 1.0 / (2.0 - mass)) ** (1.0 / (eta + 1.0))
    return spread


def blx(cube: Cube, A: Floats, B: Floats, rng: np.random.Generator, *, alpha: float) -> tuple[Floats, Floats]:
    """BLX-alpha (Eshelman & Schaffer 1993) of parents A and B, (n, d) each -> two children of each pair.

    Each is uniform in the box between its parents, longer by alpha times its length at both ends, inside the cube.
    """
    reach = alpha * np.abs(A - B)
    low, high = np.maximum(np.minimum(A, B) - reach, 0.0), np.minimum(np.maximum(A, B) + reach, 1.0)
    C, D = low + rng.random((2, *A.shape)) * (high - low)
    is_exchanged = rng.random(A.shape) < EXCHANGE
    C = np.where(cube.is_categorical, A, C)
    D = np.where(cube.is_categorical, B, D)
    return _exchanged(C, D, is_exchanged & cube.is_categorical)


def uniform(cube: Cube, A: Floats, B: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Uniform crossover (Syswerda 1989) of parents A and B, (n, d) each: each column is exchanged or not."""
    return _exchanged(A, B, rng.random(A.shape) < EXCHANGE)


def one_point(cube: Cube, A: Floats, B: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Parents A and B, (n, d) each, exchange all columns from a drawn one on, never all of them (Holland 1975)."""
    cut = rng.integers(1, max(cube.d, 2), size=(len(A), 1))
    return _exchanged(A, B, np.arange(cube.d) >= cut)


def two_point(cube: Cube, A: Floats, B: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Parents A and B, (n, d) each, exchange the columns between two drawn ones, the row seen as a ring: at least one,
    never all of them (De Jong 1975). A row of one column stays as it is.
    """
    begin = rng.integers(cube.d, size=(len(A), 1))
    length = rng.integers(1, max(cube.d, 2), size=(len(A), 1))
    is_exchanged = (np.arange(cube.d) - begin) % cube.d < length
    return _exchanged(A, B, is_exchanged & (cube.d > 1))


def _exchanged(A: Floats, B: Floats, where: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    return np.where(where, B, A), np.where(where, A, B)


def polynomial(x: Floats, rng: np.random.Generator, *, eta: float) -> Floats:
    """Polynomial mutation (Deb & Goyal 1996) of values x, (k,) in [0, 1] -> (k,).

    Up or down with the same chance; the density of the step is proportional to (1 - |step|) ** eta, cut off where it
    would leave the interval (as in the authors' program).
    """
    u = rng.random(x.shape)
    is_down = u < 0.5
    room = np.where(is_down, x, 1.0 - x)
    mass = np.where(is_down, 2.0 * u, 2.0 * (1.0 - u))
    length = 1.0 - (mass + (1.0 - mass) * (1.0 - room) ** (eta + 1.0)) ** (1.0 / (eta + 1.0))
    moved: Floats = np.where(is_down, x - length, x + length)
    return moved


def gaussian(x: Floats, rng: np.random.Generator, *, sigma: float) -> Floats:
    """Values x, (k,) in [0, 1] -> (k,): a normal step of that deviation is added; the ends of the interval reflect."""
    moved: Floats = 1.0 - np.abs(1.0 - (x + sigma * rng.standard_normal(x.shape)) % 2.0)
    return moved


def redrawn(x: Floats, rng: np.random.Generator) -> Floats:
    """Values x, (k,) -> (k,), uniform in [0, 1)."""
    return rng.random(x.shape)


def mutate(
    cube: Cube,
    U: Floats,
    where: NDArray[np.bool_],
    rng: np.random.Generator,
    step: Callable[[Floats, np.random.Generator], Floats],
) -> Floats:
    """(n, d) snapped points, (n, d) which of their values are to change -> (n, d).

    step: one of the mutations above. In an ordered column it goes at least to the next level, in a categorical one
    any other level is drawn instead; a column of one level stays.
    """
    rows, columns = np.nonzero(where)
    x = U[rows, columns]
    moved = step(x, rng)
    levels = cube.levels[columns].astype(np.int64)
    old, new = cube.level_of(x, columns), cube.level_of(moved, columns)
    direction = np.where(moved < x, -1, 1)
    direction = np.where((old + direction < 0) | (old + direction >= levels), -direction, direction)
    new = np.where(new == old, np.clip(old + direction, 0, levels - 1), new)
    other = (old + 1 + np.floor(rng.random(x.shape) * (levels - 1)).astype(np.int64)) % levels
    new = np.where(cube.is_categorical[columns], other, new)
    mutated = U.copy()
    mutated[rows, columns] = np.where(cube.is_continuous[columns], moved, cube.at_level(new, columns))
    return mutated
