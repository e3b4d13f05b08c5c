"""The pickler both items and definitions are made with: cloudpickle's, with our say in what goes by value.

cloudpickle keeps its decisions in module globals that belong to the user. Ours are in a subclass: it asks
`is_by_value` about each function, class and module, and leaves to `reduce_by_value` how those travel. It also
refuses what only seems to survive the journey (an open text file, a future).
"""

from __future__ import annotations

import copyreg
import functools
import io
import pickle
import sys
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any, NoReturn, TypeVar

from manyhands.wire import definitions
from manyhands.wire.cloudpickle_parts import (
    REDUCERS,
    Pickler,
    make_typevar,
    reduce_class_by_name,
    reduce_class_by_value,
    typevar_parts,
)
from manyhands.wire.local_modules import CachedFunction

_Handler = Callable[[Any], Any]

#: A class attribute of this name, a sentence that tells the way out, forbids its instances to travel.
UNSENDABLE = "__manyhands_unsendable__"
#: A method of this name, on a class, says how its instances travel in items; see `pickling.Handle`.
AS_ITEM = "__manyhands_as_item__"
_FUTURES = frozenset(("concurrent.futures._base", "_asyncio", "asyncio.futures"))
#: Types whose handling is remembered, and objects known to go by name; forgotten when there are more.
_MAX_KNOWN = 4096


class Unsendable(TypeError):
    """`culprit` is of a kind that must not travel; the message is the way out."""

    def __init__(self, culprit: object, way_out: str) -> None:
        super().__init__(way_out)
        self.culprit = culprit


class _Dispatch(dict[type, _Handler]):
    """cloudpickle's reducers, ours, then copyreg's as of now. One dict: cloudpickle's ChainMap is slow."""

    def __missing__(self, kind: type) -> _Handler:
        return copyreg.dispatch_table[kind]


def _make_cached(function: Callable[..., Any], maxsize: int | None, typed: bool) -> Any:
    return functools.lru_cache(maxsize, typed)(function)


def _make_cached_property(function: Callable[[Any], Any], name: str | None) -> functools.cached_property[Any]:
    made = functools.cached_property(function)
    made.attrname = name
    return made


def _reduce_cached_property(value: functools.cached_property[Any]) -> tuple[Any, ...]:
    return _make_cached_property, (value.func, value.attrname)  # until Python 3.12 it holds a lock


class ValuePickler(Pickler):  # type: ignore[misc] # cloudpickle has no types
    """Base of the picklers for items and for definitions. Protocol 5, buffers in band unless there is a callback."""

    dispatch_table = _Dispatch({**REDUCERS, functools.cached_property: _reduce_cached_property})

    def __init__(
        self,
        file: io.BytesIO,
        is_by_value: Callable[[object], bool],
        buffer_callback: Callable[[pickle.PickleBuffer], bool] | None = None,
    ) -> None:
        super().__init__(file, protocol=5, buffer_callback=buffer_callback)
        self._is_by_value = is_by_value
        # No bound methods here: a cycle would keep what was pickled, and the memo, until the next collection.
        self._handlers: dict[type, Callable[[Any, Any], Any] | None] = {}
        self._by_name: dict[int, object] = {}

    #: `dump` without cloudpickle's wrapper.
    dump_raw = pickle.Pickler.dump

    def forget(self) -> bool:
        """Drop what a reloaded module may have made untrue. False: there was nothing."""
        known = bool(self._by_name)
        self._by_name.clear()
        return known

    def reduce_by_value(self, obj: Any) -> Any:
        """How a function, class, module or cached function travels that has to be by value."""
        raise NotImplementedError

    def reduce_handle(self, obj: Any) -> Any:
        """How a handle to data of the cluster travels. Raises Unsendable where it cannot."""
        raise Unsendable(obj, "a function cannot hold it: pass it as an argument, or let it hold the value")

    def reduce_array(self, obj: Any) -> Any:
        """How a numpy array travels, if not as numpy does it."""
        return NotImplemented

    def inline(self, obj: Any) -> Any:
        """By value, right here, as cloudpickle does it."""
        if isinstance(obj, type):
            return reduce_class_by_value(obj)
        if isinstance(obj, FunctionType):
            return self._dynamic_function_reduce(obj)
        if isinstance(obj, CachedFunction):
            parameters = obj.cache_parameters()
            return _make_cached, (obj.__wrapped__, parameters["maxsize"], parameters["typed"])
        if isinstance(obj, TypeVar):
            return make_typevar, typevar_parts(obj)
        return NotImplemented

    # The C pickler calls this for all but atoms and exact containers, also for `definitions.load` and the like.
    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        try:
            handler = self._handlers[kind]
        except KeyError:
            if len(self._handlers) > _MAX_KNOWN:
                self._handlers.clear()
            handler = self._handlers[kind] = _find_handler(kind)
        return NotImplemented if handler is None else handler(self, obj)

    def reduce_named(self, obj: Any) -> Any:
        if id(obj) in self._by_name or obj is definitions.load:
            return NotImplemented
        if self._is_by_value(obj):
            return self.reduce_by_value(obj)
        self._remember(obj)
        return NotImplemented

    def reduce_class(self, cls: type) -> Any:
        if id(cls) in self._by_name:
            return NotImplemented
        if self._is_by_value(cls):
            return self.reduce_by_value(cls)
        reduced = reduce_class_by_name(cls)  # NoneType and others that cannot be found by name
        if reduced is NotImplemented:
            self._remember(cls)
        return reduced

    def _remember(self, obj: object) -> None:
        if len(self._by_name) > _MAX_KNOWN:
            self._by_name.clear()
        self._by_name[id(obj)] = obj


def _find_handler(kind: type) -> Callable[[Any, Any], Any] | None:
    if kind is FunctionType or kind is CachedFunction or kind is TypeVar or issubclass(kind, ModuleType):
        return ValuePickler.reduce_named
    if issubclass(kind, type):
        return ValuePickler.reduce_class
    if issubclass(kind, io.TextIOWrapper):
        return _reduce_file
    if hasattr(kind, AS_ITEM):
        return lambda pickler, obj: pickler.reduce_handle(obj)
    if kind.__qualname__ == "ndarray" and kind.__module__ == "numpy":
        return lambda pickler, obj: pickler.reduce_array(obj)
    way_out = getattr(kind, UNSENDABLE, None)
    if way_out is None and any(c.__name__ == "Future" and c.__module__ in _FUTURES for c in kind.__mro__):
        way_out = "pass future.result() instead"
    return None if way_out is None else functools.partial(_refuse, way_out=way_out)


def _refuse(pickler: ValuePickler, culprit: object, way_out: str) -> NoReturn:
    raise Unsendable(culprit, way_out)


def _reduce_file(pickler: ValuePickler, file: io.TextIOWrapper) -> Any:
    for name in ("stdout", "stderr"):
        if file is getattr(sys, name):
            return getattr, (sys, name)
    raise Unsendable(file, "open the file inside the task, and pass its path")  # cloudpickle would copy what it reads
