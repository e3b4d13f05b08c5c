"""Large arguments that come again and again: recognised by identity, then by content, and sent once."""

from __future__ import annotations

import threading
import weakref
import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from manyhands.client.kept_array import KeptArray, raw
from manyhands.client.refs import Ref
from manyhands.wire.pickling import SHARED_BYTES

#: An array of this size is kept in the cluster the first time that it is met, a smaller one the second time.
AT_ONCE_BYTES = 1 << 20
#: Arrays that are remembered, those met last. The datum of each is kept as long as the array lives.
REMEMBERED = 64
#: The same for bytes and texts, which live as long as they are remembered.
REMEMBERED_CONSTANTS = 4

_CONSTANTS = frozenset((bytes, str))


@dataclass(slots=True)
class _Met:
    """An array that was met: its checksum; then, when it is kept, what stands for it, and what is kept, mapped."""

    array: weakref.ref[Any]
    checksum: int = 0
    ref: Ref[Any] | None = None
    kept: KeptArray | None = None


class Sharing:
    """One client's. From any thread. keep: keeps an array in the cluster; returns its Ref, and it as it is kept."""

    def __init__(self, keep: Callable[[Any], tuple[Ref[Any], Any]]) -> None:
        self._keep = keep
        self._met: OrderedDict[int, _Met] = OrderedDict()
        self._constants: OrderedDict[int, tuple[Any, Ref[Any] | None]] = OrderedDict()
        self._lock = threading.RLock()  # an array's end may come while we hold it

    def constants(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments, with what stands for those that are large, cannot change, and have come before."""
        if any(map(_is_large_constant, args)):
            args = tuple([self._constant(each) if _is_large_constant(each) else each for each in args])
        if any(map(_is_large_constant, kwargs.values())):
            kwargs = {key: self._constant(each) if _is_large_constant(each) else each for key, each in kwargs.items()}
        return args, kwargs

    def _constant(self, value: Any) -> Any:
        with self._lock:
            met, ref = self._constants.get(id(value), (None, None))
        if met is value and ref is not None:
            return ref
        if met is value:
            ref, _ = self._keep(value)
        with self._lock:
            self._constants[id(value)] = value, ref
            self._constants.move_to_end(id(value))
            if len(self._constants) > REMEMBERED_CONSTANTS:
                self._constants.popitem(last=False)
        return value if ref is None else ref

    def ref(self, array: Any) -> Ref[Any] | None:
        """What stands for a numpy array of at least SHARED_BYTES; None: it had better travel as it is.

        An array that was changed since is another one: it is compared with what is kept each time.
        """
        if not array.flags.c_contiguous or array.dtype.hasobject:
            return None
        with self._lock:
            met = self._met.get(id(array))
            if met is not None and met.array() is not array:
                met = None
            elif met is not None:
                self._met.move_to_end(id(array))
        if met is not None and met.kept is not None and met.kept.equals(array):
            return met.ref
        if array.nbytes < AT_ONCE_BYTES:
            checksum = zlib.crc32(raw(array))
            if met is None or met.checksum != checksum:
                self._remember(array, _Met(self._watch(array), checksum))
                return None
        ref, kept = self._keep(array)
        self._remember(array, _Met(self._watch(array), 0, ref, KeptArray(kept)))
        return ref

    def _watch(self, array: Any) -> weakref.ref[Any]:
        owner, key = weakref.ref(self), id(array)

        def ended(gone: weakref.ref[Any]) -> None:
            sharing = owner()
            if sharing is not None:
                sharing._forget(key, gone)  # noqa: SLF001 - our own

        return weakref.ref(array, ended)

    def _remember(self, array: Any, met: _Met) -> None:
        with self._lock:
            self._met[id(array)] = met
            self._met.move_to_end(id(array))
            if len(self._met) > REMEMBERED:
                self._met.popitem(last=False)

    def _forget(self, key: int, gone: weakref.ref[Any]) -> None:
        with self._lock:
            met = self._met.get(key)
            if met is not None and met.array is gone:
                del self._met[key]


def _is_large_constant(value: Any) -> bool:
    return type(value) in _CONSTANTS and len(value) >= SHARED_BYTES
