"""What slots have finished: to the results that wait for the master, and no longer held here."""

from __future__ import annotations

from manyhands.protos import manyhands_pb2 as pb
from manyhands.worker import keeping
from manyhands.worker.commands import Command
from manyhands.worker.durations import updated
from manyhands.worker.held import Held
from manyhands.worker.intake import Intake
from manyhands.worker.pieces import Piece
from manyhands.worker.reports import Done, Failed, Interrupted
from manyhands.worker.results import ResultBuffer
from manyhands.worker.revokes import returned_body
from manyhands.worker.roster import Roster
from manyhands.worker.slot_state import Fed, Slot, Verdict
from manyhands.worker.stopping import failed_body


class Finishing:
    """`name` is the worker's. Each method raises SlotFault if the slot cannot mean that."""

    def __init__(self, roster: Roster, held: Held, intake: Intake, results: ResultBuffer, name: str) -> None:
        self._roster = roster
        self._held = held
        self._intake = intake
        self._results = results
        self._name = name

    def done(self, slot: Slot, report: Done, out: list[Command]) -> None:
        fed, first = self._roster.pop_run(slot, report)
        piece = fed.piece
        self._measure(fed, report.count, report.seconds)
        kept = keeping.take(slot, report.position, report.count)
        if not piece.lease.dead:
            self._results.add(piece.lease, first, report, kept)
        else:
            keeping.drop(kept, out)
        self._intake.release(piece, report.count)

    def failed(self, slot: Slot, report: Failed) -> None:
        fed, index = self._roster.pop(slot, report.position, 1)
        piece = fed.piece
        lease = piece.lease
        self._measure(fed, 1, report.seconds)
        if not lease.dead:
            failure = pb.Failure(
                job=lease.job,
                lease=lease.number,
                index=index,
                kind=pb.Failure.KIND_EXCEPTION,
                payload=report.payload,
                retryable=report.retryable,
                seconds=report.seconds,
                attempt=piece.attempt,
            )
            self._results.add_body(pb.Body(failure=failure), len(report.payload))
        self._intake.release(piece, 1)

    def interrupted(self, slot: Slot, report: Interrupted) -> None:
        verdict = slot.verdicts.get(report.position)
        fed, index = self._roster.pop(slot, report.position, 1)
        piece = fed.piece
        if not piece.lease.dead:
            self.stopped(piece, index, verdict, report.seconds)
        self._intake.release(piece, 1)

    def stopped(self, piece: Piece, index: int, verdict: Verdict | None, seconds: float) -> None:
        """A task was stopped and came to nothing."""
        lease = piece.lease
        if verdict is None or lease.wants_stopped(index):
            # Without a verdict it was the master's wish, or user code that forges reports: then it is tried again.
            self._results.add_body(returned_body(0, lease.number, [(index, index + 1)]), 0)
            return
        self._results.add_body(failed_body(piece, index, verdict, self._name, seconds), 0)

    def _measure(self, fed: Fed, count: int, seconds: float) -> None:
        pace = fed.piece.pace
        each = updated(pace, count, seconds)
        pace.measured += count
        self._held.repace(pace, each)
