"""What a parameter may be: numbers between bounds; each is a column of the cube. Choices are in choices.py."""

from __future__ import annotations

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manyhands.optimize.cube import LEVELS_MAX, LOG_LEVELS_MAX, Column, Floats, Ints, Kind

#: The last number below 1: decoded as the upper bound itself.
LAST = float(np.nextafter(1.0, 0.0))
#: Numbers of a float64 up to here are whole, each of them.
_EXACT = 2**53
#: How far from a step a number may be, as a share of the step, to be taken for it.
_STEP_TOLERANCE = 1e-6


class Parameter(ABC):
    """One of a space. Immutable; raises ValueError for bounds that cannot be."""

    __slots__ = ()

    @property
    @abstractmethod
    def column(self) -> Column:
        """What the cube knows of it."""

    @abstractmethod
    def decode(self, u: Floats, levels: Ints) -> NDArray[Any]:
        """(n,) in [0, 1), and (n,) the levels that these are at -> (n,) values."""

    def values(self, u: Floats, levels: Ints) -> list[Any]:
        """The same, as n Python objects."""
        values: list[Any] = self.decode(u, levels).tolist()
        return values

    @abstractmethod
    def encode(self, values: Iterable[Any]) -> Floats | Ints:
        """From n values to (n,): the inverse of `decode`, in [0, 1) if it is continuous, otherwise levels. Raises
        ValueError for one that it cannot have.
        """


