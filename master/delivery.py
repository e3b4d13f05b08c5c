"""The scheduler's commands carried out: what workers and clients are sent, and written down before it counts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from manyhands.master import commands as cmd
from manyhands.master.data import Datum
from manyhands.master.data_keeper import DataKeeper
from manyhands.master.definitions import HeldBlock
from manyhands.master.detached import Detached
from manyhands.master.journal import WHOLE_JOB, Journal
from manyhands.master.limits import Ledger
from manyhands.master.peers import Peer
from manyhands.master.recompute_jobs import RecomputeJobs
from manyhands.master.records import JobRecord
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.blocks import results_slice
from manyhands.wire.sizes import shown
from manyhands.wire.spans import Span

if TYPE_CHECKING:
    from manyhands.master.drivers.driving import Drivers

log = logging.getLogger("manyhands.master")


class Delivery:
    """`peers` by number, `records` of open jobs by the master's number."""

    def __init__(
        self,
        peers: dict[int, Peer],
        records: dict[int, JobRecord],
        journal: Journal | None,
        detached: Detached | None,
        ledger: Ledger,
        data: DataKeeper,
    ) -> None:
        self._data = data
        self._detached = detached
        self._peers = peers
        self._records = records
        self._journal = journal
        self._ledger = ledger
        #: Set once: those who are told instead of clients.
        self.drivers: Drivers
        self.recompute_jobs: RecomputeJobs

    def execute(self, commands: Sequence[cmd.Command]) -> None:
        """Carry out commands, in order."""
        for command in commands:
            match command:
                case cmd.Dispatch():
                    self._dispatch(command)
                case cmd.DeliverRun():
                    self._deliver_run(command)
                case cmd.DropResults():
                    self._data.forget(self._peers[command.worker], command.message.stored)
                case cmd.Revoke():
                    ranges = [pb.Range(lo=lo, hi=hi) for lo, hi in command.spans]
                    revoke = pb.Revoke(revoke=command.revoke, lease=command.lease, ranges=ranges, stop=command.stop)
                    self._peers[command.worker].send(pb.Body(revoke=revoke), command.job)
                case cmd.DeliverFailure():
                    self._deliver_failure(command)
                case cmd.DeliverCancelled():
                    self._deliver_cancelled(command)
                case cmd.DeliverDispatched():
                    self._deliver_dispatched(command)
                case cmd.KeepState() | cmd.KeepTries() | cmd.KeepDispatched() | cmd.RefuseState():
                    self._keep(command, self._journal)
                case cmd.CloseJob():
                    self._close_job(command)
                case cmd.RejectJob():
                    self._reject(command)

    def _deliver_failure(self, command: cmd.DeliverFailure) -> None:
        record = self._records.get(command.job)
        if record is not None and record.recomputes:
            self.recompute_jobs.failed(command.job, record.recomputes, command.message)
        elif record is not None and record.face is not None:
            self.drivers.failed(record.face, command)
        elif record is not None:
            message = command.message
            message.job = record.number
            message.lease = 0
            spans = ((message.index, message.end or message.index + 1),)
            self._deliver(command, record, spans, "failed", message.index, pb.Body(failure=message))

    def _deliver_cancelled(self, command: cmd.DeliverCancelled) -> None:
        record = self._records.get(command.job)
        if record is not None and record.face is not None:
            self.drivers.cancelled(record.face)
        elif record is not None:
            ranges = [pb.Range(lo=lo, hi=hi) for lo, hi in command.spans]
            body = pb.Body(cancelled=pb.Cancelled(job=record.number, ranges=ranges))
            self._deliver(command, record, command.spans, "cancelled", command.spans[0][0], body)

    def _deliver_dispatched(self, command: cmd.DeliverDispatched) -> None:
        """Not worth writing down: after a restart the client asks again."""
        record = self._records.get(command.job)
        if record is not None and record.client is not None:
            ranges = [pb.Range(lo=lo, hi=hi) for lo, hi in command.spans]
            record.client.send(pb.Body(dispatched=pb.Dispatched(job=record.number, ranges=ranges)))

    @staticmethod
    def _keep(
        command: cmd.KeepState | cmd.KeepTries | cmd.KeepDispatched | cmd.RefuseState, journal: Journal | None
    ) -> None:
        if isinstance(command, cmd.RefuseState):
            size = shown(command.size)
            log.warning("task %d of job %d saved %s: there is no room for that", command.index, command.job, size)
        elif journal is None:
            return
        elif isinstance(command, cmd.KeepState):
            journal.state(command.job, command.index, command.state)
        elif isinstance(command, cmd.KeepDispatched):
            journal.mark(command.job, "dispatched", command.spans)
        else:
            crashes = [report.SerializeToString() for report in command.crashes]
            journal.tried(command.job, command.index, command.attempts, command.failures, crashes, command.delay)

    def _deliver(
        self,
        command: cmd.DeliverRun | cmd.DeliverFailure | cmd.DeliverCancelled,
        record: JobRecord,
        spans: Sequence[Span],
        kind: str,
        key: int,
        body: pb.Body,
    ) -> None:
        if command.gone:
            self._ledger.release(command.job, command.gone)
        if self._journal is not None:
            size = len(body.results.payload) if kind == "succeeded" else 0
            self._journal.ended(command.job, spans, kind, command.gone, size)
        self._tell(command.job, record, key, body)

    def tell_outcome(self, job: int, key: int, body: pb.Body) -> None:
        """One of a job with a driver."""
        self._tell(job, self._records[job], key, body)

    def _tell(self, job: int, record: JobRecord, key: int, body: pb.Body) -> None:
        receipt = None
        if self._journal is not None:
            receipt = job, key
            self._journal.outcome(job, key, body)
        if record.client is None or record.detached:
            return
        if self._journal is not None and body.results.stored:
            # Until that is written down, nobody but this master knows that the client holds what is in a store.
            self._journal.when_durable(partial(record.client.send, body, receipt=receipt))
        else:
            record.client.send(body, receipt=receipt)

    def _close_job(self, command: cmd.CloseJob) -> None:
        record = self._records.get(command.job)
        if record is not None and record.face is None:  # otherwise it is its driver who ends it
            self.close(command.job)

    def _reject(self, command: cmd.RejectJob) -> None:
        self.reject(command.job, command.sentence)

    def reject(self, job: int, sentence: str, code: pb.JobRejected.Code = pb.JobRejected.CODE_UNSPECIFIED) -> None:
        """Tell the client that, and why, a job cannot go on; the scheduler knows."""
        record = self._records.get(job)
        if record is not None and record.client is not None:
            receipt = None
            body = pb.Body(job_rejected=pb.JobRejected(job=record.number, sentence=sentence, code=code))
            if self._journal is not None:
                receipt = job, WHOLE_JOB
                self._journal.outcome(job, WHOLE_JOB, body)
            record.client.send(body, receipt=receipt)
            record.detached = False  # there is nothing to be kept
        self.close(job)

    def close(self, job: int) -> None:
        """The job is over; what its client has not got of it is still on its way."""
        record = self._records.pop(job, None)
        if record is None:
            return
        self._ledger.close(job)
        if record.face is not None:
            self.drivers.closed(record.face)
        if record.client is not None:
            record.client.close_job(record.number, job)
        if self._journal is not None:
            self._journal.finished(job)
            if self._detached is not None:
                if record.detached:
                    self._detached.finished(job)
                else:
                    self._detached.remove(job, "it was rejected")

    def forget(self, job: int) -> None:
        """Nobody wants to hear of the job any more."""
        record = self._records.pop(job, None)
        self._ledger.close(job)
        if record is not None and record.face is not None:
            self.drivers.closed(record.face)
        if record is not None and record.client is not None:
            record.client.close_job(record.number, job)
        if self._detached is not None:
            self._detached.remove(job, "the job was cancelled")
        if self._journal is not None:
            self._journal.forget(job)

    def _dispatch(self, command: cmd.Dispatch) -> None:
        peer = self._peers[command.worker]
        record = self._records[command.job]
        for definition in record.held:
            peer.define(definition.hash, definition.blob, command.job)
        message = pb.Dispatch(
            lease=command.lease,
            job=command.job,
            priority=command.priority,
            tag=command.tag,
            retry_on=command.retry_on,
            timeout=command.timeout,
            progress_timeout=command.progress_timeout,
            memory_bytes=command.memory_bytes,
            context=command.context,
            job_name=command.job_name,
            keep_bytes=record.threshold(peer),
        )
        last: object = None
        for piece in command.pieces:
            block = piece.block
            assert isinstance(block, HeldBlock)
            if block is not last:
                last = block
                for definition in block.held:
                    peer.define(definition.hash, definition.blob, command.job)
            base, ends, payload = block.slice(piece.lo, piece.hi)
            message.pieces.add(
                first=piece.lo,
                base=base,
                ends=ends,
                payload=payload,
                function=block.function,
                call=block.call,
                attempt=piece.attempt,
                careful=piece.careful,
                definitions=block.definitions,
                state=piece.state,
                data=block.needs,
                keep_as=record.recomputes,
            )
        peer.send(pb.Body(dispatch=message), command.job)

    def _left_behind(self, command: cmd.DeliverRun, record: JobRecord) -> list[Datum]:
        """Some results are in the worker's store: the client, if they are for it, holds them, and those that came too
        late are dropped. Returns the others.
        """
        worker = self._peers[command.worker]
        first_time: list[pb.Stored] = []
        late: list[pb.Stored] = []
        for each in command.message.stored:
            is_first = any(lo <= each.index < hi for lo, hi in command.spans)
            (first_time if is_first else late).append(each)
        self._data.forget(worker, late)
        data = self._data.left_behind(worker, record.client if record.face is None else None, first_time)
        if record.face is None and record.client is not None and record.client.store == worker.store != "":
            return data  # there as long as the client, and nobody else needs it for longer
        if record.face is not None and record.face.driver.keeps_leaves:
            return data  # made again it would have other segments, if only because a set was in another order
        for each, datum in zip(first_time, data, strict=True):
            block = next(block for block in command.blocks if block.first <= each.index < block.end)
            self._data.note_recipe(datum, block, each.index, command.options, record.held)
        return data

    def _deliver_run(self, command: cmd.DeliverRun) -> None:
        record = self._records.get(command.job)
        if record is None:
            return
        message = command.message
        if record.recomputes:
            self.recompute_jobs.succeeded(command.job, record.recomputes, self._peers[command.worker], message)
            return
        message.job = record.number
        message.lease = 0
        data = self._left_behind(command, record) if message.stored else []
        if record.face is not None:
            self.drivers.succeeded(record.face, command, data)
            return
        count = len(message.ends) // 4
        if command.spans == ((message.first, message.first + count),):
            self._deliver(command, record, command.spans, "succeeded", message.first, pb.Body(results=message))
            return
        for number, (lo, hi) in enumerate(command.spans):
            part = pb.Body(results=results_slice(message, lo, hi))
            gone = command.gone if not number else ()
            self._deliver(replace(command, gone=gone), record, ((lo, hi),), "succeeded", lo, part)
