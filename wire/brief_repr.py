"""A value in an error's message: its repr, shortened, and safe to ask for."""

from __future__ import annotations

import reprlib
from typing import Any

_LENGTH_MAX = 80

_shortener = reprlib.Repr()
_shortener.maxother = _shortener.maxstring = _LENGTH_MAX


def brief(value: Any) -> str:
    """If its own `__repr__` fails, its type and address."""
    return _shortener.repr(value)