@dataclass(frozen=True, slots=True, repr=False)
class Float(Parameter):
    """Numbers from `low` to `high`, both included. `log`: each order of magnitude is as likely as any other. `step`:
    only low, low + step, ..., as far as `high`.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    def __post_init__(self) -> None:
        for name in ("low", "high") if self.step is None else ("low", "high", "step"):
            object.__setattr__(self, name, _number(self, name))
        _check(self)
        if not self.log and not math.isfinite(self.high - self.low):
            raise ValueError(f"{self}: the bounds are too far apart for a float64; search for an exponent instead")
        if self.log and not math.log(self.low) < math.log(self.high):
            raise ValueError(f"{self}: the bounds are too close for log=True; leave it out")
        _ = self.column  # not too many steps

    def __repr__(self) -> str:
        step = "" if self.step is None else f", step={self.step!r}"
        return f"Float({self.low!r}, {self.high!r}{', log=True' if self.log else ''}{step})"

    @property
    def column(self) -> Column:
        if self.step is None:
            return Column(Kind.CONTINUOUS)
        return _ordered(self, Fraction(repr(self.low)), Fraction(repr(self.high)), Fraction(repr(self.step)))

    def decode(self, u: Floats, levels: Ints) -> Floats:
        if self.step is not None:
            return self._of_levels(levels, self.step)
        if not self.log:
            return between(u, self.low, self.high)
        first, last = math.log(self.low), math.log(self.high)
        return _bounded(np.exp(first + u * (last - first)), u, self.low, self.high)

    @property
    def is_plain(self) -> bool:
        """Whether its values are those of `between`."""
        return self.step is None and not self.log

    def _of_levels(self, levels: Ints, step: float) -> Floats:
        # In units of which low and step are whole, so that 3 steps of 0.1 are 0.3 and not a little more.
        low, width = Fraction(repr(self.low)), Fraction(repr(step))
        unit = math.lcm(low.denominator, width.denominator)
        first, stride = int(low * unit), int(width * unit)
        if max(unit, abs(first) + stride * self.column.levels) <= _EXACT:
            exact: Floats = (first + levels * stride) / unit
            return exact
        values: Floats = np.clip(self.low + levels * step, self.low, self.high)
        return values

    def encode(self, values: Iterable[Any]) -> Floats | Ints:
        numbers = np.array([_finite(value) for value in values], dtype=np.float64)
        if (outside := (numbers < self.low) | (numbers > self.high)).any():
            raise ValueError(f"{numbers[outside][0]} is outside of {self.low} to {self.high}")
        if self.step is not None:
            levels = np.minimum(np.rint((numbers - self.low) / self.step), self.column.levels - 1).astype(np.int64)
            nearest = self._of_levels(levels, self.step)
            if (astray := ~np.isclose(nearest, numbers, rtol=1e-15, atol=_STEP_TOLERANCE * self.step)).any():
                raise ValueError(f"{numbers[astray][0]} is no whole number of steps of {self.step} from {self.low}")
            return levels
        if self.log:
            first, last = math.log(self.low), math.log(self.high)
            u = (np.log(numbers) - first) / (last - first)
        else:
            u = (numbers - self.low) / (self.high - self.low)
        points: Floats = np.where(numbers >= self.high, LAST, np.clip(u, 0.0, LAST))
        return points


@dataclass(frozen=True, slots=True, repr=False)
class Int(Parameter):
    """Whole numbers low, low + step, ..., as far as `high`, each as likely as any other. `log`: a number is as likely
    as its step is wide in log space, so from 1 on as many are 1 as are 2 or 3, as are 4 to 7, as are 8 to 15.
    """

    low: int
    high: int
    step: int = 1
    log: bool = False

    def __post_init__(self) -> None:
        for name in ("low", "high", "step"):
            object.__setattr__(self, name, _whole(self, name))
        _check(self)
        if not -(2**63) <= self.low < self.high < 2**63:
            raise ValueError(f"{self}: the bounds have to fit into 64 bits; use a Float")
        _ = self.column  # not too many steps

    def __repr__(self) -> str:
        step = "" if self.step == 1 else f", step={self.step}"
        return f"Int({self.low}, {self.high}{step}{', log=True' if self.log else ''})"

    @property
    def column(self) -> Column:
        return _ordered(self, Fraction(self.low), Fraction(self.high), Fraction(self.step))

    def decode(self, u: Floats, levels: Ints) -> Ints:
        numbers: Ints = self.low + levels * self.step
        return numbers

    def encode(self, values: Iterable[Any]) -> Ints:
        return np.array([self._level(value) for value in values], dtype=np.int64)

    def _level(self, value: Any) -> int:
        number = _finite(value)
        whole = int(value)
        if whole != number:
            raise ValueError(f"{value!r} is no whole number")
        if not self.low <= whole <= self.high:
            raise ValueError(f"{whole} is outside of {self.low} to {self.high}")
        level, rest = divmod(whole - self.low, self.step)
        if rest:
            raise ValueError(f"{whole} is no whole number of steps of {self.step} from {self.low}")
        return level


def between(u: Floats, low: Floats | float, high: Floats | float) -> Floats:
    """Points in [0, 1) -> numbers from `low` to `high`, both included."""
    return _bounded(low + u * (high - low), u, low, high)


def _bounded(inside: Floats, u: Floats, low: Floats | float, high: Floats | float) -> Floats:
    """Exactly the bounds where `u` is at an end."""
    values: Floats = np.where(u <= 0, low, np.where(u >= LAST, high, inside))
    return np.minimum(np.maximum(values, low), high)


def _number(parameter: Any, name: str) -> float:
    """The field of that name as a float. Raises ValueError."""
    try:
        number = float(getattr(parameter, name))
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{parameter}: {name} has to be a number") from error
    if not math.isfinite(number):
        raise ValueError(f"{parameter}: {name} has to be finite")
    return number


def _whole(parameter: Any, name: str) -> int:
    value = getattr(parameter, name)
    try:
        return operator.index(value)
    except TypeError as error:
        raise ValueError(f"{parameter}: {name} has to be a whole number; use a Float for others") from error


def _check(parameter: Float | Int) -> None:
    if parameter.low >= parameter.high:
        raise ValueError(f"{parameter}: low has to be below high; what has one value only is no parameter")
    if parameter.step is not None and parameter.step <= 0:
        raise ValueError(f"{parameter}: step has to be above 0")
    if parameter.log and parameter.low <= 0:
        raise ValueError(f"{parameter}: with log=True, low has to be above 0")


def _ordered(parameter: Float | Int, low: Fraction, high: Fraction, step: Fraction) -> Column:
    levels = int((high - low) // step) + 1
    if levels > (most := LOG_LEVELS_MAX if parameter.log else LEVELS_MAX):
        raise ValueError(
            f"{parameter}: {levels} levels are more than {most}; use a Float without a step, or a wider step"
        )
    return Column(Kind.ORDERED, levels, float(low / step) if parameter.log else 0.0)


def _finite(value: Any) -> float:
    """A value as a number. Raises ValueError."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{value!r} is no number") from error
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not finite")
    return number
