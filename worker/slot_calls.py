"""How a slot calls a task's function: the four kinds of call, and coroutines on the slot's own loop."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import CoroutineType
from typing import Any, cast

from manyhands.worker.slot_interrupts import Interrupts

# pb.Call, which this file may not import: slots load no protobuf. A test holds them together.
ITEM = 1
STAR = 2
FULL = 3
APPLY = 4

#: What a call of an `async def` returns.
COROUTINE = CoroutineType


class AsyncRunner:
    """The slot's event loop: made when first needed, one for the life of the process unless a task closes it."""

    def __init__(self, interrupts: Interrupts) -> None:
        self._interrupts = interrupts
        self._loop: Any = None  # asyncio is imported only for those who use it

    def run(self, coroutine: Any) -> Any:
        """Run to the end, and return what it returns."""
        if self._loop is None or self._loop.is_closed():
            import asyncio

            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
        loop, interrupts = self._loop, self._interrupts
        running = loop.create_task(coroutine)
        # From a signal's handler, while the loop may be waiting for something to happen.
        interrupts.cancel_coroutine = lambda: loop.call_soon_threadsafe(running.cancel)
        try:
            return loop.run_until_complete(running)
        finally:
            interrupts.cancel_coroutine = None


def caller(call: int, function: Any) -> Callable[[Any], Any]:
    """What to call with an item."""
    if call == ITEM:
        return cast("Callable[[Any], Any]", function)
    if call == STAR:
        return lambda item: function(*item)
    if call == FULL:
        return lambda item: function(*item[0], **item[1])
    return lambda item: item[0](*item[1], **item[2])


def caller_with(context: Any, call: int, function: Any) -> Callable[[Any], Any]:
    """Likewise, so that the task's function is given `context=context`, too."""
    if call == APPLY:
        return lambda item: item[0](*item[1], **item[2], context=context)
    return caller(call, partial(function, context=context))
