"""Owns the functions to be minimised: each is 0 at its optimum, which its seed puts anywhere in 80 % of the box."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manyhands.optimize import Categorical, Float, Int, Space

Floats = NDArray[np.float64]
Values = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Function:
    """One function of one seed. lower, upper: (d,), the box, both included; optimum: (d,), where it is 0.

    values: (n, d) points to (n,) scores, none of which looks at the box. is_whole: (d,), whose values are whole numbers
    only; is_category: (d,), those of them whose order means nothing.
    """

    lower: Floats
    upper: Floats
    optimum: Floats
    values: Values
    space: Space
    is_whole: NDArray[np.bool_]
    is_category: NDArray[np.bool_]
    #: A column of values, as an objective gets it, to a column of a point.
    code: Callable[[Mapping[str, NDArray[Any]]], Floats] = field(repr=False)

    @property
    def d(self) -> int:
        return len(self.lower)

    def allows(self, X: Floats) -> NDArray[np.bool_]:
        """(n, d) -> (n,): which points are of the box, and whole where they have to be."""
        inside = ((self.lower <= X) & (self.upper >= X)).all(axis=1)
        whole = (X[:, self.is_whole] == np.rint(X[:, self.is_whole])).all(axis=1)
        allowed: NDArray[np.bool_] = inside & whole
        return allowed


def rastrigin(d: int, seed: int, *, is_rotated: bool = False) -> Function:
    """In +-5.12; many local optima on a grid, in a bowl."""

    def values(z: Floats) -> Floats:
        scores: Floats = 10.0 * d + (z * z - 10.0 * np.cos(2 * np.pi * z)).sum(axis=1)
        return scores

    return _shifted(values, -5.12, 5.12, d, seed, is_rotated=is_rotated)


def ackley(d: int, seed: int) -> Function:
    """In +-32.768: nearly flat, with a hole."""

    def values(z: Floats) -> Floats:
        far = -20.0 * np.exp(-0.2 * np.sqrt((z * z).mean(axis=1)))
        scores: Floats = far - np.exp(np.cos(2 * np.pi * z).mean(axis=1)) + 20.0 + np.e
        return scores

    return _shifted(values, -32.768, 32.768, d, seed)


def rosenbrock(d: int, seed: int) -> Function:
    """In [-5, 10]: a bent valley. Unshifted, its optimum is at 1."""

    def values(z: Floats) -> Floats:
        y = z + 1.0
        scores: Floats = (100.0 * (y[:, 1:] - y[:, :-1] ** 2) ** 2 + (1.0 - y[:, :-1]) ** 2).sum(axis=1)
        return scores

    return _shifted(values, -5.0, 10.0, d, seed)


def griewank(d: int, seed: int) -> Function:
    """In +-600: a bowl with ripples that interact."""

    def values(z: Floats) -> Floats:
        ripples = np.cos(z / np.sqrt(np.arange(1, d + 1))).prod(axis=1)
        scores: Floats = 1.0 + (z * z).sum(axis=1) / 4000.0 - ripples
        return scores

    return _shifted(values, -600.0, 600.0, d, seed)


def _shifted(values: Values, low: float, high: float, d: int, seed: int, *, is_rotated: bool = False) -> Function:
    """`values` has its optimum at 0."""
    rng = _random(seed)
    optimum = _central(rng, np.full(d, low), np.full(d, high))
    turn = np.linalg.qr(rng.standard_normal((d, d)))[0] if is_rotated else None

    def at(X: Floats) -> Floats:
        z = X - optimum
        return values(z if turn is None else z @ turn)

    names = [f"x{number}" for number in range(d)]
    return Function(
        lower=np.full(d, low),
        upper=np.full(d, high),
        optimum=optimum,
        values=at,
        space=Space({name: Float(low, high) for name in names}),
        is_whole=np.zeros(d, dtype=np.bool_),
        is_category=np.zeros(d, dtype=np.bool_),
        code=lambda columns: np.column_stack([columns[name] for name in names]),
    )


def _random(seed: int) -> np.random.Generator:
    """Another stream than the contestants', who may begin with the same seed."""
    return np.random.default_rng([seed, 0x0B7EC7])


