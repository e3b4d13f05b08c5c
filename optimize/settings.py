"""Checks of a method's settings: what is refused is told by name, with its value and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any


def whole(name: str, value: Any, low: int, high: int | None = None) -> int:
    """The value. Raises ValueError if it is no whole number of `low` to `high`, both included."""
    allowed = f"at least {low}" if high is None else f"from {low} to {high}"
    if (
        isinstance(value, bool)
        or not hasattr(value, "__index__")
        or not low <= value <= (math.inf if high is None else high)
    ):
        raise ValueError(f"{name} has to be a whole number, {allowed}, not {value!r}")
    return int(value)


def real(name: str, value: Any, low: float, high: float = math.inf) -> float:
    """The value. Raises ValueError if it is no finite number of `low` to `high`, both included."""
    allowed = f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
    if isinstance(value, bool) or not hasattr(value, "__float__") or not low <= value <= high or math.isinf(value):
        raise ValueError(f"{name} has to be a number, {allowed}, not {value!r}")
    return float(value)


def one_of(name: str, value: Any, allowed: Iterable[str]) -> str:
    """The value. Raises ValueError if it is none of those allowed."""
    names = sorted(allowed)
    if value not in names:
        raise ValueError(f"{name} has to be one of {', '.join(names)}, not {value!r}")
    return str(value)


def known(method: str, given: Iterable[str], allowed: Iterable[str]) -> None:
    """Raises ValueError if a setting is given that the method does not have."""
    names = sorted(allowed)
    if unknown := sorted(set(given) - set(names)):
        raise ValueError(f"{method} has no setting {', '.join(unknown)}; it has {', '.join(names)}")
