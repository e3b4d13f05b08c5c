"""What clients send of their jobs: taken in order, as far as the definitions are here, and written down."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import cast

from manyhands.master import events as ev
from manyhands.master.data import Datum
from manyhands.master.data_keeper import DataKeeper
from manyhands.master.definitions import OVERHEAD_BYTES, Definition, DefinitionStore, HeldBlock
from manyhands.master.delivery import Delivery
from manyhands.master.detached import Detached
from manyhands.master.drivers.driving import Drivers
from manyhands.master.drivers.making import NoSearch
from manyhands.master.job_messages import mark_of, needed_by, owner_of, size_of, spans_of
from manyhands.master.journal import WHOLE_JOB, Journal
from manyhands.master.journal_schema import Kept, KeptJob
from manyhands.master.limits import BLOCK_OVERHEAD, OTHERS, Ledger
from manyhands.master.peers import Peer
from manyhands.master.records import JobRecord, Waiting
from manyhands.master.recovery import job_options, recovered
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.blocks import block_of, read_block
from manyhands.wire.session import ProtocolError
from manyhands.wire.spans import RANGES_MAX


class Intake:
    """`records` of all open jobs, by the master's number; shared with `delivery`, which closes them. `numbers` for
    those to come.
    """

    def __init__(
        self,
        records: dict[int, JobRecord],
        definitions: DefinitionStore,
        delivery: Delivery,
        handle: Callable[[ev.Event], None],
        journal: Journal | None,
        detached: Detached | None,
        ledger: Ledger,
        data: DataKeeper,
        drivers: Drivers,
        numbers: Iterator[int],
    ) -> None:
        self._records = records
        self._definitions = definitions
        self._delivery = delivery
        self._handle = handle
        self._journal = journal
        self._detached = detached
        self._ledger = ledger
        self._data = data
        data.tell_waiting = self._data_available
        #: Jobs with a block that waits for a datum, by the datum's id.
        self._waiting: dict[bytes, set[int]] = {}
        self._numbers = numbers
        self._drivers = drivers
        if journal is not None:
            journal.is_needed = definitions.is_held

    def define(self, peer: Peer, body: pb.Body) -> None:
        """A definition has come: jobs that waited for it go on."""
        try:
            definition = self._definitions.add(body.define.hash, body.define.blob, peer.number)
        except ValueError as error:
            raise ProtocolError(str(error)) from error
        if definition.on_gone is None:  # it counts for who sent it first, as long as anybody holds it
            size = len(definition.blob) + OVERHEAD_BYTES
            self._ledger.charge(peer.number, peer.hello.owner, size)
            definition.on_gone = partial(self._ledger.release_charge, peer.number, size)
        for job in list(peer.jobs.values()):
            record = self._records.get(job)
            if record is not None and record.inbox:
                self._work_off(job, record, ask=False)

    def job_message(self, peer: Peer, body: pb.Body) -> None:
        """open_job, block, seal_job: in the job's order, as far as their definitions are here."""
        message = getattr(body, body.WhichOneof("kind") or "")
        number = message.job
        if body.HasField("open_job"):
            if number in peer.jobs:
                raise ProtocolError(f"{peer} opened its job {number} twice")
            opened = peer.jobs[number] = next(self._numbers)
            body.open_job.owner = peer.owner
            opening = body.open_job
            self._records[opened] = JobRecord(
                peer, number, keep_bytes=opening.keep_bytes, share_bytes=opening.share_bytes
            )
            if self._journal is not None:
                self._journal.opened(opened, peer.hello.session, number, body.open_job)
            sentence = self._ledger.open(opened, peer.number, peer.hello.owner)
            if sentence:
                peer.asked()
                self._delivery.reject(opened, sentence, pb.JobRejected.CODE_FULL)
                return
            if body.open_job.detach and not self._detach(opened, peer.owner, body.open_job.name):
                return
        job = peer.jobs.get(number)
        record = self._records.get(job) if job is not None else None
        if job is None or record is None:
            return  # closed meanwhile, by a rejection or a cancel
        if body.HasField("block"):
            block = body.block
            count = len(block.ends) // 4
            sentence = self._ledger.admit(job, block.first, size_of(block), count)
            if sentence:
                peer.asked()
            if sentence and record.inbox:
                self._reject(job, sentence)  # what waits for definitions would still have to come first
                return
            if sentence:
                self._handle(ev.BlockRefused(job, block.first, count, sentence, "queued"))
                return
        self._take_in(job, record, body)

    def _reject(self, job: int, sentence: str) -> None:
        self._delivery.reject(job, sentence, pb.JobRejected.CODE_FULL)
        self._handle(ev.CancelRequested(job, None))

    def _detach(self, job: int, owner: str, name: str) -> bool:
        """A job that is to outlive its client; whether it can."""
        if self._detached is None:
            sentence = "this master keeps no journal, so a detached job would end with it: start it with --data-dir"
            self._delivery.reject(job, sentence, pb.JobRejected.CODE_NO_JOURNAL)
        elif not name or not self._detached.add(owner, name, job):
            sentence = (
                f"there is a detached job {name!r} already: give this one another name, or end that one with "
                f"client.job({name!r}).cancel()"
            )
            self._delivery.reject(job, sentence, pb.JobRejected.CODE_NAME_TAKEN)
        else:
            self._records[job].detached = True
            return True
        return False

    def _take_in(self, job: int, record: JobRecord, body: pb.Body) -> None:
        record.inbox.append(self._waiting_for_its_turn(record, body))
        if len(record.inbox) == 1:
            self._work_off(job, record, ask=True)
        if record.inbox and not body.HasField("block"):
            sentence = self._ledger.admit(job, OTHERS, body.ByteSize() + BLOCK_OVERHEAD, 0)
            if sentence:
                self._reject(job, sentence)
                return
        if self._journal is not None and record.inbox:
            record.inbox[-1] = record.inbox[-1]._replace(position=self._journal.hold(job, body))

    def _waiting_for_its_turn(self, record: JobRecord, body: pb.Body, position: int = 0) -> Waiting:
        data = self._data.needed_by(body.block, record.client) if body.HasField("block") else ()
        return Waiting(body, data, position)

    def _work_off(self, job: int, record: JobRecord, *, ask: bool) -> None:
        """Deal with a job's inbox until something lacks a definition; `ask` for what the last one lacks."""
        while record.inbox and job in self._records:  # a message may end the job, and more wait behind it
            body, data, position = record.inbox[0]
            hashes = needed_by(body)
            found = [(wanted, self._definitions.get(wanted)) for wanted in hashes]
            missing = [wanted for wanted, definition in found if definition is None]
            if missing:
                if ask and record.client is not None:
                    record.client.send(pb.Body(want=pb.Want(hashes=missing)))
                return
            coming = next((datum for datum in data if datum.is_coming), None)
            if coming is not None:
                self._waiting.setdefault(coming.id, set()).add(job)
                return
            ask = True
            record.inbox.popleft()
            if position:
                assert self._journal is not None
                self._journal.let_go(job, position)
            held = tuple(definition for _, definition in found if definition is not None)
            if self._journal is not None:
                self._write_down(self._journal, job, record, body, held)
            self._apply(job, record, body, held, data)
        self._ledger.release(job, (OTHERS,))

    def _apply(
        self, job: int, record: JobRecord, body: pb.Body, held: tuple[Definition, ...], data: tuple[Datum, ...]
    ) -> None:
        """A message whose definitions and data are here."""
        if body.HasField("open_job"):
            record.held = held
            if not self._begin(job, record, body.open_job):
                return
            self._handle(ev.JobOpened(job, owner_of(job, record), job_options(body.open_job)))
        elif body.HasField("block"):
            self._apply_block(job, record, body.block, held, data)
        elif body.HasField("cancel"):
            self._handle(ev.CancelRequested(job, spans_of(body.cancel), body.cancel.spare_running))
        elif body.HasField("stop_search"):
            if record.face is not None:
                self._drivers.stop(record.face, body.stop_search.reason)
        else:
            self._handle(ev.JobSealed(job, body.seal_job.total))
            if record.face is not None:
                self._drivers.sealed(record.face, body.seal_job.total)

    def _begin(self, job: int, record: JobRecord, opening: pb.OpenJob) -> bool:
        """Give a job the driver that it needs, if it does; whether it can be."""
        if opening.HasField("reduction") or opening.HasField("search"):
            try:
                record.face = self._drivers.begin(job, owner_of(job, record), opening, record.held)
            except NoSearch as refused:
                self._delivery.reject(job, str(refused), pb.JobRejected.CODE_NO_SEARCH)
                return False
        return True

    def _apply_block(
        self, job: int, record: JobRecord, message: pb.Block, held: tuple[Definition, ...], data: tuple[Datum, ...]
    ) -> None:
        count = len(message.ends) // 4
        lost = next((datum for datum in data if datum.lost), None)
        trouble = self._journal.trouble if self._journal is not None else ""
        if lost is not None:
            self._ledger.release(job, (message.first,))
            self._handle(ev.BlockRefused(job, message.first, count, lost.lost, lost=lost.id))
        elif trouble:
            self._ledger.release(job, (message.first,))
            self._handle(ev.BlockRefused(job, message.first, count, trouble))
        else:
            block = HeldBlock.of(block_of(message), held, data)
            if record.face is not None:
                self._drivers.block(record.face, block)
            self._handle(ev.BlockArrived(job, block))

    def _data_available(self, id: bytes) -> None:
        """A datum can be had, or never will: jobs that waited for it go on."""
        waiting = [(job, self._records[job]) for job in self._waiting.pop(id, ()) if job in self._records]
        for job, record in waiting:
            if id in record.lacking:
                record.lacking.discard(id)
                self._handle(ev.JobLacksData(job, lacks=bool(record.lacking)))
            self._work_off(job, record, ask=False)

    def _write_down(
        self, journal: Journal, job: int, record: JobRecord, body: pb.Body, held: Sequence[Definition]
    ) -> None:
        for definition in held:
            journal.define(definition.hash, definition.blob)
        if record.detached and self._detached is not None:
            self._detached.needs(job, held)
        if body.HasField("block") and not journal.trouble:
            journal.block(job, body.block)
        elif body.HasField("seal_job"):
            journal.sealed(job, body.seal_job.total)
            if record.detached and record.client is not None:
                record.client.jobs.pop(record.number, None)
                journal.detached(job)
        elif body.HasField("cancel"):
            journal.mark(job, mark_of(body.cancel), spans_of(body.cancel) or ())

    def attach(self, peer: Peer, body: pb.Body) -> None:
        """A client takes part in a detached job."""
        message = body.attach_job
        peer.asked()
        if message.job in peer.jobs:
            raise ProtocolError(f"{peer} attaches its job {message.job}, which it has opened")
        if self._detached is not None:
            self._detached.attach(peer, message)
        else:
            sentence = "this master keeps no journal, so it has no detached jobs"
            code = pb.JobRejected.CODE_UNKNOWN_NAME
            peer.send(pb.Body(job_rejected=pb.JobRejected(job=message.job, sentence=sentence, code=code)))

    def leave(self, peer: Peer, body: pb.Body) -> None:
        """It does no more."""
        if self._detached is not None:
            self._detached.leave(peer, body.leave_job.job)

    def cancel(self, peer: Peer, body: pb.Body) -> None:
        """Some tasks of a job, or all of it, are of no use to the client any more."""
        if len(body.cancel.ranges) > RANGES_MAX:
            raise ProtocolError(
                f"{peer} cancelled {len(body.cancel.ranges)} ranges at once: at most {RANGES_MAX} can be"
            )
        if self._detached is not None and (attached := self._detached.job_of(peer, body.cancel.job)) is not None:
            self._handle(ev.CancelRequested(attached, None))
            self._delivery.forget(attached)
            return
        job = peer.jobs.get(body.cancel.job)
        record = self._records.get(job) if job is not None else None
        if job is None or record is None:
            return
        spans = spans_of(body.cancel)
        if spans is None:
            record.inbox.clear()
            self._handle(ev.CancelRequested(job, None))
            self._delivery.forget(job)  # the scheduler may not have heard of it yet
        elif record.inbox:
            self._take_in(job, record, body)  # after the blocks that it speaks of
        else:
            if self._journal is not None:
                self._journal.mark(job, mark_of(body.cancel), spans)
            self._handle(ev.CancelRequested(job, spans, body.cancel.spare_running))

    def stop_search(self, peer: Peer, body: pb.Body) -> None:
        """A search of the peer's own, or one that it is attached to, is to end with what it has."""
        number = body.stop_search.job
        attached = self._detached.job_of(peer, number) if self._detached is not None else None
        job = peer.jobs.get(number) if attached is None else attached
        record = self._records.get(job) if job is not None else None
        if job is not None and record is not None:
            self._take_in(job, record, body)  # after what waits for definitions

    def consumed(self, peer: Peer, body: pb.Body) -> None:
        """The client's user has taken so many bytes of results."""
        if self._detached is not None:
            self._detached.consumed(peer, body.consumed.job, body.consumed.bytes)
        job = peer.jobs.get(body.consumed.job)
        if job is not None:
            if self._journal is not None:
                self._journal.consumed(job, body.consumed.bytes, body.consumed.unlimited)
            self._handle(ev.ResultsConsumed(job, body.consumed.bytes, body.consumed.unlimited))

    def watch(self, peer: Peer, body: pb.Body) -> None:
        job = peer.jobs.get(body.watch.job)
        peer.asked()
        record = self._records.get(job) if job is not None else None
        if job is not None and (record is None or record.face is None):
            self._handle(ev.WatchRequested(job))
        elif record is not None and record.face is not None:
            self._drivers.watch(record.face)

    # ------------------------------------------------------------ after a restart

    def restore(self, kept: Kept, clients: Mapping[bytes, Peer]) -> None:
        """Take over what an earlier life wrote down; `clients` by session."""
        assert self._journal is not None
        definitions = [self._definitions.add(hash, blob) for hash, blob in kept.definitions.items()]
        unopened = {job for job, _, body in kept.inbox if body.HasField("open_job")}
        for job in kept.jobs:
            client = clients.get(job.opening.session)
            if client is None and job.opening.session:
                self._journal.forget(job.job)
            else:
                self._restore_job(job, client, is_open=job.job not in unopened)
        for number, position, body in kept.inbox:
            if number in self._records:
                record = self._records[number]
                record.inbox.append(self._waiting_for_its_turn(record, body, position))
                if body.HasField("block"):
                    self._ledger.take(number, body.block.first, size_of(body.block), len(body.block.ends) // 4)
        for number, record in list(self._records.items()):
            self._work_off(number, record, ask=True)
        definitions.clear()  # until now they were held here: there may be more than the store keeps by itself
        self._journal.sweep()

    def _restore_job(self, job: KeptJob, client: Peer | None, *, is_open: bool) -> None:
        opening = cast("pb.OpenJob", job.opening.message)
        number = job.opening.number
        if opening.detach and self._detached is not None:
            self._detached.restore(job, self._held(job.needs))
        if not job.counters.finished:
            record = self._records[job.job] = JobRecord(
                client, number, opening.detach, keep_bytes=opening.keep_bytes, share_bytes=opening.share_bytes
            )
            if client is not None:
                client.jobs[number] = job.job
            self._ledger.open(job.job, owner_of(job.job, record), opening.owner)
            for _, message in job.blocks:
                self._ledger.take(job.job, message.first, size_of(message), len(message.ends) // 4)
            if is_open:
                record.held = self._held(needed_by(pb.Body(open_job=opening)))
                blocks = [self._held_block(message) for _, message in job.blocks]
                if not self._begin(job.job, record, opening):
                    return
                self._handle(recovered(job, owner_of(job.job, record), blocks, self._wall()))
                self._wait_for_data(job.job, record, blocks)
                if spared := tuple(job.marks["cancel unless running"]):
                    self._handle(ev.CancelRequested(job.job, spared, spare_running=True))
                if record.face is not None:
                    self._drivers.restored(record.face, job, blocks, self._held(job.needs))
        for key, body in job.outcomes.items():
            if client is not None and body is not None and key >= WHOLE_JOB:
                client.send(body, receipt=(job.job, key))

    def _wait_for_data(self, job: int, record: JobRecord, blocks: Sequence[HeldBlock]) -> None:
        """Its tasks are not sent out before all that the open ones need has been brought back, or is lost."""
        record.lacking = {datum.id for block in blocks for datum in block.data if datum.is_coming}
        for id in record.lacking:
            self._waiting.setdefault(id, set()).add(job)
        if record.lacking:
            self._handle(ev.JobLacksData(job, lacks=True))

    def _held_block(self, message: pb.Block) -> HeldBlock:
        data = self._data.needed_by(message)
        return HeldBlock.of(read_block(message), self._held(needed_by(pb.Body(block=message))), data)

    def _wall(self) -> float:
        assert self._journal is not None
        return self._journal.wall()

    def _held(self, hashes: Sequence[bytes]) -> tuple[Definition, ...]:
        found = [self._definitions.get(hash) for hash in hashes]
        assert all(found), "a definition was not written down with what needs it"
        return tuple(definition for definition in found if definition is not None)
