"""Points to begin with: spread evenly over each parameter, after those that the caller knows already."""

from __future__ import annotations

import numpy as np

from manyhands.optimize.cube import Cube, Floats, Ints


def latin(cube: Cube, n: int, rng: np.random.Generator) -> Floats:
    """(n, d) snapped points: a latin hypercube (McKay, Beckman, Conover 1979), stratified on what a column really has.

    A continuous column has one point in each of n parts of the same width. One of k levels has each of them
    floor(n / k) or ceil(n / k) times: if there are more levels than points, none twice. A logarithmic one, whose levels
    are of different widths, is cut like a continuous one. Raises ValueError for more points than there is room for.
    """
    cube.check_room(n)
    part = rng.permuted(np.tile(np.arange(n)[:, np.newaxis], (1, cube.d)), axis=0)
    within = rng.random((n, cube.d))
    points: Floats = (part + within) / max(n, 1)
    is_even = ~cube.is_continuous & ~cube.is_log
    few = np.flatnonzero(is_even & (cube.levels <= n))
    many = np.flatnonzero(is_even & (cube.levels > n))
    if len(few):
        levels = cube.levels[few].astype(np.int64)
        # Where the parts begin is random for each column, so that each level may be one of those with a point more.
        points[:, few] = _middle((part[:, few] * levels + rng.integers(levels)) // n, levels)
    if len(many):
        levels = cube.levels[many].astype(np.int64)
        begin, end = (np.ceil((part[:, many] + step) * cube.levels[many] / n) for step in (0, 1))
        drawn = (begin + np.floor(within[:, many] * (end - begin))).astype(np.int64)
        points[:, many] = _middle(np.minimum(drawn, levels - 1), levels)
    return cube.snap(points)


def beginning(cube: Cube, n: int, initial: Floats | None, rng: np.random.Generator) -> Floats:
    """(max(n, k), d) snapped points: first the k `initial` ones, then a latin hypercube of as many as lack."""
    known = np.empty((0, cube.d)) if initial is None else cube.snap(np.asarray(initial, dtype=np.float64))
    return np.concatenate([known, latin(cube, max(n - len(known), 0), rng)])


def _middle(level: Ints, levels: Ints) -> Floats:
    middle: Floats = (level + 0.5) / levels
    return middle
