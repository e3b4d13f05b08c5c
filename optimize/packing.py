"""States as bytes: a JSON document that names the arrays which follow it. Nothing in it can be run."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

#: Raised by one with each change that older states have to be translated for.
VERSION = 2

_MAGIC = b"mh-optimize\n"
_ARRAY = "__array__"
_KINDS = frozenset("biufS")


class StateRefused(ValueError):
    """Bytes that are no state of this version or an older one."""


def pack(state: dict[str, Any]) -> bytes:
    """Dicts and lists of arrays, and of what JSON can say. Floats that JSON lacks belong into arrays."""
    arrays: list[bytes] = []
    head = json.dumps([VERSION, _outline(state, arrays)], allow_nan=False, separators=(",", ":")).encode()
    return b"".join([_MAGIC, len(head).to_bytes(4, "little"), head, *arrays])


# No closures that call themselves: such a cycle would keep all arrays until the collector comes by, which is seldom.


def _outline(value: Any, arrays: list[bytes]) -> Any:
    if isinstance(value, np.ndarray):
        content = np.ascontiguousarray(value)
        arrays.append(content.tobytes())
        return {_ARRAY: [content.dtype.str, list(value.shape)]}
    if isinstance(value, dict):
        return {key: _outline(each, arrays) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_outline(each, arrays) for each in value]
    return value


def unpack(data: bytes) -> dict[str, Any]:
    """The inverse; tuples come as lists, arrays may be written to. Raises StateRefused."""
    try:
        return _unpack(data)
    except StateRefused:
        raise
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        raise StateRefused(f"damaged state: {error}") from error


def _unpack(data: bytes) -> dict[str, Any]:
    if data[: len(_MAGIC)] != _MAGIC:
        raise StateRefused("no state of an optimizer")
    begin = len(_MAGIC) + 4
    at = begin + int.from_bytes(data[len(_MAGIC) : begin], "little")
    version, document = json.loads(data[begin:at])
    if version > VERSION:
        raise StateRefused(f"a state of format {version}, from a newer manyhands: this one knows up to {VERSION}")

    arrays = _Arrays(data, at)
    state = arrays.fill(document)
    if arrays.at != len(data) or not isinstance(state, dict):
        raise StateRefused("damaged state: it has another length than it says")
    return state


class _Arrays:
    """Takes arrays out of `data`, one after the other, from `at` on."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self.at = data, at

    def fill(self, value: Any) -> Any:
        """What was outlined as `value`."""
        if isinstance(value, list):
            return [self.fill(each) for each in value]
        if not isinstance(value, dict):
            return value
        if _ARRAY not in value:
            return {key: self.fill(each) for key, each in value.items()}
        kind, shape = value[_ARRAY]
        dtype = np.dtype(kind)
        if dtype.kind not in _KINDS:
            raise StateRefused(f"damaged state: an array of {kind}")
        array = np.frombuffer(self._data, dtype, math.prod(shape), self.at).reshape(shape).copy()
        self.at += array.nbytes
        return array
