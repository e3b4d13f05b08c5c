"""A parameter that is one of several choices, which may be any objects and stay those that they are."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manyhands.optimize.cube import Column, Floats, Ints, Kind
from manyhands.optimize.parameters import Parameter

#: As many are named in a message.
_NAMED = 20


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Categorical(Parameter):
    """One of `choices`, each as likely as any other. `ordered`: neighbours in the list resemble each other, as small,
    medium and large do; a search makes use of it. 1, 1.0 and True are three choices.
    """

    choices: Sequence[Any]
    ordered: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.choices, str | bytes) or not isinstance(self.choices, Iterable):
            raise ValueError(f"Categorical({self.choices!r}): give a list of choices")  # noqa: TRY004 - one kind of error for all settings
        object.__setattr__(self, "choices", tuple(self.choices))
        if not self.choices:
            raise ValueError("Categorical([]): there is nothing to choose from; give at least one choice")
        known: set[Hashable] = set()
        others: list[Any] = []
        for choice in self.choices:
            if (label := _label(choice)) in known or (label is None and any(_is_same(choice, each) for each in others)):
                raise ValueError(f"{self}: {choice!r} is there twice; leave one out")
            if label is None:
                others.append(choice)
            else:
                known.add(label)

    def __repr__(self) -> str:
        return f"Categorical({_brief(self.choices)}{', ordered=True' if self.ordered else ''})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Categorical):
            return NotImplemented
        alike = self.ordered == other.ordered and len(self.choices) == len(other.choices)
        return alike and all(map(_is_same, self.choices, other.choices))

    def __hash__(self) -> int:
        # Choices may have none.
        return hash((len(self.choices), self.ordered))

    @property
    def column(self) -> Column:
        return Column(Kind.ORDERED if self.ordered else Kind.CATEGORICAL, len(self.choices))

    def decode(self, u: Floats, levels: Ints) -> NDArray[Any]:
        return self._array()[levels]

    def values(self, u: Floats, levels: Ints) -> list[Any]:
        return [self.choices[level] for level in levels.tolist()]

    def encode(self, values: Iterable[Any]) -> Ints:
        """Equals are found whatever their type is, if the very choice is not there: numpy's numbers, or 1 for 1.0."""
        exact = {label: at for at, choice in enumerate(self.choices) if (label := _label(choice)) is not None}
        equal: dict[Any, int] = {}
        for (_, choice), at in exact.items():
            equal.setdefault(choice, at)
        return np.array([self._level(value, exact, equal) for value in values], dtype=np.int64)

    def _level(self, value: Any, exact: dict[tuple[type, Any], int], equal: dict[Any, int]) -> int:
        if (label := _label(value)) is not None:
            level = exact.get(label, equal.get(value))
        else:
            level = next((at for at, choice in enumerate(self.choices) if _is_same(choice, value)), None)
        if level is None:
            raise ValueError(f"{value!r} is none of the choices {_brief(self.choices)}")
        return level

    def _array(self) -> NDArray[Any]:
        """(levels,): numbers or strings if all choices are of one such type; otherwise the objects themselves."""
        kinds = {type(choice) for choice in self.choices}
        if len(kinds) == 1 and _fits(kinds.pop(), self.choices):
            return np.array(self.choices)
        objects = np.empty(len(self.choices), dtype=object)
        for at, choice in enumerate(self.choices):
            objects[at] = choice
        return objects


def _fits(kind: type, choices: Sequence[Any]) -> bool:
    """Whether an array of numpy's own type gives back choices that are all of this one."""
    if kind is str:  # numpy's strings end where only zeros follow
        return not any(choice.endswith("\0") for choice in choices)
    if kind is int:
        return all(-(2**63) <= choice < 2**63 for choice in choices)
    return kind in {bool, float}


def _label(choice: Any) -> tuple[type, Any] | None:
    """What tells it from others; None if it cannot be hashed."""
    try:
        hash(choice)
    except TypeError:
        return None
    return type(choice), choice


def _is_same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    return bool(one == other)


def _brief(choices: Sequence[Any]) -> str:
    named = ", ".join(map(repr, choices[:_NAMED]))
    return f"[{named}]" if len(choices) <= _NAMED else f"[{named}, ... {len(choices)} in all]"
