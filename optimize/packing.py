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

    def outline(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            content = np.ascontiguousarray(value)
            arrays.append(content.tobytes())
            return {_ARRAY: [content.dtype.str, list(value.shape)]}
        if isinstance(value, dict):
            return {key: outline(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [outline(each) for each in value]
        return value

    head = json.dumps([VERSION, outline(state)], allow_nan=False, separators=(",", ":")).encode()
    return b"".join([_MAGIC, len(head).to_bytes(4, "little"), head, *arrays])


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

    def fill(value: Any) -> Any:
        nonlocal at
        if isinstance(value, list):
            return [fill(each) for each in value]
        if not isinstance(value, dict):
            return value
        if _ARRAY not in value:
            return {key: fill(each) for key, each in value.items()}
        kind, shape = value[_ARRAY]
        dtype = np.dtype(kind)
        if dtype.kind not in _KINDS:
            raise StateRefused(f"damaged state: an array of {kind}")
        count = math.prod(shape)
        array = np.frombuffer(data, dtype, count, at).reshape(shape).copy()
        at += array.nbytes
        return array

    state = fill(document)
    if at != len(data) or not isinstance(state, dict):
        raise StateRefused("damaged state: it has another length than it says")
    return state
