"""Test functions in the unit cube, shifted by their seed: the optimum is anywhere in the central 80 % of the box."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from manyhands.optimize.cube import Column, Cube, Floats, Kind

Values = Callable[[Floats], Floats]


class Problem(NamedTuple):
    """values: (n, d) snapped points to (n,) scores, to be minimised; the least is 0."""

    cube: Cube
    values: Values


def continuous(d: int) -> Cube:
    return Cube([Column(Kind.CONTINUOUS)] * d)


def shifted(raw: Values, half_width: float, d: int, seed: int, rotated: bool = False) -> Problem:
    """`raw` has its optimum at 0, in a box of this half width."""
    rng = np.random.default_rng(seed)
    optimum = rng.uniform(-0.8, 0.8, d) * half_width
    turn = np.linalg.qr(rng.standard_normal((d, d)))[0] if rotated else np.eye(d)
    return Problem(continuous(d), lambda U: raw(((U * 2.0 - 1.0) * half_width - optimum) @ turn))


def sphere(d: int, seed: int) -> Problem:
    return shifted(lambda z: (z * z).sum(axis=1), 5.0, d, seed)


def rastrigin(d: int, seed: int, rotated: bool = False) -> Problem:
    return shifted(lambda z: 10.0 * d + (z * z - 10.0 * np.cos(2 * np.pi * z)).sum(axis=1), 5.12, d, seed, rotated)


def ackley(d: int, seed: int) -> Problem:
    def raw(z: Floats) -> Floats:
        far = -20.0 * np.exp(-0.2 * np.sqrt((z * z).mean(axis=1)))
        values: Floats = far - np.exp(np.cos(2 * np.pi * z).mean(axis=1)) + 20.0 + np.e
        return values

    return shifted(raw, 32.768, d, seed)


def griewank(d: int, seed: int) -> Problem:
    def raw(z: Floats) -> Floats:
        values: Floats = 1 + (z * z).sum(axis=1) / 4000 - np.cos(z / np.sqrt(np.arange(1, d + 1))).prod(axis=1)
        return values

    return shifted(raw, 600.0, d, seed)


def rosenbrock(d: int, seed: int) -> Problem:
    """In [-5, 10]: the optimum, at 1 otherwise, is moved by up to 40 % of the box."""
    shift = np.random.default_rng(seed).uniform(-0.4, 0.4, d) * 15.0 + 1.5

    def values(U: Floats) -> Floats:
        z = U * 15.0 - 5.0 - shift
        valley: Floats = (100.0 * (z[:, 1:] - z[:, :-1] ** 2) ** 2 + (1.0 - z[:, :-1]) ** 2).sum(axis=1)
        return valley

    return Problem(continuous(d), values)


def plateau(d: int, seed: int) -> Problem:
    """Steps: flat nearly everywhere."""
    return shifted(lambda z: np.floor(np.abs(z)).sum(axis=1), 10.0, d, seed)


def mixed(seed: int) -> Problem:
    """4 floats, 1 logarithm, 3 integers, 1 in coarse steps, 3 categoricals; the first moves the floats' optimum."""
    rng = np.random.default_rng(seed)
    columns = [Column(Kind.CONTINUOUS)] * 5 + [Column(Kind.ORDERED, 101)] * 3 + [Column(Kind.ORDERED, 21)]
    cube = Cube([*columns, *[Column(Kind.CATEGORICAL, 6)] * 3])
    optimum = rng.uniform(0.1, 0.9, 9)
    right = rng.integers(6, size=3)
    moves = rng.uniform(-0.3, 0.3, (6, 4))
    moves[right[0]] = 0.0
    cost = rng.uniform(0.2, 2.0, (3, 6))
    cost[np.arange(3), right] = 0.0
    goal = cube.level_of(cube.snap(np.append(optimum, np.full(3, 0.5))[np.newaxis]))[0, 5:9]

    def values(U: Floats) -> Floats:
        level = cube.level_of(U)
        floats = U[:, :4] - np.clip(optimum[:4] + moves[level[:, 9]], 0.05, 0.95)
        apart = (level[:, 5:9] - goal) / np.array([10.0, 10.0, 10.0, 4.0])
        total = (100.0 * floats**2).sum(axis=1) + 25.0 * (U[:, 4] - optimum[4]) ** 2 + (apart**2).sum(axis=1)
        result: Floats = total + cost[np.arange(3), level[:, 9:]].sum(axis=1)
        return result

    return Problem(cube, values)
