"""The engine: turns what peers send into the scheduler's events, and its commands into what peers are sent."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from manyhands.master import commands as cmd
from manyhands.master import events as ev
from manyhands.master.config import MasterConfig
from manyhands.master.definitions import Definition, DefinitionStore, HeldBlock
from manyhands.master.scheduler import Scheduler
from manyhands.master.sessions import Peer
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.blocks import BlockError, end_at, read_block
from manyhands.wire.session import ProtocolError
from manyhands.wire.spans import Span

log = logging.getLogger("manyhands.master")


@dataclass(slots=True)
class JobRecord:
    """What the engine knows of a job beside the scheduler: whose it is, and what waits for definitions."""

    client: Peer
    number: int  # the client's
    inbox: deque[pb.Body] = field(default_factory=deque)
    held: tuple[Definition, ...] = ()


class Engine:
    """One master's shell around the scheduler. All methods belong to the loop's thread."""

    def __init__(self, config: MasterConfig, rng: Random) -> None:
        self._loop = asyncio.get_running_loop()
        self._definitions = DefinitionStore(config.definition_bytes)
        self.scheduler = Scheduler(rng, config.scheduler)
        self.peers: dict[int, Peer] = {}
        self.records: dict[int, JobRecord] = {}
        self._last_job = 0
        self._plan_handle: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._tuned = 0.0
        self._from_worker: dict[str, Callable[[Peer, pb.Body], None]] = {
            "results": self._on_results,
            "failure": self._on_failure,
            "crash": self._on_crash,
            "returned": self._on_returned,
            "held": self._on_held,
            "want": self._on_want,
            "close_session": self._on_close,
        }
        self._from_client: dict[str, Callable[[Peer, pb.Body], None]] = {
            "define": self._on_define,
            "open_job": self._on_job,
            "block": self._on_job,
            "seal_job": self._on_job,
            "cancel": self._on_cancel,
            "consumed": self._on_consumed,
            "close_session": self._on_close,
        }

    # ------------------------------------------------------------ peers

    def joined(self, peer: Peer) -> None:
        """A worker or client has a new session."""
        self.peers[peer.number] = peer
        if peer.role == pb.ROLE_WORKER:
            self._handle(ev.WorkerJoined(peer.number, peer.hello.slots))
            self._tune(peer)
            self._announce()
        else:
            self._send_cluster(peer)

    def left(self, peer: Peer, reason: str) -> None:
        """A session is over."""
        del self.peers[peer.number]
        if peer.role == pb.ROLE_WORKER:
            if not peer.leaving:
                log.warning("%s is lost (%s): its unfinished tasks run elsewhere", peer, reason)
            self._handle(ev.WorkerLost(peer.number, planned=peer.leaving))
            self._announce()
        else:
            self._handle(ev.ClientLeft(peer.number))
            for job in peer.jobs.values():
                self.records.pop(job, None)

    def _announce(self) -> None:
        self._tune_all()
        for peer in self.peers.values():
            if peer.role == pb.ROLE_CLIENT:
                self._send_cluster(peer)

    def _send_cluster(self, peer: Peer) -> None:
        scheduler = self.scheduler
        peer.send(pb.Body(cluster=pb.Cluster(workers=len(scheduler.workers), slots=scheduler.slots)))

    def _tune_all(self) -> None:
        """Tell the workers their reporting interval when the budget has changed it noticeably."""
        interval = self.scheduler.flush_interval
        if not 0.8 < interval / (self._tuned or 1e-9) < 1.25:
            self._tuned = interval
            for peer in self.peers.values():
                if peer.role == pb.ROLE_WORKER:
                    self._tune(peer)

    def _tune(self, peer: Peer) -> None:
        interval = self.scheduler.flush_interval
        peer.send(pb.Body(tuning=pb.Tuning(flush_interval=interval)))
        peer.acknowledge_rarely(2 * interval)

    # ------------------------------------------------------------ what peers send

    def received(self, peer: Peer, bodies: Sequence[pb.Body]) -> None:
        """Content from a peer, in order. Raises ProtocolError if it has no right to say that."""
        handlers = self._from_worker if peer.role == pb.ROLE_WORKER else self._from_client
        for body in bodies:
            kind = body.WhichOneof("kind")
            handler = handlers.get(kind or "")
            if handler is None:
                raise ProtocolError(f"{peer} sent {kind or 'a message of unknown kind'}")
            handler(peer, body)

    def _on_results(self, peer: Peer, body: pb.Body) -> None:
        message = body.results
        count = len(message.ends) // 4
        if not count or end_at(message.ends, count - 1) - message.base != len(message.payload):
            raise ProtocolError(f"{peer} sent results whose offsets do not fit their payload")
        peer.completed += count
        self._handle(
            ev.RunSucceeded(peer.number, message.job, message.lease, message.first, count, message.seconds, message)
        )

    def _on_failure(self, peer: Peer, body: pb.Body) -> None:
        message = body.failure
        peer.completed += 1
        self._handle(ev.TaskFailed(peer.number, message.job, message.lease, message.index, message.seconds, message))

    def _on_crash(self, peer: Peer, body: pb.Body) -> None:
        crash = body.crash
        crash.report.worker = peer.name
        self._handle(ev.TaskCrashed(peer.number, crash.job, crash.lease, crash.index, crash.attempt, crash.report))

    def _on_returned(self, peer: Peer, body: pb.Body) -> None:
        message = body.returned
        spans = tuple((span.lo, span.hi) for span in message.ranges)
        self._handle(ev.SpansReturned(peer.number, message.revoke, message.lease, spans))

    def _on_held(self, peer: Peer, body: pb.Body) -> None:
        leases = tuple(
            (held.lease, held.job, tuple((span.lo, span.hi) for span in held.ranges)) for held in body.held.leases
        )
        self._handle(ev.LeasesHeld(peer.number, leases))

    def _on_want(self, peer: Peer, body: pb.Body) -> None:
        for wanted in body.want.hashes:
            definition = self._definitions.get(wanted)
            if definition is not None:
                peer.send(pb.Body(define=pb.Define(hash=wanted, blob=definition.blob)))
            # Otherwise nobody needs it any more: the tasks that did have their outcome.

    def _on_close(self, peer: Peer, body: pb.Body) -> None:
        peer.leaving = True
        peer.acknowledge()

    def _on_define(self, peer: Peer, body: pb.Body) -> None:
        try:
            self._definitions.add(body.define.hash, body.define.blob)
        except ValueError as error:
            raise ProtocolError(str(error)) from error
        for job in list(peer.jobs.values()):
            record = self.records.get(job)
            if record is not None and record.inbox:
                self._work_off(job, record, ask=False)

    def _on_job(self, peer: Peer, body: pb.Body) -> None:
        """open_job, block, seal_job: in the job's order, as far as their definitions are here."""
        message = getattr(body, body.WhichOneof("kind") or "")
        number = message.job
        if body.HasField("open_job"):
            if number in peer.jobs:
                raise ProtocolError(f"{peer} opened its job {number} twice")
            self._last_job += 1
            peer.jobs[number] = self._last_job
            self.records[self._last_job] = JobRecord(peer, number)
        job = peer.jobs.get(number)
        record = self.records.get(job) if job is not None else None
        if job is None or record is None:
            return  # closed meanwhile, by a rejection or a cancel
        record.inbox.append(body)
        if len(record.inbox) == 1:
            self._work_off(job, record, ask=True)

    def _work_off(self, job: int, record: JobRecord, *, ask: bool) -> None:
        """Deal with a job's inbox until something lacks a definition; `ask` for what the last one lacks."""
        while record.inbox:
            body = record.inbox[0]
            hashes = _needed(body)
            found = [(wanted, self._definitions.get(wanted)) for wanted in hashes]
            missing = [wanted for wanted, definition in found if definition is None]
            if missing:
                if ask:
                    record.client.send(pb.Body(want=pb.Want(hashes=missing)))
                return
            ask = True
            record.inbox.popleft()
            held = tuple(definition for _, definition in found if definition is not None)
            if body.HasField("open_job"):
                record.held = held
                self._handle(ev.JobOpened(job, record.client.number, _options(body.open_job)))
            elif body.HasField("block"):
                try:
                    block = read_block(body.block)
                except BlockError as error:
                    self._execute([cmd.RejectJob(job, record.client.number, str(error))])
                    self._handle(ev.CancelRequested(job, None))
                    return
                self._handle(
                    ev.BlockArrived(
                        job,
                        HeldBlock(
                            block.first, block.base, block.ends, block.payload,
                            block.function, block.call, block.definitions, held,
                        ),
                    )
                )  # fmt: skip
            elif body.HasField("cancel"):
                self._handle(ev.CancelRequested(job, _spans(body.cancel)))
            else:
                self._handle(ev.JobSealed(job, body.seal_job.total))

    def _on_cancel(self, peer: Peer, body: pb.Body) -> None:
        job = peer.jobs.get(body.cancel.job)
        record = self.records.get(job) if job is not None else None
        if job is None or record is None:
            return
        spans = _spans(body.cancel)
        if spans is None:
            record.inbox.clear()
            self._handle(ev.CancelRequested(job, None))
            self._close(job)  # the scheduler may not have heard of it yet
        elif record.inbox:
            record.inbox.append(body)  # after the blocks that it speaks of
        else:
            self._handle(ev.CancelRequested(job, spans))

    def _on_consumed(self, peer: Peer, body: pb.Body) -> None:
        job = peer.jobs.get(body.consumed.job)
        if job is not None:
            self._handle(ev.ResultsConsumed(job, body.consumed.bytes, body.consumed.unlimited))

    # ------------------------------------------------------------ driving the scheduler

    def _handle(self, event: ev.Event) -> None:
        self._execute(self.scheduler.handle(event, self._loop.time()))
        if self._plan_handle is None:
            self._plan_handle = self._loop.call_soon(self._plan)

    def _plan(self) -> None:
        self._plan_handle = None
        self._execute(self.scheduler.plan(self._loop.time()))
        due = self.scheduler.next_deadline()
        if self._timer is not None and (due is None or due != self._timer_at):
            self._timer.cancel()
            self._timer = None
        if due is not None and self._timer is None:
            self._timer_at = due
            self._timer = self._loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._plan()

    def _execute(self, commands: Sequence[cmd.Command]) -> None:
        for command in commands:
            match command:
                case cmd.Dispatch():
                    self._dispatch(command)
                case cmd.DeliverRun():
                    self._deliver_run(command)
                case cmd.Revoke():
                    ranges = [pb.Range(lo=lo, hi=hi) for lo, hi in command.spans]
                    body = pb.Body(revoke=pb.Revoke(revoke=command.revoke, lease=command.lease, ranges=ranges))
                    self.peers[command.worker].send(body, command.job)
                case cmd.DeliverFailure():
                    record = self.records.get(command.job)
                    if record is not None:
                        command.message.job = record.number
                        command.message.lease = 0
                        record.client.send(pb.Body(failure=command.message))
                case cmd.DeliverCancelled():
                    record = self.records.get(command.job)
                    if record is not None:
                        ranges = [pb.Range(lo=lo, hi=hi) for lo, hi in command.spans]
                        body = pb.Body(cancelled=pb.Cancelled(job=record.number, ranges=ranges))
                        record.client.send(body)
                case cmd.CloseJob():
                    self._close(command.job)
                case cmd.RejectJob():
                    record = self.records.get(command.job)
                    if record is not None:
                        rejected = pb.JobRejected(job=record.number, sentence=command.sentence)
                        record.client.send(pb.Body(job_rejected=rejected))
                    self._close(command.job)

    def _close(self, job: int) -> None:
        record = self.records.pop(job, None)
        if record is not None:
            record.client.jobs.pop(record.number, None)

    def _dispatch(self, command: cmd.Dispatch) -> None:
        peer = self.peers[command.worker]
        record = self.records[command.job]
        for definition in record.held:
            self._tell(peer, definition, command.job)
        message = pb.Dispatch(
            lease=command.lease,
            job=command.job,
            priority=command.priority,
            tag=command.tag,
            retry_on=command.retry_on,
            timeout=command.timeout,
        )
        last: object = None
        for piece in command.pieces:
            block = piece.block
            assert isinstance(block, HeldBlock)
            if block is not last:
                last = block
                for definition in block.held:
                    self._tell(peer, definition, command.job)
            base, ends, payload = block.slice(piece.lo, piece.hi)
            message.pieces.add(
                first=piece.lo,
                base=base,
                ends=ends,
                payload=payload,
                function=block.function,
                call=block.call,
                attempt=piece.attempt,
                definitions=block.definitions,
            )
        peer.send(pb.Body(dispatch=message), command.job)

    def _tell(self, peer: Peer, definition: Definition, flow: int) -> None:
        if definition.hash not in peer.told:
            peer.told.add(definition.hash)
            peer.send(pb.Body(define=pb.Define(hash=definition.hash, blob=definition.blob)), flow)

    def _deliver_run(self, command: cmd.DeliverRun) -> None:
        record = self.records.get(command.job)
        if record is None:
            return
        message = command.message
        count = len(message.ends) // 4
        if command.spans == ((message.first, message.first + count),):
            message.job = record.number
            message.lease = 0
            record.client.send(pb.Body(results=message))
            return
        whole = HeldBlock(message.first, message.base, message.ends, message.payload, b"", pb.CALL_ITEM)
        for lo, hi in command.spans:
            base, ends, payload = whole.slice(lo, hi)
            seconds = message.seconds * (hi - lo) / count
            part = pb.Results(job=record.number, first=lo, base=base, ends=ends, payload=payload, seconds=seconds)
            record.client.send(pb.Body(results=part))


def _needed(body: pb.Body) -> tuple[bytes, ...]:
    """The definitions without which a message cannot be dealt with."""
    if body.HasField("block"):
        block = body.block
        own = (block.function,) if block.function else ()
        return (*own, *block.definitions)
    if body.HasField("open_job") and body.open_job.retry.retry_on:
        return (body.open_job.retry.retry_on,)
    return ()


def _spans(message: pb.Cancel) -> tuple[Span, ...] | None:
    """What to cancel; None: the whole job."""
    return tuple((span.lo, span.hi) for span in message.ranges) or None


def _options(message: pb.OpenJob) -> ev.JobOptions:
    retry = message.retry
    return ev.JobOptions(
        name=message.name,
        priority=message.priority,
        max_parallel=message.max_parallel,
        retry=ev.RetryOptions(
            retry.retries, retry.delay, retry.backoff, retry.delay_max, retry.retry_on, retry.on_timeout
        ),
        metered=message.metered,
        timeout=message.timeout,
    )
