"""Taking work back from a slot: the cut handshake, and why no task runs twice.

Every task fed to a slot has a position; positions of a slot only grow and none is ever given to
two tasks. Before it runs a task the slot writes its position to the shared word `started`, THEN reads the
shared word `limit`, and runs the task only if position < limit. To take work back the agent

1. reads `started`, writes limit = started + 1 and waits at least a millisecond from the writing on;
2. reads `started` again, writes limit = cut := max(limit, started + 1), and sends Cut(cut) down the pipe;
3. feeds the slot nothing until it answers CutDone, and then lifts the limit.

A slot that meets a position at or above the limit reads its pipe until the Cut, which always follows,
drops everything at or above the cut, runs what is below, and answers.

Claim: from step 2 on, no task at or above the cut has been or will be run by the slot, so the agent may
give it to another at once. Let p >= cut be fed (all such p were fed before step 1). The slot runs p only
after it wrote started = p and then read a limit > p. If it read the limit before step 1's write was visible
to it, its earlier write of p was visible to the agent a millisecond later (store buffers drain within
microseconds; a preempted slot's are drained by the switch), so the agent read started >= p in step 2 and
chose cut > p: a contradiction. If it read the limit after step 1's write, it saw step 1's limit or the cut,
and both are <= cut <= p: it does not run p. It reads a higher limit only after step 3, when it has said
that it dropped p. Nothing is sent between Cut and CutDone, so what the lifted limit admits was fed later.

The millisecond counts from the writing of the limit (`limit_set`), not from when that was decided: the agent
may be preempted in between.

Nor does a slot wait for a Cut that never comes: it meets a limit only at a position that it read from its pipe,
and whatever limit was in force when that was written (limits are written at once, pipes after them) it sees, for
the pipe's lock orders memory. Only a limit lowered since can stop it, and that one's Cut follows.

Because positions are not reused, a `started` word that names a dropped task (published, then blocked by
the limit) names nothing the agent still counts as the slot's, and a death then charges nobody.
"""

from __future__ import annotations

from manyhands.worker.commands import Command, SendCut, SetLimit
from manyhands.worker.page import NO_LIMIT
from manyhands.worker.reports import CutDone
from manyhands.worker.roster import Roster
from manyhands.worker.slot_state import Cut, Fed, Look, Slot, SlotFault
from manyhands.worker.timers import Timers

#: Seconds between lowering the limit and reading `started` again.
CUT_DELAY = 0.001

#: A task that has run so long while others wait behind it is a straggler; also how often that is looked at.
WATCH_INTERVAL = 0.010


class Cutting:
    """Carries out the steps; who wants a cut, and what becomes of what it brings, is the core's affair."""

    def __init__(self, roster: Roster, look: Look, timers: Timers) -> None:
        self._roster = roster
        self._look = look
        self._timers = timers

    def begin(self, slot: Slot, out: list[Command]) -> None:
        """Step 1, unless it was taken already."""
        if slot.cut is not None:
            return
        limit = self._above_started(slot)
        slot.cut = Cut(limit)
        self._roster.idle.pop(slot.number, None)
        out.append(SetLimit(slot.number, limit))

    def _above_started(self, slot: Slot) -> int:
        # No more than all, whatever user code has done to the page.
        return min(self._look(slot.number).started + 1, slot.next_position)

    def limit_set(self, slot: Slot, limit: int, now: float) -> None:
        """The slot's page has this limit. If that is step 1's, a "cut" timer will call for step 2."""
        if slot.cut == Cut(limit):
            self._timers.set(now + CUT_DELAY, "cut", slot)

    def publish(self, slot: Slot, out: list[Command]) -> list[Fed]:
        """Step 2: returns what is the agent's again."""
        assert slot.cut is not None
        assert not slot.cut.sent
        cut = max(slot.cut.limit, self._above_started(slot))
        slot.cut = Cut(cut, sent=True)
        out.append(SetLimit(slot.number, cut))
        out.append(SendCut(slot.number, cut))
        return self._roster.cut_off(slot, cut)

    def done(self, slot: Slot, report: CutDone, out: list[Command]) -> None:
        """Step 3: the slot may be fed again."""
        if slot.cut != Cut(report.cut, sent=True) or slot.fed:
            raise SlotFault(f"slot {slot.number} answered a cut at {report.cut} that it was not sent")
        slot.cut = None
        out.append(SetLimit(slot.number, NO_LIMIT))

    def watch(self, slot: Slot, now: float, out: list[Command]) -> None:
        """Take back what waits behind a straggler, if another slot can take it; else look again later."""
        slot.watched = False
        if slot.outstanding < 2 or slot.cut is not None:
            return
        if self._is_stuck(slot, now) and any(
            other.ready and other.cut is None and other is not slot and not self._is_stuck(other, now)
            for other in self._roster.slots
        ):
            self.begin(slot, out)
        else:
            self.watch_later(slot, now)

    def watch_later(self, slot: Slot, now: float) -> None:
        """The slot has tasks waiting behind its running one: look at it from time to time."""
        slot.watched = True
        self._timers.set(now + WATCH_INTERVAL, "watch", slot)

    def _is_stuck(self, slot: Slot, now: float) -> bool:
        if not slot.fed:
            return False
        sight = self._look(slot.number)
        return sight.busy and now - sight.since >= WATCH_INTERVAL
