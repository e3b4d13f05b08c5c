"""An asyncio event loop on virtual time: when nothing is ready to run, the clock jumps to the next timer.

Callbacks belong to parties, which may be stopped or killed; see `party.py`.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any

from tests.simulation.party import Step, TimedStep, current, party_of

#: Turns of the loop without any time passing, after which two callbacks must be calling each other for ever.
TURNS_MAX = 100_000


class Stuck(Exception):
    """The simulated world has stopped: nothing will ever happen, or nothing but callbacks at one instant."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs the same callbacks in the same order every time, as long as they decide nothing by chance or real time."""

    def __init__(self, start: float = 1000.0) -> None:
        super().__init__()
        self._now = start
        self._turns = 0
        # What BaseEventLoop asks of a loop that is made of sockets: here `select` below is all there is.
        self._selector = self
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._now

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:
        context = copy_context() if context is None else context  # an empty one is false
        party = party_of(context)
        if party is None:
            return super().call_soon(callback, *args, context=context)
        step = Step(callback, args, self, context, party)
        self._ready.append(step)
        return step

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        context = copy_context() if context is None else context  # an empty one is false
        party = party_of(context)
        if party is None:
            return super().call_at(when, callback, *args, context=context)
        timer = TimedStep(when, callback, args, self, context, party)
        heapq.heappush(self._scheduled, timer)
        timer._scheduled = True
        return timer

    def create_task(
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        runner = super().create_task(coro, name=name, context=context)
        party = current() if context is None else party_of(context)
        if party is not None:
            party.owns(runner)
        return runner

    def select(self, timeout: float | None) -> list[object]:
        if timeout is None:
            raise Stuck("nothing is ready and no timer is set")
        due = self._scheduled[0].when() if timeout else self._now
        if due > self._now:
            self._now = due
            self._turns = 0
        self._turns += 1
        if self._turns > TURNS_MAX:
            raise Stuck(f"{self._turns} turns of the loop and no time has passed")
        return []

    def _process_events(self, event_list: list[object]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass
