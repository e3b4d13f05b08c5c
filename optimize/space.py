"""A space of named parameters: what users and objectives see, and the unit cube that optimizers see."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from manyhands.optimize.choices import Categorical
from manyhands.optimize.cube import Cube, Floats, Ints
from manyhands.optimize.parameters import LAST, Float, Int, Parameter, between

__all__ = ["Categorical", "Float", "Int", "Parameter", "Space"]


class Space:
    """Immutable, picklable; equal to another with the same parameters in the same order.

    Space(lr=Float(1e-5, 1e-1, log=True), layers=Int(1, 8)), or Space({"lr": ...}) for names of any form.
    A parameter may also be (low, high), a pair of whole numbers or of others, or a list of choices.
    """

    def __init__(self, parameters: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Raises ValueError, naming the parameter, for what is none."""
        given = {**(parameters or {}), **more}
        if parameters and (twice := parameters.keys() & more.keys()):
            raise ValueError(f"the parameter {min(twice)!r} is given twice")
        if not given:
            raise ValueError("a space has at least one parameter: Space(x=Float(0, 1))")
        self.parameters: dict[str, Parameter] = {name: _parameter(name, value) for name, value in given.items()}
        #: What optimizers know of it.
        self.cube = Cube([parameter.column for parameter in self.parameters.values()])
        # Those whose values are as quick to be had together as one: most are, and points often come one by one.
        plain = [(at, each) for at, each in enumerate(self.parameters.values()) if isinstance(each, Float)]
        plain = [(at, each) for at, each in plain if each.is_plain]
        self._plain = np.array([at for at, _ in plain], dtype=np.int64)
        self._low, self._high = (np.array([getattr(each, end) for _, each in plain]) for end in ("low", "high"))

    @classmethod
    def of(cls, space: Any) -> Space:
        """A space as it is, or made from a dict. Raises ValueError."""
        if isinstance(space, Space):
            return space
        if isinstance(space, Mapping):
            return cls(space)
        raise ValueError(f"a space is a Space or a dict of parameters, not {type(space).__name__}")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.parameters)

    def cardinality(self) -> int | float:
        """How many points there are: a Python int, or math.inf if a parameter is continuous."""
        return math.inf if self.cube.cardinality is None else self.cube.cardinality

    def decode(self, U: ArrayLike) -> dict[str, NDArray[Any]]:
        """(n, d) points of the cube -> (n,) values by name: float64, int64, bool or strings; objects for choices that
        are of several types, or of another one. Raises ValueError for another shape, or for nan.
        """
        points = self._points(U)
        columns = zip(self.parameters.items(), points.T, self.cube.level_of(points).T, strict=True)
        return {name: each.decode(column, levels) for (name, each), column, levels in columns}

    def params(self, U: ArrayLike) -> list[dict[str, Any]]:
        """The same as n dicts of plain Python values; choices are the objects that were given."""
        points = self._points(U)
        plain = between(points[:, self._plain], self._low, self._high)
        columns = dict(zip(self._plain.tolist(), plain.T.tolist(), strict=True))
        if len(columns) < self.cube.d:
            levels = self.cube.level_of(points)
            for at, parameter in enumerate(self.parameters.values()):
                if at not in columns:
                    columns[at] = parameter.values(points[:, at], levels[:, at])
        rows = zip(*(columns[at] for at in range(self.cube.d)), strict=True)
        return [dict(zip(self.parameters, row, strict=True)) for row in rows]

    def encode(self, params: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> Floats:
        """From n dicts of values, or a dict of n values each, to (n, d) points of the cube: the inverse of `params` and
        `decode`. Raises ValueError for a name that is missing or unknown, and for a value that a parameter cannot have.
        """
        columns = self._by_name(params)
        points = [self._encoded(name, columns[name]) for name in self.parameters]
        if len({len(column) for column in points}) > 1:
            lengths = {name: len(columns[name]) for name in self.parameters}
            raise ValueError(f"columns are of the same length, not {lengths}")
        # Levels are below 2 ** 51: as floats they are exact.
        U = np.stack(points, axis=1).astype(np.float64)
        return np.where(self.cube.is_continuous, U, self.cube.at_level(U))

    def _encoded(self, name: str, values: Any) -> Floats | Ints:
        try:
            return self.parameters[name].encode(values)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error

    def _by_name(self, params: Any) -> Mapping[str, Any]:
        if isinstance(params, Mapping):
            self._check_names(params)
            for name, values in params.items():
                if isinstance(values, str | bytes) or not hasattr(values, "__len__"):
                    raise ValueError(f"{name}: {values!r} is no column; for one point give a list of one dict")
            return params
        rows = list(params)
        for row in rows:
            if not isinstance(row, Mapping):
                raise ValueError(f"params are dicts by name, not {row!r}")  # noqa: TRY004 - one kind of error for all that is wrong
            self._check_names(row)
        return {name: [row[name] for row in rows] for name in self.parameters}

    def _check_names(self, given: Mapping[str, Any]) -> None:
        if given.keys() == self.parameters.keys():
            return
        for name in self.parameters:
            if name not in given:
                raise ValueError(
                    f"the parameter {name!r} is missing; there are {', '.join(map(repr, given)) or 'none'}"
                )
        unknown = next(name for name in given if name not in self.parameters)
        raise ValueError(f"{unknown!r} is no parameter; there are {', '.join(map(repr, self.parameters))}")

    def _points(self, U: ArrayLike) -> Floats:
        """Inside the cube."""
        points = np.asarray(U, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != self.cube.d:
            raise ValueError(f"points are of shape (n, {self.cube.d}), not {points.shape}")
        if np.isnan(points).any():
            raise ValueError("a point with a nan stands for nothing")
        return np.minimum(np.maximum(points, 0.0), LAST)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Space):
            return NotImplemented
        return list(self.parameters.items()) == list(other.parameters.items())

    def __hash__(self) -> int:
        return hash(tuple(self.parameters.items()))

    def __repr__(self) -> str:
        if all(name.isidentifier() for name in self.parameters):
            return f"Space({', '.join(f'{name}={parameter}' for name, parameter in self.parameters.items())})"
        return f"Space({self.parameters!r})"


def _parameter(name: Any, value: Any) -> Parameter:
    if not isinstance(name, str):
        raise ValueError(f"a parameter's name is a string, not {name!r}")  # noqa: TRY004 - likewise
    if isinstance(value, Parameter):
        return value
    try:
        if isinstance(value, list):
            return Categorical(value)
        if isinstance(value, tuple) and len(value) == 2 and not any(isinstance(bound, bool) for bound in value):
            return Int(*value) if all(isinstance(bound, int | np.integer) for bound in value) else Float(*value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    raise ValueError(f"{name}: {value!r} is no parameter; use Float(low, high), Int(low, high) or Categorical(choices)")
