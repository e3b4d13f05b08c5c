"""Finds what exactly inside an argument or function cannot be pickled, to name it in the error."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from itertools import islice
from types import FunctionType
from typing import Any

from manyhands.wire.cloudpickle_parts import global_names
from manyhands.wire.errors import EncodeError
from manyhands.wire.pickler import Unsendable

#: Objects tried before the search ends with what it has.
_MAX_TRIALS = 2000
_MAX_KEY = 60

#: Of methods, partials, properties, class methods: what they hold is no entry of a __dict__.
_ATTRIBUTES = ("__self__", "__func__", "func", "args", "keywords", "fget", "fset")

_WAYS_OUT = (
    (("lock", "Lock", "Condition", "Semaphore", "Event", "Barrier"), "create it inside the task"),
    (("generator", "coroutine"), "pass list(...) of it, or what it is made from"),
    (("socket", "TextIOWrapper", "Buffered", "FileIO", "Connection", "Cursor"), "open it inside the task"),
)


def explain(what: str, root: Any, error: Exception, dump: Callable[[Any], object]) -> EncodeError:
    """The error for `root`, which `dump` could not pickle: `what` names it, `error` is what dump raised."""
    if isinstance(error, EncodeError):  # of a definition met on the way, which tells its own story
        return error
    path, culprit, error = _find(root, error, dump)
    kind = type(culprit)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(error, Unsendable):
        return EncodeError(what, path, name, way_out=str(error))
    if isinstance(error, EncodeError):
        return error
    way_out = next((w for words, w in _WAYS_OUT if any(word in kind.__name__ for word in words)), "")
    default = "leave it out, create it inside the task, or give its class a __reduce__ method"
    if isinstance(error, RecursionError):
        return EncodeError(what, path, name, "it is nested too deeply", "pass it as a flatter structure")
    return EncodeError(what, path, name, str(error) or type(error).__name__, way_out or default)


def _find(root: Any, error: Exception, dump: Callable[[Any], object]) -> tuple[str, Any, Exception]:
    """From the root, descend into the first child that cannot be pickled, until none of them is to blame."""
    path, current = "", root
    tried: dict[int, object] = {id(root): root}
    while not (isinstance(error, Unsendable) and error.culprit is current):
        for step, child in _children(current):
            if id(child) in tried:
                continue
            tried[id(child)] = child
            if len(tried) > _MAX_TRIALS:
                return path.strip(), current, error
            try:
                dump(child)
            except Exception as reason:  # noqa: BLE001 - whatever a user's __reduce__ raises
                path, current, error = path + step, child, reason
                break
        else:
            break
    return path.strip(), current, error


def _children(obj: Any) -> Iterator[tuple[str, Any]]:
    """What `obj` refers to, each with the piece of a path that leads there."""
    if isinstance(obj, FunctionType):
        yield from _of_function(obj)
        return
    if isinstance(obj, type):
        # Data first: its functions may be to blame only because they refer back to it.
        for name, value in sorted(vars(obj).items(), key=lambda member: hasattr(member[1], "__get__")):
            yield f".{name}", value
        return
    if isinstance(obj, dict):
        for key, value in islice(obj.items(), _MAX_TRIALS):
            yield f"[{_short(key)}]", value
            yield f" key {_short(key)}", key
    elif isinstance(obj, list | tuple):
        yield from ((f"[{index}]", value) for index, value in enumerate(islice(obj, _MAX_TRIALS)))
    elif isinstance(obj, set | frozenset):
        yield from ((f" element {_short(value)}", value) for value in islice(obj, _MAX_TRIALS))
    slots = (cls.__dict__.get("__slots__", ()) for cls in type(obj).__mro__)
    names = [name for each in slots for name in ((each,) if isinstance(each, str) else each)]
    for name in (*_ATTRIBUTES, *names, *getattr(obj, "__dict__", ())):
        try:
            value = getattr(obj, name, None)
        except Exception:  # noqa: BLE001, S112 - a user's property
            continue
        if value is not None:
            yield f".{name}", value


def _of_function(function: FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # not assigned yet
            yield f" variable {name!r}", cell.cell_contents
    for name in global_names(function.__code__):
        if name in function.__globals__:
            yield f" global {name!r}", function.__globals__[name]
    yield from ((f" default {index}", value) for index, value in enumerate(function.__defaults__ or ()))
    yield from ((f" default {name!r}", value) for name, value in (function.__kwdefaults__ or {}).items())


def _short(key: object) -> str:
    try:
        text = repr(key)
    except Exception:  # noqa: BLE001
        return "..."
    return text if len(text) <= _MAX_KEY else text[: _MAX_KEY - 3] + "..."
