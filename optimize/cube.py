"""What an optimizer knows of a space: the unit cube, one column a parameter. Values and their names are Space's."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from manyhands.optimize.random_streams import splitmix

#: Levels of a column: so many that a float64 tells the middles of all of them apart, rounding included.
LEVELS_MAX = 2**51
#: The same where their widths differ: the narrowest is narrower by the logarithm of their number.
LOG_LEVELS_MAX = 2**40
COLUMNS_MAX = 100_000
#: Numbers in one table of points: 100 MB.
CELLS_MAX = 12_500_000

_ALL = slice(None)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Kind(StrEnum):
    """Of a column. Levels of an ordered one are numbers in their order, those of a categorical one only differ."""

    CONTINUOUS = "continuous"
    ORDERED = "ordered"
    CATEGORICAL = "categorical"


class Column(NamedTuple):
    """levels: how many; 0 if it is continuous.

    log_from: 0 if all are of the same width. Otherwise level i of an ordered column stands for a number in
    proportion to log_from + i, and is as wide as it is from there to the next one in log space.
    """

    kind: Kind
    levels: int = 0
    log_from: float = 0.0


class Cube:
    """Points are rows of (n, d) float64 in [0, 1). A column of k levels is cut into k parts, of the same
    width but for logarithmic ones: what has to know where a level is asks `at_level` and `level_of`.
    """

    def __init__(self, columns: Iterable[Column]) -> None:
        """Raises ValueError for what is no column, or no space."""
        self.columns = tuple(columns)
        if not 0 < len(self.columns) <= COLUMNS_MAX:
            raise ValueError(f"a space has 1 to {COLUMNS_MAX} parameters, not {len(self.columns)}")
        for column in self.columns:
            if not (column.levels == 0 if column.kind is Kind.CONTINUOUS else 1 <= column.levels <= LEVELS_MAX):
                raise ValueError(f"a {column.kind} parameter cannot have {column.levels} levels")
            if column.log_from and not (
                column.kind is Kind.ORDERED and 0 < column.log_from < math.inf and column.levels <= LOG_LEVELS_MAX
            ):
                raise ValueError(f"a {column.kind} parameter of {column.levels} levels cannot be logarithmic")
        kinds = np.array([column.kind for column in self.columns])
        self.is_continuous = kinds == Kind.CONTINUOUS
        self.is_ordered = kinds == Kind.ORDERED
        self.is_categorical = kinds == Kind.CATEGORICAL
        #: (d,) float64; 1 where there are none.
        self.levels = np.array([column.levels or 1 for column in self.columns], dtype=np.float64)
        #: Ordered columns whose levels are of different widths.
        self.is_log = np.array([column.log_from > 0 for column in self.columns])
        self._even = np.flatnonzero(~self.is_continuous & ~self.is_log)
        self._log = np.flatnonzero(self.is_log)
        # Of others, numbers that nothing divides by.
        self._log_from = np.where(self.is_log, [column.log_from for column in self.columns], 1.0)
        numbers = np.arange(1, 2 * len(self.columns) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        self._odd = (splitmix(numbers) | np.uint64(1)).reshape(2, 1, -1)
        self._log_span = np.log1p(self.levels / self._log_from)

    @property
    def d(self) -> int:
        """How many columns."""
        return len(self.columns)

    @property
    def cardinality(self) -> int | None:
        """How many points there are; None if a column is continuous."""
        return None if self.is_continuous.any() else math.prod(column.levels for column in self.columns)

    def check_room(self, n: int) -> None:
        """Raises ValueError if so many points are too many to be held at a time."""
        if n * self.d > CELLS_MAX:
            raise ValueError(
                f"{n} points of {self.d} parameters are too many at a time: there is room for {CELLS_MAX // self.d}"
            )

    def snap(self, U: Floats) -> Floats:
        """(n, d) -> (n, d): the same points in their canonical form, inside the cube; levels are at their middle."""
        snapped = np.clip(U, 0.0, np.nextafter(1.0, 0.0))
        if len(at := self._even):
            levels = self.levels[at]
            snapped[:, at] = (np.minimum(np.floor(snapped[:, at] * levels), levels - 1) + 0.5) / levels
        if len(at := self._log):
            snapped[:, at] = self.at_level(self.level_of(snapped[:, at], at), at)
        return snapped

    def level_of(self, U: Floats, columns: Ints | slice = _ALL) -> Ints:
        """(n, d) points in the cube -> (n, d): which level each is at, from 0; 0 where a column is continuous.

        columns: which column each value is of, if U has another shape: of the same shape, or that of a row.
        """
        levels = self.levels[columns]
        level = np.floor(U * levels)
        if len(self._log):
            spread = self._log_from[columns] * np.expm1(U * self._log_span[columns])
            level = np.where(self.is_log[columns], np.floor(spread), level)
        return np.minimum(level, levels - 1).astype(np.int64)

    def at_level(self, levels: Ints | NDArray[np.floating[Any]], columns: Ints | slice = _ALL) -> Floats:
        """The inverse of `level_of` for discrete columns: levels -> snapped points. Half a level less or more is
        where a level begins or ends.
        """
        points: Floats = (levels + 0.5) / self.levels[columns]
        if len(self._log):
            spread = np.log1p((levels + 0.5) / self._log_from[columns]) / self._log_span[columns]
            points = np.where(self.is_log[columns], spread, points)
        return points

    def keys(self, U: Floats) -> list[bytes]:
        """16 bytes for each row of snapped points: the same for the same points, and for others others."""
        # Each column is mixed with two odd numbers of its own, and the sums of that are taken.
        words = np.ascontiguousarray(U).view(np.uint64) + self._odd
        words ^= words >> np.uint64(32)
        words *= self._odd
        mixed = splitmix(words).sum(axis=2).T
        content = mixed.tobytes()
        return [content[at : at + 16] for at in range(0, len(content), 16)]

    def to_json(self) -> list[Any]:
        """For `from_json`."""
        return [[str(kind), levels, log_from] for kind, levels, log_from in self.columns]

    @classmethod
    def from_json(cls, columns: Any) -> Cube:
        """Raises ValueError for anything else than what `to_json` returns."""
        try:
            return cls([Column(Kind(kind), int(levels), float(*log_from)) for kind, levels, *log_from in columns])
        except (TypeError, OverflowError) as error:
            raise ValueError(f"no space: {json.dumps(columns)[:200]}") from error
