"""When the master hears: at once if a slot has run out of work, early if the queue soon would, else in time."""

from __future__ import annotations

from manyhands.worker.commands import Command, Send
from manyhands.worker.held import Held
from manyhands.worker.results import BODY_BYTES, ResultBuffer
from manyhands.worker.roster import Roster
from manyhands.worker.slot_state import Kept, Slot
from manyhands.worker.timers import NEVER

#: What the master must hear even if it has given up the session in which it was said: kinds of bodies.
REPORTS = frozenset(("results", "failure", "crash", "saved_state"))

#: Seconds between reports while busy, until the master's first Tuning.
FLUSH_INTERVAL = 0.005

#: Seconds at least between reports that a lack of work makes urgent, as long as the slot still has some.
EAGER_INTERVAL = 0.001

#: Seconds that pass, at a guess, between a report and the work it brings.
ROUND_TRIP = 0.002


class Urgency:
    """How soon a report may follow another because work runs out.

    At once with few workers. A master with a thousand hears them all when a job ends, so its interval, as far as
    it exceeds the usual one, spaces urgent reports as well: half of it apart on average, but for short bursts.
    The generic cell rate algorithm (ITU-T I.371).
    """

    SHARE = 0.5
    BURST = 2

    def __init__(self) -> None:
        self._last = self._due = -NEVER

    def sent(self, now: float, interval: float) -> None:
        """A report goes out; `interval`: the master's, between unhurried ones."""
        self._last = now
        self._due = max(self._due, now) + self._apart(interval)

    def next(self, interval: float, *, is_idle: bool, is_last: bool) -> float:
        """When the next may go; `is_idle`: a slot has nothing to do already; `is_last`: none has."""
        apart = self._apart(interval)
        # With many workers the slots that run out together are waited for.
        soonest = self._last if is_idle and not apart else self._last + EAGER_INTERVAL
        return soonest if is_last else max(soonest, self._due - self.BURST * apart)

    def _apart(self, interval: float) -> float:
        return max(0.0, interval - FLUSH_INTERVAL) * self.SHARE


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
        self._urgency = Urgency()

    def plan(self, slot: Slot, now: float, out: list[Command], *, at_once: bool = False) -> None:
        """The slot has reported, and was fed again if there was work: report now, or see to it later."""
        if not self.results:
            return
        if at_once or self.results.bytes >= BODY_BYTES:
            self.flush(now, out)
            return
        if self.flush_at == NEVER:
            self.flush_at = now + self.flush_interval
        if not slot.fed or self._runs_low(now):
            is_last = len(self._roster.idle) == self._roster.ready
            next = self._urgency.next(self.flush_interval, is_idle=not slot.fed, is_last=is_last)
            self.flush_at = min(self.flush_at, next)
        if self.flush_at <= now:
            self.flush(now, out)

    def _runs_low(self, now: float) -> bool:
        """Whether the queue may be empty before the next report has brought more."""
        held = self._held
        ready = self._roster.ready
        return held.count < ready or held.seconds < ready * (self.flush_at - now + ROUND_TRIP)

    def flush(self, now: float, out: list[Command]) -> None:
        """Report everything now."""
        self.flush_at = NEVER
        if self.results:
            self._urgency.sent(now, self.flush_interval)
            out += [Send(body) for body in self.results.take()]

    def reset(self) -> list[Kept]:
        """Drop everything; returns what is in the store of it. The next session tunes anew."""
        self.flush_at = NEVER
        self.flush_interval = FLUSH_INTERVAL
        return self.results.clear()

    def check_invariants(self) -> None:
        """Assert that what waits has a deadline."""
        assert bool(self.results) == (self.flush_at < NEVER)
