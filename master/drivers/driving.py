"""Drivers at work: they are told what became of tasks, and have scheduler, journal and client do what they want."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from manyhands.master import commands as cmd
from manyhands.master import events as ev
from manyhands.master.data import Datum
from manyhands.master.data_keeper import DataKeeper
from manyhands.master.definitions import Definition, HeldBlock
from manyhands.master.delivery import Delivery
from manyhands.master.drivers.driver import (
    Again,
    Command,
    Deliver,
    Drop,
    Finish,
    Keep,
    KeepLatest,
    Reject,
    Run,
)
from manyhands.master.drivers.face import Face, Inner
from manyhands.master.drivers.making import make_reduction, make_search
from manyhands.master.journal import WHOLE_JOB, Journal
from manyhands.master.journal_schema import KeptJob, driver_key
from manyhands.master.limits import BLOCK_OVERHEAD, Ledger
from manyhands.master.records import JobRecord
from manyhands.master.recovery import job_options
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.blocks import Block, pack_ends, results_slice
from manyhands.wire.bounds import ITEM_BYTES_MAX
from manyhands.wire.sizes import shown

#: Seconds between reports to a client that watches, at least.
REPORT_INTERVAL = 0.2


def ledger_key(index: int) -> int:
    """The driver's tasks among the job's blocks in the ledger, which are known by the leaves they begin with."""
    return -2 - index


class Drivers:
    """All of one master's. `records` as in Delivery; new_job: another number for the scheduler; slots: how many there
    are.
    """

    def __init__(
        self,
        records: dict[int, JobRecord],
        delivery: Delivery,
        handle: Callable[[ev.Event], None],
        journal: Journal | None,
        ledger: Ledger,
        data: DataKeeper,
        new_job: Callable[[], int],
        loop: asyncio.AbstractEventLoop,
        slots: Callable[[], int],
    ) -> None:
        self._records = records
        self._delivery = delivery
        self._handle = handle
        self._journal = journal
        self._ledger = ledger
        self._data = data
        self._new_job = new_job
        self._loop = loop
        self._slots = slots

    # ------------------------------------------------------------ what clients send

    def begin(self, job: int, owner: int, opening: pb.OpenJob, held: tuple[Definition, ...]) -> Face:
        """A client has opened a job that needs a driver. Raises NoSearch."""
        # What was begun in an earlier life is timed by what its journal counts by.
        clock = self._loop.time if self._journal is None else self._journal.wall
        search = make_search(opening, clock, self._slots) if opening.HasField("search") else None
        return Face(job, owner, opening, search or make_reduction(opening.reduction), search, held)

    def block(self, face: Face, block: HeldBlock) -> None:
        """Leaves have come."""
        face.received += block.count
        if face.driver.keeps_leaves:
            face.kept.add(block)
        for definition in block.held:
            if definition.hash not in face.needs:
                face.needs[definition.hash] = definition
                if self._journal is not None:
                    self._journal.needs(face.job, definition.hash)

    def sealed(self, face: Face, total: int) -> None:
        """All leaves have."""
        self._do(face, face.driver.sealed(total))
        self._set_timer(face)

    def stop(self, face: Face, reason: str) -> None:
        """A client wants no more of a search than it has."""
        if face.search is not None:
            self._do(face, face.search.stop(reason))

    # ------------------------------------------------------------ what searches look at

    def slots_changed(self) -> None:
        """There are more of them, or fewer."""
        for job, record in list(self._records.items()):
            if record.face is not None and record.face.job == job:
                self._look(record.face)

    def _look_soon(self, face: Face) -> None:
        """A search's tasks have ended. Whoever waits for the loop is served first, and there may be more by then."""
        if not face.will_look:
            face.will_look = True
            self._loop.call_soon(self._look, face)

    def _look(self, face: Face) -> None:
        face.will_look = False
        if face.search is not None and not face.is_over:
            self._do(face, face.search.look())

    def _set_timer(self, face: Face) -> None:
        due = face.search.due() if face.search is not None and not face.is_over else None
        if due is not None:
            face.timer = self._loop.call_later(due, self._time_up, face)

    def _time_up(self, face: Face) -> None:
        self._look(face)
        self._set_timer(face)  # by another clock it may be a moment too early

    # ------------------------------------------------------------ what becomes of tasks

    def succeeded(self, face: Face, command: cmd.DeliverRun, data: Sequence[Datum]) -> None:
        """Leaves, or tasks of the driver's own, for the first time. `data`: results that stayed with the worker."""
        face.seconds += command.message.seconds
        for datum in data:
            face.data[datum.id] = datum
        if command.job == face.job:
            gone = () if face.driver.keeps_leaves else command.gone
            self._ledger.release(face.job, gone)
            if self._journal is not None:
                self._journal.ended(face.job, command.spans, "succeeded", gone)
            for lo, hi in command.spans:
                self._do(face, face.driver.leaves(results_slice(command.message, lo, hi)))
        else:
            for lo, hi in command.spans:
                for index in range(lo, hi):
                    self._one_succeeded(face, command.job, results_slice(command.message, index, index + 1))
        self._report_if_due(face)

    def _one_succeeded(self, face: Face, job: int, results: pb.Results) -> None:
        index = results.first
        if face.is_over:  # by one before it in the same message
            return
        if face.again is not None and job == face.again.job:
            leaf = results.first = face.again.names.pop(index)
            for each in results.stored:
                each.index = leaf
            self._do(face, face.driver.leaves(results))
        elif face.inner is not None:
            self._ledger.release(face.job, (ledger_key(index),))
            self._do(face, face.driver.task(face.inner.names.pop(index), results))
            if face.search is not None:
                self._look_soon(face)

    def failed(self, face: Face, command: cmd.DeliverFailure) -> None:
        """A task has, for good: so does the job, unless it only lacks what can be made again."""
        message = command.message
        if message.kind == pb.Failure.KIND_DATA_LOST and face.inner is not None and command.job == face.inner.job:
            face.data.pop(message.data, None)  # somebody may have been faster
            self._ledger.release(face.job, (ledger_key(message.index),))
            self._do(face, face.driver.lost(face.inner.names.pop(message.index), message.data))
            return
        if face.inner is not None and command.job == face.inner.job and self._is_dealt_with(face, face.inner, message):
            return
        message.index, message.end, message.lease = face.end, 0, 0
        message.job = self._records[face.job].number
        message.seconds = face.seconds + message.seconds
        self._delivery.tell_outcome(face.job, face.end, pb.Body(failure=message))
        self._conclude(face, succeeded=face.end, failed=1)

    def _is_dealt_with(self, face: Face, inner: Inner, message: pb.Failure) -> bool:
        """Whether the driver can go on although these tasks of its own have failed."""
        for index in range(message.index, max(message.end, message.index + 1)):
            commands = None if face.is_over else face.driver.failed(inner.names[index], message)
            if commands is None:
                return face.is_over
            del inner.names[index]
            self._ledger.release(face.job, (ledger_key(index),))
            self._do(face, commands)
        if not face.is_over:
            face.seconds += message.seconds
            self._report_if_due(face)
        return True

    def cancelled(self, face: Face) -> None:
        """The client wants nothing of some leaves any more, and so of none."""
        message = pb.Cancelled(job=self._records[face.job].number, ranges=[pb.Range(lo=0, hi=1)])
        self._delivery.tell_outcome(face.job, 0, pb.Body(cancelled=message))
        self._conclude(face, cancelled=1)

    def closed(self, face: Face) -> None:
        """Nobody wants to hear of the job any more: what runs of it is to end."""
        face.is_over = True
        if face.timer is not None:
            face.timer.cancel()
        self._handle(ev.CancelRequested(face.job, None))
        for inner in (face.inner, face.again):
            if inner is not None:
                self._records.pop(inner.job, None)
                self._handle(ev.CancelRequested(inner.job, None))

    # ------------------------------------------------------------ after a restart

    def restored(self, face: Face, kept: KeptJob, blocks: Iterable[HeldBlock], needs: Iterable[Definition]) -> None:
        """The scheduler has its leaves again."""
        if face.driver.keeps_leaves:
            for block in blocks:
                face.kept.add(block)
        face.needs = {definition.hash: definition for definition in needs}
        face.received = kept.counters.total
        rows = [(driver_key(key), body.results) for key, body in kept.outcomes.items() if key < WHOLE_JOB and body]
        for _, results in rows:
            for each in results.stored:
                face.data[each.id] = self._data.known(each.id, each.size)
        self._do(face, face.driver.restored(rows, kept.done.count, kept.sealed_at))
        self._set_timer(face)

    # ------------------------------------------------------------ looking

    def report(self, job: int) -> pb.JobReport | None:
        """How a job fares; None if it is not open, or has no driver."""
        record = self._records.get(job)
        if record is None or record.face is None:
            return None
        face = record.face
        report = pb.JobReport(job=record.number, total=face.driver.results, succeeded=face.delivered)
        for phase in face.driver.phases(face.received):
            report.phases.add(name=phase.name, done=phase.done, total=phase.total)
        if face.search is not None:
            report.search = face.search.progress()
        return report

    def watch(self, face: Face) -> None:
        """Its client wants to hear how it fares: at once, and now and then."""
        face.reported_at = -REPORT_INTERVAL
        self._report_if_due(face)

    def _report_if_due(self, face: Face) -> None:
        if face.reported_at is None or face.is_over:
            return
        now = self._loop.time()
        client = self._records[face.job].client
        report = self.report(face.job)
        if now - face.reported_at >= REPORT_INTERVAL and client is not None and report is not None:
            face.reported_at = now
            client.send(pb.Body(job_report=report))

    # ------------------------------------------------------------ what drivers want

    def _do(self, face: Face, commands: Iterable[Command]) -> None:
        for command in commands:
            if face.is_over:
                return
            match command:
                case Run():
                    self._run(face, command)
                case Again():
                    self._run_again(face, command.leaf)
                case Keep() | KeepLatest() | Drop():
                    self._keep(face.job, command, self._journal)
                case Deliver():
                    self._deliver(face, command)
                case Finish():
                    self._conclude(face, succeeded=face.driver.results)
                case Reject():
                    self._reject(face, command.sentence)

    @staticmethod
    def _keep(job: int, command: Keep | KeepLatest | Drop, journal: Journal | None) -> None:
        if journal is None:
            return
        match command:
            case Keep(key, results):
                journal.outcome(job, driver_key(key), pb.Body(results=results))
            case KeepLatest(key, latest):
                journal.late_outcome(job, driver_key(key), lambda: pb.Body(results=latest()))
            case Drop(keys):
                journal.drop(job, map(driver_key, keys))

    def _run(self, face: Face, command: Run) -> None:
        size = len(command.item)
        if size > ITEM_BYTES_MAX:
            at_most = shown(ITEM_BYTES_MAX)
            self._reject(
                face, f"partial results of {shown(size)} were to be combined, and at most {at_most} can travel"
            )
            return
        if face.inner is None:
            # A reduction's is for the map function.
            context = face.opening.context if face.search is not None else b""
            face.inner = self._open_inner(face, pb.Call.Name(face.driver.call), context=context)
        index = face.inner.add(command.name)
        self._ledger.take(face.job, ledger_key(index), size + BLOCK_OVERHEAD, 1)
        ends = pack_ends(array("I", [size]))
        block = Block(index, 0, ends, command.item, face.functions, face.driver.call, (), command.data)
        take = face.data.__getitem__ if face.driver.keeps_leaves else face.data.pop
        data = tuple([take(need.id) for need in command.data])
        self._handle(ev.BlockArrived(face.inner.job, HeldBlock.of(block, (), data)))

    def _run_again(self, face: Face, leaf: int) -> None:
        block = face.kept.block_of(leaf)
        if block is None:
            self._reject(
                face, f"what leaf {leaf} had made is lost with its host, and its items were too many to be kept"
            )
            return
        if face.again is None:
            face.again = self._open_inner(face, "again", context=face.opening.context)
        index = face.again.add(leaf)
        base, ends, payload = block.slice(leaf, leaf + 1)
        self._handle(
            ev.BlockArrived(face.again.job, replace(block, first=index, base=base, ends=ends, payload=payload))
        )

    def _open_inner(self, face: Face, what: str, *, context: bytes) -> Inner:
        """What the master adds runs as the client's tasks do."""
        job = self._new_job()
        opening = face.opening
        client = self._records[face.job].client
        self._records[job] = JobRecord(client, 0, held=face.held, face=face, keep_bytes=opening.keep_bytes)
        options = job_options(opening)
        name = f"{options.name} ({what.removeprefix('CALL_').lower()})"
        self._handle(ev.JobOpened(job, face.owner, replace(options, name=name, context=context)))
        return Inner(job)

    def _deliver(self, face: Face, command: Deliver) -> None:
        record = self._records[face.job]
        results = command.results
        message = pb.Results(
            job=record.number,
            first=command.index,
            base=results.base,
            ends=results.ends,
            payload=results.payload,
            seconds=face.seconds,
        )
        face.seconds = 0.0
        for each in results.stored:
            message.stored.add(index=command.index, id=each.id, size=each.size)
            if record.client is not None:
                self._data.hold(record.client, face.data.pop(each.id))
        face.delivered += 1
        self._delivery.tell_outcome(face.job, command.index, pb.Body(results=message))

    def _reject(self, face: Face, sentence: str) -> None:
        message = pb.Failure(job=self._records[face.job].number, kind=pb.Failure.KIND_REJECTED, text=sentence)
        message.index, message.seconds = face.end, face.seconds
        self._delivery.tell_outcome(face.job, face.end, pb.Body(failure=message))
        self._conclude(face, succeeded=face.end, failed=1)

    def _conclude(self, face: Face, succeeded: int = 0, failed: int = 0, cancelled: int = 0) -> None:
        if self._journal is not None:
            self._journal.concluded(face.job, succeeded, failed, cancelled)
        self._delivery.close(face.job)
