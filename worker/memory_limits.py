"""Limits of memory: whose task is killed for what its slot uses, and who is not to blame for it.

The agent asks the kernel, never the slot: a task may hold the interpreter's lock. It asks only about slots that hold
tasks with a limit, and seldom as long as they are far below it.

What a slot uses may be what earlier tasks left in it: caches, leaks. So a task fails only if it was the first that its
process ran, or if little was there when it was first seen to run. Otherwise it runs again in the slot's next process,
uncharged, where it is the first.
"""

from __future__ import annotations

from manyhands.wire.sizes import shown
from manyhands.worker.commands import Command, Complain, Measure
from manyhands.worker.pieces import Limits
from manyhands.worker.slot_state import Fed, Look, Slot, TooLarge
from manyhands.worker.stopping import Stopping
from manyhands.worker.timers import NEVER, Timers

#: Seconds between two measurements: what is left to the limit divided by GROWTH, within these bounds.
INTERVAL_MIN = 0.025
INTERVAL_MAX = 0.25
#: Bytes a second: several times as fast as a thread gets fresh pages, so that a task is first seen when it is small.
GROWTH = 16 << 30

#: A measurement that took so long as to matter is followed by a pause of so many times as long.
PAUSE_FACTOR = 10

#: What was there when a task was first seen to run is little if it is less than this part of its limit.
LITTLE = 0.25


class MemoryLimits:
    """One measurement a slot at a time, however many tasks it holds."""

    def __init__(self, look: Look, timers: Timers, stopping: Stopping) -> None:
        self._look = look
        self._timers = timers
        self._stopping = stopping

    def watch(self, slot: Slot, delay: float, now: float) -> None:
        """The slot holds a task with a limit: measure in `delay` seconds, unless that is to happen before."""
        if now + delay < slot.measure_at and not slot.measuring:
            slot.measure_at = now + delay
            self._timers.set(slot.measure_at, "memory", slot)

    def check(self, slot: Slot, now: float, out: list[Command]) -> None:
        """A timer fired: if it is the latest, have the slot measured, should a task with a limit run there."""
        if now < slot.measure_at or slot.killed:
            return
        slot.measure_at = NEVER
        running = self._running(slot)
        if running is not None and (limit := running.piece.limits.memory_bytes):
            slot.measuring, slot.measuring_since = self._look(slot.number).started, now
            out.append(Measure(slot.number, slot.measuring, limit))
        elif _is_limited(slot):
            self.watch(slot, INTERVAL_MIN, now)

    def measured(self, slot: Slot, position: int, used_bytes: int, now: float, out: list[Command]) -> None:
        """The answer to the Measure for this position; void if another process has the slot since."""
        if position != slot.measuring or slot.killed:
            return
        slot.measuring = 0
        took = now - slot.measuring_since
        running = self._running(slot)
        interval = INTERVAL_MIN
        if running is not None and self._look(slot.number).started == position:
            if slot.first_seen[0] != position:
                slot.first_seen = position, used_bytes
            limits = running.piece.limits
            if used_bytes > limits.memory_bytes:
                self._exceeded(slot, running, position, used_bytes, out)
                return
            interval = (limits.memory_bytes - used_bytes) / GROWTH
        if _is_limited(slot):
            interval = min(max(interval, INTERVAL_MIN), INTERVAL_MAX)
            self.watch(slot, max(interval, PAUSE_FACTOR * took), now)

    def _exceeded(self, slot: Slot, fed: Fed, position: int, used_bytes: int, out: list[Command]) -> None:
        limits = fed.piece.limits
        index = fed.lo + position - fed.position
        task = f"task {index} of {fed.piece.lease.name!r}" if fed.piece.lease.name else f"task {index}"
        before = slot.first_seen[1]
        is_first = not slot.completed and slot.fed[0].position == position
        is_to_blame = is_first or before < LITTLE * limits.memory_bytes or position in slot.verdicts
        what = f"slot {slot.number} used {shown(used_bytes)} of private memory, more than {_allowed(limits)}"
        if is_to_blame:
            verdict = TooLarge(used_bytes, limits.memory_bytes, limits.memory_option)
            self._stopping.kill(slot, position, verdict, out)
            out.append(Complain(f"{what}, while it ran {task}: it was killed"))
        else:
            slot.excused = True
            self._stopping.kill(slot, position, None, out)
            out.append(
                Complain(
                    f"{what}, much of which earlier tasks may have left there: it was killed, "
                    f"and {task} runs again in its next process, uncharged"
                )
            )

    def _running(self, slot: Slot) -> Fed | None:
        sight = self._look(slot.number)
        return slot.at(sight.started) if sight.busy else None


def _allowed(limits: Limits) -> str:
    option = "the task's memory=" if limits.memory_option == "memory" else "the worker's --memory"
    return f"{shown(limits.memory_bytes)} ({option})"


def _is_limited(slot: Slot) -> bool:
    return any(fed.piece.limits.memory_bytes for fed in slot.fed)
