"""What people see of a function that they have given no name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def name_of(function: Callable[..., Any]) -> str:
    """Its own; that of its class, if it has none."""
    return getattr(function, "__qualname__", None) or type(function).__qualname__
