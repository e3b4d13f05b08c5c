"""Stopping the task that a slot runs: an interrupt, a moment to clean up, then the process is killed.

Which task that is the agent reads in the page. Why it is stopped decides what becomes of it, should it come to nothing:
a failure (`Slot.verdicts`), or, if the master asked for it, it goes back like what had not started (`Lease.stopped`).
"""

from __future__ import annotations

from manyhands.protos import manyhands_pb2 as pb
from manyhands.worker.commands import Command, Interrupt, Kill
from manyhands.worker.pieces import Piece
from manyhands.worker.slot_state import Look, Slot, TooSlow, Verdict
from manyhands.worker.timers import Timers

#: Seconds that an interrupted task has to end before its process is killed.
STOP_GRACE = 1.0

#: Seconds between interrupts, as one that strikes in the slot's own code does nothing.
REPEAT_INTERVAL = 0.1


class Stopping:
    """Carries it out; whom to stop is for others to say."""

    def __init__(self, look: Look, timers: Timers) -> None:
        self._look = look
        self._timers = timers

    def stop(self, slot: Slot, position: int, verdict: Verdict | None, now: float, out: list[Command]) -> None:
        """Stop the task that the slot has begun at this position, unless that is being done."""
        if slot.killed or slot.stopping == position:
            return
        slot.stopping = position
        slot.kill_at = now + STOP_GRACE
        if verdict is not None:
            slot.verdicts[position] = verdict
        self._interrupt(slot, now, out)

    def kill(self, slot: Slot, position: int, verdict: Verdict | None, out: list[Command]) -> None:
        """End the task that the slot has begun at this position at once: what it does meanwhile may cost others."""
        if slot.killed:
            return
        slot.stopping = slot.killed = position
        if verdict is not None:
            slot.verdicts.setdefault(position, verdict)
        out.append(Kill(slot.number))

    def stop_unwanted(self, slot: Slot, now: float, out: list[Command]) -> None:
        """Stop what the slot has begun last, if the master wants it stopped; not before a cut that is under way.

        Or the slot would go on with what waits behind it, of which the cut takes back only what it has not begun.
        """
        if slot.cut is not None and not slot.cut.sent:
            return
        started = self._look(slot.number).started
        fed = slot.at(started)
        if fed is not None and fed.piece.lease.wants_stopped(fed.lo + started - fed.position):
            self.stop(slot, started, None, now, out)

    def go_on(self, slot: Slot, now: float, out: list[Command]) -> None:
        """A timer fired: interrupt it once more, or kill the process."""
        if not slot.stopping or slot.killed:
            return
        if self._look(slot.number).started != slot.stopping:
            self._next(slot, now, out)  # its report is on the way
        elif now < slot.kill_at:
            self._interrupt(slot, now, out)
        else:
            slot.killed = slot.stopping
            out.append(Kill(slot.number))

    def reported(self, slot: Slot, now: float, out: list[Command]) -> None:
        """The slot has reported something."""
        if slot.verdicts:
            slot.verdicts = {at: each for at, each in slot.verdicts.items() if slot.at(at) is not None}
        if slot.stopping and slot.at(slot.stopping) is None:
            self._next(slot, now, out)

    def _next(self, slot: Slot, now: float, out: list[Command]) -> None:
        """The task has ended; the one that runs now may be unwanted, too."""
        slot.stopping = 0
        self.stop_unwanted(slot, now, out)

    def _interrupt(self, slot: Slot, now: float, out: list[Command]) -> None:
        out.append(Interrupt(slot.number, slot.stopping))
        self._timers.set(min(now + REPEAT_INTERVAL, slot.kill_at), "stop", slot)


def failed_body(piece: Piece, index: int, verdict: Verdict, worker: str, seconds: float) -> pb.Body:
    """What the master is told of a task that was stopped with this verdict, after so many seconds."""
    failure = pb.Failure(
        job=piece.lease.job,
        lease=piece.lease.number,
        index=index,
        text=worker,
        seconds=seconds,
        limit=verdict.limit,
        attempt=piece.attempt,
    )
    if isinstance(verdict, TooSlow):
        failure.kind, failure.timeout, failure.progress = pb.Failure.KIND_TIMED_OUT, verdict.timeout, verdict.progress
    else:
        failure.kind = pb.Failure.KIND_MEMORY_EXCEEDED
        failure.used_bytes, failure.limit_bytes = verdict.used_bytes, verdict.limit_bytes
    return pb.Body(failure=failure)