def _central(rng: np.random.Generator, lower: Floats, upper: Floats) -> Floats:
    return lower + (0.1 + 0.8 * rng.random(len(lower))) * (upper - lower)


#: Of the mixed function: how a category is called.
CHOICES = ("red", "orange", "yellow", "green", "blue", "violet")
_FLOATS = ("x0", "x1", "x2", "x3")
_INTS = ("n0", "n1", "n2")
_CATEGORIES = ("c0", "c1", "c2")
_STEP = 25


def mixed(seed: int) -> Function:
    """12 variables: 4 floats, one on a log scale, 3 whole numbers, one in steps of 25, 3 categories of six.

    What the floats' optimum is depends on the first category, so that a wrong one is a trap. Points are coded as
    numbers: the logarithm to base 10, the number of steps, the place of the category in `CHOICES`.
    """
    rng = _random(seed)
    lower = np.array([-5.0] * 5 + [0.0] * 7)
    upper = np.array([5.0] * 4 + [-1.0] + [100.0] * 3 + [20.0] + [float(len(CHOICES) - 1)] * 3)
    optimum = _central(rng, lower, upper)
    optimum[5:9] = np.rint(optimum[5:9])
    optimum[9:] = right = rng.integers(len(CHOICES), size=3)
    moves = rng.uniform(-3.0, 3.0, (len(CHOICES), 4))
    moves[right[0]] = 0.0
    places = np.clip(optimum[:4] + moves, -5.0, 5.0)
    cost = rng.uniform(0.2, 2.0, (3, len(CHOICES)))
    cost[np.arange(3), right] = 0.0

    def at(X: Floats) -> Floats:
        category = np.clip(np.rint(X[:, 9:]), 0, len(CHOICES) - 1).astype(np.int64)
        floats = X[:, :4] - places[category[:, 0]]
        rest = (X[:, 4:9] - optimum[4:9]) / np.array([0.8, 10.0, 10.0, 10.0, 4.0])
        scores: Floats = (floats**2).sum(axis=1) + (rest**2).sum(axis=1)
        return scores + cost[np.arange(3), category].sum(axis=1)

    def code(columns: Mapping[str, NDArray[Any]]) -> Floats:
        parts = [columns[name] for name in _FLOATS]
        parts += [np.clip(np.log10(columns["rate"]), lower[4], upper[4])]
        parts += [columns[name] for name in _INTS]
        parts += [columns["size"] // _STEP]
        parts += [np.array([CHOICES.index(choice) for choice in columns[name]]) for name in _CATEGORIES]
        return np.column_stack(parts).astype(np.float64)

    is_category = np.arange(12) >= 9
    return Function(
        lower=lower,
        upper=upper,
        optimum=optimum,
        values=at,
        space=Space(
            {name: Float(-5.0, 5.0) for name in _FLOATS}
            | {"rate": Float(1e-5, 1e-1, log=True)}
            | {name: Int(0, 100) for name in _INTS}
            | {"size": Int(0, 20 * _STEP, step=_STEP)}
            | {name: Categorical(CHOICES) for name in _CATEGORIES}
        ),
        is_whole=np.arange(12) >= 5,
        is_category=is_category,
        code=code,
    )


@dataclass(frozen=True)
class Case:
    """A function with what is asked of it: the median best score to be reached, and to be aimed at."""

    title: str
    make: Callable[[int], Function]
    budget: int
    reach: float
    aim: float


CASES = {
    "rastrigin": Case("Rastrigin-10D", lambda seed: rastrigin(10, seed), 20_000, 1.8e-3, 1e-5),
    "ackley": Case("Ackley-20D", lambda seed: ackley(20, seed), 20_000, 7.7e-2, 1e-6),
    "rosenbrock": Case("Rosenbrock-10D", lambda seed: rosenbrock(10, seed), 20_000, 4.0, 1e-9),
    "griewank": Case("Griewank-10D", lambda seed: griewank(10, seed), 20_000, 5.9e-2, 1e-2),
    "rotated-rastrigin": Case(
        "rotated Rastrigin-10D", lambda seed: rastrigin(10, seed, is_rotated=True), 20_000, 13.0, 4.0
    ),
    "mixed": Case("mixed, 12 variables", mixed, 5_000, 0.5, 1e-3),
}
