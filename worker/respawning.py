"""When a slot's next process is started: at once, unless it keeps dying before it has run anything."""

from __future__ import annotations

from manyhands.worker.commands import Command, Complain, Spawn
from manyhands.worker.slot_state import Slot
from manyhands.worker.timers import Timers

#: Seconds before a slot is started again that twice in a row died before it had run anything; doubles.
RESPAWN_DELAY = 0.1
RESPAWN_DELAY_MAX = 30.0

#: Deaths in a row after which the agent says so; then at every tenth.
COMPLAIN_AFTER = 3


def respawn(slot: Slot, exit_code: int, stderr_tail: str, now: float, timers: Timers, out: list[Command]) -> None:
    """The slot has died, and `slot.failures` counts that: start it again, or set a timer for that."""
    if slot.failures < 2:
        out.append(Spawn(slot.number))
        return
    delay = min(RESPAWN_DELAY * 2 ** min(slot.failures - 2, 16), RESPAWN_DELAY_MAX)
    timers.set(now + delay, "spawn", slot)
    if slot.failures == COMPLAIN_AFTER or slot.failures % 10 == 0:
        out.append(Complain(slot.complaint(exit_code, stderr_tail, delay)))
