"""From the background loop to a user's: awaitables for futures, and waiting for a map's next results."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from manyhands.client.futures import Future
from manyhands.client.reading import Reader


class Bridge:
    """To one user's event loop. Many futures that end together cross it together."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._crossing: deque[Callable[[], None]] = deque()
        self._woken = False

    def _send(self, action: Callable[[], None]) -> None:
        """From the background's threads: have `action` run on the user's loop, if that still runs."""
        self._crossing.append(action)
        if not self._woken:
            self._woken = True
            try:
                self.loop.call_soon_threadsafe(self._drain)
            except RuntimeError:  # closed: nobody awaits any more
                self._crossing.clear()

    def _drain(self) -> None:
        self._woken = False  # before popping: whoever appends later wakes us again
        try:
            while self._crossing:
                self._crossing.popleft()()
        except BaseException:  # user code that decoding runs may end with SystemExit
            self.loop.call_soon(self._drain)  # the others are not to blame
            raise

    def awaitable(self, future: Future[Any]) -> asyncio.Future[Any]:
        """A future of the user's loop that ends as `future` does, and is decoded there."""
        awaited = self.loop.create_future()
        awaited.add_done_callback(partial(_cancel_too, future))
        future.on_end(partial(self._send, partial(_copy, future, awaited)))
        return awaited

    async def wait(self, reader: Reader, deadline: float | None) -> None:
        """Until `reader.poll` is worth another try. Raises TimeoutError at `deadline`, a monotonic time."""
        arrival = self.loop.create_future()
        if reader.wake_on_arrival(partial(self._send, partial(_arrive, arrival))):
            timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
            await asyncio.wait_for(arrival, timeout)


def _arrive(arrival: asyncio.Future[None]) -> None:
    if not arrival.done():
        arrival.set_result(None)


def _cancel_too(future: Future[Any], awaited: asyncio.Future[Any]) -> None:
    if awaited.cancelled():
        future.cancel()


def _copy(future: Future[Any], awaited: asyncio.Future[Any]) -> None:
    if awaited.done():
        return
    if future.cancelled():
        awaited.cancel()
        return
    error = future.exception()
    if error is None:
        awaited.set_result(future.result())
    elif isinstance(error, StopIteration):  # asyncio's futures refuse it
        refused = RuntimeError("the task raised StopIteration")
        refused.__cause__ = error
        awaited.set_exception(refused)
    else:
        awaited.set_exception(error)
