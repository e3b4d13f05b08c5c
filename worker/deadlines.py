"""Timeouts: when a slot's task has run too long, its process is killed; the slot need not help.

The agent is not told when a task starts. It reads that in the page, when the slot's deadline is due: the earliest
moment at which the task that ran when the deadline was set, or one behind it, can have run too long.
"""

from __future__ import annotations

from manyhands.worker.commands import Command, Kill
from manyhands.worker.slot_state import Fed, Look, Slot
from manyhands.worker.timers import Timers


class Deadlines:
    """One timer a slot, however many tasks it holds."""

    def __init__(self, look: Look, timers: Timers) -> None:
        self._look = look
        self._timers = timers

    def watch(self, slot: Slot, timeout: float, now: float) -> None:
        """The slot was fed tasks that may run `timeout` seconds each."""
        if not slot.has_deadline:
            slot.has_deadline = True
            self._timers.set(now + timeout, "deadline", slot)

    def check(self, slot: Slot, now: float, out: list[Command]) -> None:
        """The slot's deadline is due: kill it, or come back."""
        slot.has_deadline = False
        if slot.overdue:
            return
        started, busy, since = self._look(slot.number)
        running = _at(slot, started) if busy else None
        if running is not None and running.piece.timeout:
            due = since + running.piece.timeout
            if due <= now:
                slot.overdue = started
                out.append(Kill(slot.number))
                return
        else:
            timeouts = [fed.piece.timeout for fed in slot.fed if fed.piece.timeout]
            if not timeouts:
                return
            due = now + min(timeouts)
        self.watch(slot, due - now, now)


def _at(slot: Slot, position: int) -> Fed | None:
    """What the slot holds at this position."""
    return next((fed for fed in slot.fed if fed.position <= position < fed.position + fed.count), None)
