"""Timeouts: when a slot's task has run too long, its process is killed; the slot need not help.

The agent is not told when a task starts. It reads that in the page, when the slot's deadline is due: the earliest
moment at which any task that the slot holds can have run too long.
"""

from __future__ import annotations

from manyhands.worker.commands import Command, Kill
from manyhands.worker.slot_state import Fed, Look, Slot
from manyhands.worker.timers import NEVER, Timers


class Deadlines:
    """One deadline a slot, however many tasks it holds; a timer that is not for the present one is void."""

    def __init__(self, look: Look, timers: Timers) -> None:
        self._look = look
        self._timers = timers

    def watch(self, slot: Slot, timeout: float, now: float) -> None:
        """The slot was fed tasks that may run `timeout` seconds each."""
        if now + timeout < slot.deadline:
            slot.deadline = now + timeout
            self._timers.set(slot.deadline, "deadline", slot)

    def check(self, slot: Slot, now: float, out: list[Command]) -> None:
        """A timer fired: if the slot's deadline is due, kill it, or come back."""
        if now < slot.deadline or slot.overdue:
            return
        slot.deadline = NEVER
        started, busy, since = self._look(slot.number)
        running = _at(slot, started) if busy else None
        left = [fed.piece.timeout for fed in slot.fed if fed.piece.timeout]
        if running is not None and running.piece.timeout:
            left.append(since + running.piece.timeout - now)
        if not left:
            return
        if min(left) > 0.0:
            self.watch(slot, min(left), now)
        else:
            slot.overdue = started
            out.append(Kill(slot.number))


def _at(slot: Slot, position: int) -> Fed | None:
    """What the slot holds at this position."""
    return next((fed for fed in slot.fed if fed.position <= position < fed.position + fed.count), None)
