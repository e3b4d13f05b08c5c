"""When the master hears: at once if a slot has run out of work, early if the queue soon would, else in time."""

from __future__ import annotations

from manyhands.worker.commands import Command, Send
from manyhands.worker.held import Held
from manyhands.worker.results import BODY_BYTES, ResultBuffer
from manyhands.worker.roster import Roster
from manyhands.worker.slot_state import Slot
from manyhands.worker.timers import NEVER

#: Seconds between reports while busy, until the master's first Tuning.
FLUSH_INTERVAL = 0.005

#: Seconds at least between reports that a lack of work makes urgent, as long as the slot still has some.
EAGER_INTERVAL = 0.001

#: Seconds that pass, at a guess, between a report and the work it brings.
ROUND_TRIP = 0.002


class Reporting:
    """Owns the buffer's deadline."""

    def __init__(self, roster: Roster, held: Held) -> None:
        self._roster = roster
        self._held = held
        self.results = ResultBuffer()
        #: Seconds; the master tunes it.
        self.flush_interval = FLUSH_INTERVAL
        #: When the buffer goes out at the latest; NEVER if it is empty.
        self.flush_at = NEVER
        self._flushed_at = -NEVER

    def plan(self, slot: Slot, now: float, out: list[Command]) -> None:
        """The slot has reported, and was fed again if there was work: report now, or see to it later."""
        if not self.results:
            return
        if not slot.fed or self.results.bytes >= BODY_BYTES:
            self.flush(now, out)
            return
        if self.flush_at == NEVER:
            self.flush_at = now + self.flush_interval
        held = self._held
        ready = self._roster.ready
        if held.count < ready or held.seconds < ready * (self.flush_at - now + ROUND_TRIP):
            self.flush_at = min(self.flush_at, self._flushed_at + EAGER_INTERVAL)
        if self.flush_at <= now:
            self.flush(now, out)

    def flush(self, now: float, out: list[Command]) -> None:
        """Report everything now."""
        self.flush_at = NEVER
        if self.results:
            self._flushed_at = now
            out += [Send(body) for body in self.results.take()]

    def reset(self) -> None:
        """Drop everything; the next session tunes anew."""
        self.results.clear()
        self.flush_at = NEVER
        self.flush_interval = FLUSH_INTERVAL

    def check_invariants(self) -> None:
        """Assert that what waits has a deadline."""
        assert bool(self.results) == (self.flush_at < NEVER)
