"""An asyncio event loop on virtual time: when nothing is ready to run, the clock jumps to the next timer."""

from __future__ import annotations

import asyncio

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
