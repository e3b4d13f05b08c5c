"""Sizes of memory as people write and read them: "4GiB", "500MB", "1.5 GiB", or a number of bytes."""

from __future__ import annotations

import re
from typing import Any

_UNITS: dict[str, int] = {"": 1, "B": 1} | {
    letter + ending: base**power
    for power, letter in enumerate("KMGT", 1)
    for ending, base in (("B", 1000), ("IB", 1024))
}
_WRITTEN = re.compile(r"(\d+)(?:\.(\d+))?\s*([a-z]*)", re.ASCII | re.IGNORECASE)

#: What a message carries.
_BYTES_MAX = (1 << 63) - 1


def parse_bytes(value: Any) -> int:
    """How many bytes `value` is. Raises TypeError if it is no size at all, ValueError if it makes none above 0."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise TypeError(f'must be a size such as "4GiB", or a whole number of bytes, not {value!r}')
    size = value if isinstance(value, int) else _read(value)
    if not 0 < size <= _BYTES_MAX:
        raise ValueError(f"must be at least 1 byte, and below 8 EiB, not {value!r}")
    return size


def _read(text: str) -> int:
    match = _WRITTEN.fullmatch(text.strip())
    if match is None or match[3].upper() not in _UNITS:
        raise ValueError(
            f'must be a size such as "4GiB" or "500MB" (units: B, KB, MB, GB, TB, KiB, MiB, GiB, TiB), not {text!r}'
        )
    decimals = match[2] or ""
    one: int = 10 ** len(decimals)
    return int(match[1] + decimals) * _UNITS[match[3].upper()] // one


def shown(size_bytes: int) -> str:
    """For people: 1610612736 is "1.5 GiB"."""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} TiB"
