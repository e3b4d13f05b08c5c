"""How a slot calls a task's function: the four kinds of call, and `async def` on the slot's own loop."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import CoroutineType
from typing import Any

# pb.Call, which this file may not import: slots load no protobuf. A test holds them together.
ITEM = 1
STAR = 2
FULL = 3
APPLY = 4

_CO_COROUTINE = 0x80


class AsyncRunner:
    """The slot's event loop: made when first needed, one for the life of the process."""

    def __init__(self) -> None:
        self._loop: Any = None  # asyncio is imported only for those who use it

    def run(self, coroutine: Any) -> Any:
        """Run to the end, and return what it returns."""
        if self._loop is None:
            import asyncio

            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
        return self._loop.run_until_complete(coroutine)


def caller(call: int, function: Any, run: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """What to call with an item. `run` runs a coroutine."""
    match call:
        case 1:
            direct = function
        case 2:

            def direct(item: Any) -> Any:
                return function(*item)
        case 3:

            def direct(item: Any) -> Any:
                args, kwargs = item
                return function(*args, **kwargs)
        case _:
            return _awaited(_apply, run)
    return _awaited(direct, run) if _may_be_async(function) else direct


def _apply(item: Any) -> Any:
    function, args, kwargs = item
    return function(*args, **kwargs)


def _may_be_async(function: Any) -> bool:
    """Whether its calls could return coroutines; plain functions and builtins tell without being called."""
    while isinstance(function, partial):
        function = function.func
    function = getattr(function, "__func__", function)  # a bound method's
    code = getattr(function, "__code__", None)
    if code is None:
        call = getattr(type(function), "__call__", None)  # noqa: B004 - its code is what matters
        code = getattr(call, "__code__", None)
    return code is not None and bool(code.co_flags & _CO_COROUTINE)


def _awaited(direct: Callable[[Any], Any], run: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def call(item: Any) -> Any:
        result = direct(item)
        return run(result) if type(result) is CoroutineType else result

    return call
