"""A hash of dictionary keys that is the same in every process, whatever PYTHONHASHSEED: it says where a key is reduced.

Python's own hash of a text depends on the process, that of most other objects on where they lie in memory. Keys that
are equal hash equally here, as they do there: 1, 1.0, True and numpy.int64(1) meet. Only what a key is equal by counts,
so a class with an `__hash__` or `__eq__` of its own is refused: nobody knows what that compares.
"""

from __future__ import annotations

import datetime as dt
import enum
import functools
import sys
from collections.abc import Callable, Hashable
from dataclasses import fields
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePath
from types import BuiltinFunctionType, EllipsisType, FunctionType, NoneType, NotImplementedType
from typing import Any, cast
from uuid import UUID

from manyhands.wire.brief_repr import brief
from manyhands.wire.errors import UnstableKey

#: The hash has so many bits, and they are all as good as one another: `% n`, then `// n % m`, are independent.
BITS = 64
_MASK = (1 << BITS) - 1
#: 2**64 divided by the golden ratio.
_GOLDEN = 0x9E3779B97F4A7C15
_NAN = 1
_EPOCH = dt.datetime(1, 1, 1)  # noqa: DTZ001 - dates are counted from it in whatever time zone

_Hasher = Callable[[Any], int]


def stable_hash(key: Any) -> int:
    """64 bits, the same for equal keys in every process. Raises UnstableKey."""
    kind = type(key)
    if kind is str:  # what follows is `_of_text` and `_mixed`, without the calls
        mixed = hash((int.from_bytes(key.encode("utf-8", "surrogatepass"), "big"),))
    elif kind is int:
        mixed = hash((key,))
    else:
        return _hasher(cast("Hashable", kind))(key)
    return (mixed ^ mixed >> 31) * _GOLDEN >> 30 & _MASK


def _mixed(*parts: Any) -> int:
    """The hash of numbers: Python defines that of each exactly, and mixes those of a tuple (xxHash), but not to the
    last: patterns of the high bits would show in the low ones.
    """
    mixed = hash(parts)
    return (mixed ^ mixed >> 31) * _GOLDEN >> 30 & _MASK


def _of_number(key: Any) -> int:
    """NaN equals nothing, and its own hash is that of an object."""
    return _mixed(key if key == key else _NAN)  # noqa: PLR0124 - only NaN differs from itself


def _of_decimal(key: Decimal) -> int:
    return _mixed(_NAN if key.is_nan() else key)


def _of_bytes(key: bytes) -> int:
    return _mixed(int.from_bytes(key, "big"))


def _of_text(key: str) -> int:
    return _of_bytes(key.encode("utf-8", "surrogatepass"))


def _of_elements(key: tuple[Any, ...]) -> int:
    hashes: list[int] = []
    try:
        for element in key:
            hashes.append(stable_hash(element))  # noqa: PERF401 - its length tells which one was refused
    except UnstableKey as error:
        raise error.within(f"[{len(hashes)}]") from None
    return _mixed(*hashes)


def _of_frozenset(key: frozenset[Any]) -> int:
    return _mixed(hash(frozenset(map(stable_hash, key))))


def _of_constant(key: object) -> int:
    return stable_hash(type(key).__name__)


def _of_member(key: enum.Enum) -> int:
    return _of_elements((type(key).__qualname__, key._name_))


def _of_named(key: Any) -> int:
    return _of_elements((key.__module__, key.__qualname__))


def _of_dataclass(key: Any) -> int:
    hashes = [stable_hash(type(key).__qualname__)]
    for field in fields(key):
        if field.compare if field.hash is None else field.hash:
            try:
                hashes.append(stable_hash(getattr(key, field.name)))
            except UnstableKey as error:
                raise error.within(f".{field.name}") from None
    return _mixed(*hashes)


def _of_datetime(key: dt.datetime) -> int:
    """By the moment, if it has a time zone. A difference cannot overflow, as another time zone's date could."""
    offset = key.replace(fold=0).utcoffset()
    since = key.replace(tzinfo=None, fold=0) - _EPOCH
    return _of_duration(since if offset is None else since - offset)


def _of_time(key: dt.time) -> int:
    offset = key.replace(fold=0).utcoffset()
    since = dt.timedelta(hours=key.hour, minutes=key.minute, seconds=key.second, microseconds=key.microsecond)
    return _of_duration(since if offset is None else since - offset)


def _of_duration(key: dt.timedelta) -> int:
    return _mixed(key.days, key.seconds, key.microseconds)


def _of_path(key: PurePath) -> int:
    """Lower case, as those of Windows are equal whatever their case."""
    return _of_text(str(key).lower())


def _of_range(key: range) -> int:
    """Ranges are equal if what they yield is."""
    return _mixed(key[0], key[-1]) if key else _mixed()


#: A type's instances hash by the first of these that it inherits both `__eq__` and `__hash__` from.
_BASES: tuple[tuple[type, _Hasher], ...] = (
    (str, _of_text),
    (bytes, _of_bytes),
    (int, _of_number),
    (bool, _of_number),
    (float, _of_number),
    (complex, _of_number),
    (Fraction, _of_number),
    (Decimal, _of_decimal),
    (tuple, _of_elements),
    (frozenset, _of_frozenset),
    (NoneType, _of_constant),
    (EllipsisType, _of_constant),
    (NotImplementedType, _of_constant),
    (enum.Enum, _of_member),
    (dt.datetime, _of_datetime),
    (dt.date, lambda key: stable_hash(key.toordinal())),
    (dt.time, _of_time),
    (dt.timedelta, _of_duration),
    (UUID, lambda key: stable_hash(key.int)),
    (PurePath, _of_path),
    (range, _of_range),
    (type, _of_named),
    (FunctionType, _of_named),
    (BuiltinFunctionType, _of_named),
)


@functools.lru_cache(maxsize=4096)
def _hasher(kind: type) -> _Hasher:
    for base, hasher in _BASES:
        if issubclass(kind, base) and _inherits(kind, base):
            return hasher
    if kind.__module__ == "numpy":
        return _numpy_hasher(kind)
    parameters = getattr(kind, "__dataclass_params__", None)
    if parameters is not None and parameters.frozen and _is_generated(kind.__eq__) and _is_generated(kind.__hash__):
        return _of_dataclass
    return _refuse


def _inherits(kind: type, base: type) -> bool:
    return kind.__eq__ is base.__eq__ and kind.__hash__ is base.__hash__


def _is_generated(method: Any) -> bool:
    """Whether `dataclasses` wrote it: every such function is made within one of this name."""
    code = getattr(method, "__code__", None)
    return code is not None and code.co_qualname.startswith("__create_fn__.")


def _numpy_hasher(kind: type) -> _Hasher:
    """Numpy's scalars hash as Python's, but for its dates: their equality crosses units, their hash not always."""
    numpy = cast("Any", sys.modules["numpy"])  # not imported for its own sake: it takes a tenth of a second
    if issubclass(kind, numpy.timedelta64):
        return _refuse
    if issubclass(kind, numpy.number | numpy.bool_):
        return _of_number
    if issubclass(kind, numpy.str_):
        return _of_text
    return _of_bytes if issubclass(kind, numpy.bytes_) else _refuse


def _refuse(key: object) -> int:
    raise UnstableKey(brief(key), f"{type(key).__module__}.{type(key).__qualname__}".removeprefix("builtins."))
