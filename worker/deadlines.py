"""Timeouts: when a slot's task has run too long, it is stopped; the slot need not help.

The agent is not told when a task starts. It reads that in the page, when the slot's deadline is due: the earliest
moment at which any task that the slot holds can have run too long.
"""

from __future__ import annotations

from collections.abc import Iterator

from manyhands.worker.commands import Command
from manyhands.worker.pieces import Limits
from manyhands.worker.slot_state import Look, Sight, Slot, TooSlow
from manyhands.worker.stopping import Stopping
from manyhands.worker.timers import NEVER, Timers

#: A slot is looked at again after so many seconds at the earliest, however short its timeouts are.
INTERVAL_MIN = 0.001


class Deadlines:
    """One deadline a slot, however many tasks it holds; a timer that is not for the present one is void."""

    def __init__(self, look: Look, timers: Timers, stopping: Stopping) -> None:
        self._look = look
        self._timers = timers
        self._stopping = stopping

    def watch(self, slot: Slot, timeout: float, now: float) -> None:
        """The slot was fed tasks of which one may have to be stopped after `timeout` seconds."""
        due = now + max(timeout, INTERVAL_MIN)
        if due < slot.deadline:
            slot.deadline = due
            self._timers.set(slot.deadline, "deadline", slot)

    def check(self, slot: Slot, now: float, out: list[Command]) -> None:
        """A timer fired: if the slot's deadline is due, stop its task, or come back."""
        if now < slot.deadline or slot.killed:
            return
        slot.deadline = NEVER
        # Whatever of this it begins from now on.
        left = [fed.piece.limits.patience for fed in slot.fed if fed.piece.limits.patience]
        sight = self._look(slot.number)
        running = slot.at(sight.started) if sight.busy else None
        if running is not None and not sight.is_setting_up:
            for verdict, due in _dues(running.piece.limits, sight):
                if due > now:
                    left.append(due - now)
                else:
                    self._stopping.stop(slot, sight.started, verdict, now, out)
        if left:
            self.watch(slot, min(left), now)


def _dues(limits: Limits, sight: Sight) -> Iterator[tuple[TooSlow, float]]:
    """What the running task fails with, and when."""
    if limits.timeout:
        yield TooSlow(limits.timeout), sight.since + limits.timeout
    if limits.progress_timeout:
        latest = max(sight.since, sight.progressed)
        note = sight.note if sight.progressed >= sight.since else ""
        yield TooSlow(limits.progress_timeout, "progress_timeout", note), latest + limits.progress_timeout
