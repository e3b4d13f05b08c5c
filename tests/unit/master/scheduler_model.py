"""What any correct scheduler may and must order, kept task by task: the judge of the state machine's runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.support.builders import items_of, make_results

from manyhands.master import commands as cmd
from manyhands.master import events as ev
from manyhands.master.expiry import LATENESS
from manyhands.master.retry import JITTER
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.blocks import Block
from manyhands.wire.spans import Span


def item_of(job: int, index: int) -> bytes:
    return b"%d:%d" % (job, index)


@dataclass
class ModelTask:
    """One task; `outcome` None while it is open."""

    outcome: str | None = None
    cancelled: bool = False  # asked for
    attempts: int = 0
    failures: int = 0
    crashes: int = 0
    state: bytes = b""
    saved_by: int = 0  # attempt
    due: float = 0.0  # not to be dispatched before
    arrived: float = 0.0
    doubled: bool = False  # a worker came back with it, so it may be out twice
    dispatched: bool = False  # ever
    noted: bool = False  # that it was
    told: bool = False  # the client knows that


@dataclass
class ModelJob:
    number: int
    client: int
    options: ev.JobOptions
    tasks: list[ModelTask] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    sealed: bool = False
    closed: bool = False
    watched: bool = False
    delivered_bytes: int = 0
    consumed_bytes: int = 0

    @property
    def ended(self) -> bool:
        return all(task.outcome for task in self.tasks)


@dataclass
class ModelLease:
    """`open`: sent to the worker, and neither reported nor given back by it."""

    number: int
    worker: int
    job: int
    open: set[int]
    attempts: dict[int, int] = field(default_factory=dict)
    at: float = 0.0


class Model:
    """Feed it every command; it raises AssertionError at the first one that is wrong."""

    def __init__(self, max_crashes: int, copy_delay: float) -> None:
        self.max_crashes = max_crashes
        self.copy_delay = copy_delay
        self.jobs: dict[int, ModelJob] = {}
        self.leases: dict[int, ModelLease] = {}
        self.workers: dict[int, int] = {}  # number -> slots
        self.draining: set[int] = set()
        #: Clients that do not read.
        self.lagging: set[int] = set()
        self.lost: list[ModelLease] = []  # as they were when their worker was lost
        #: What may be charged with the loss of the worker that has just been lost; how many at most, and must be, if
        #: there are so many.
        self.chargeable: set[tuple[int, int]] = set()
        self.charges_max = self.charges_left = 0
        self.revokes: dict[int, cmd.Revoke] = {}
        self.copies = 0
        self.story: list[str] = []

    # ------------------------------------------------------------ what the test needs to know

    def open_jobs(self) -> list[ModelJob]:
        return [job for job in self.jobs.values() if not job.closed]

    def outstanding(self) -> list[ModelLease]:
        return [lease for lease in self.leases.values() if lease.open]

    def of_job(self, job: int) -> int:
        return sum(len(lease.open) for lease in self.leases.values() if lease.job == job)

    # ------------------------------------------------------------ commands

    def execute(self, commands: Iterable[cmd.Command], now: float) -> None:
        for command in commands:
            self.story.append(f"{now:.3f}   -> {_short(command)}")
            match command:
                case cmd.Dispatch():
                    self._dispatch(command, now)
                case cmd.Revoke():
                    self._revoke(command)
                case cmd.DeliverRun():
                    self._deliver_run(command)
                case cmd.DeliverFailure():
                    self._deliver_failure(command, now)
                case cmd.DeliverCancelled():
                    job = self._job(command.job, command.client)
                    for task in self._end(job, command.spans, "cancelled"):
                        assert task.cancelled, "cancelled unasked"
                case cmd.KeepState():
                    self.jobs[command.job].tasks[command.index].state = command.state
                case cmd.KeepTries():
                    self._charge(command.job, command.index)
                    task = self.jobs[command.job].tasks[command.index]
                    assert (command.attempts, command.failures) == (task.attempts, task.failures)
                    assert len(command.crashes) == task.crashes
                case cmd.KeepDispatched():
                    for task in (task for lo, hi in command.spans for task in self.jobs[command.job].tasks[lo:hi]):
                        assert not task.noted, "noted twice"
                        task.noted = True
                case cmd.DeliverDispatched():
                    job = self._job(command.job, command.client)
                    assert job.watched, "nobody asked"
                    for lo, hi in command.spans:
                        for task in job.tasks[lo:hi]:
                            task.told = True
                case cmd.CloseJob():
                    job = self._job(command.job, command.client)
                    job.closed = True
                    assert all(t.outcome or t.cancelled for t in job.tasks), "closed with open tasks"
                case cmd.RejectJob():
                    self._job(command.job, command.client).closed = True

    def _job(self, number: int, client: int) -> ModelJob:
        job = self.jobs[number]
        assert not job.closed, f"job {number} is over"
        assert job.client == client
        return job

    def _end(self, job: ModelJob, spans: Iterable[Span], outcome: str) -> list[ModelTask]:
        ended = [job.tasks[index] for lo, hi in spans for index in range(lo, hi)]
        for task in ended:
            assert task.outcome is None, "a second outcome"
            task.outcome = outcome
        return ended

    def _dispatch(self, command: cmd.Dispatch, now: float) -> None:
        assert command.worker in self.workers, "dispatched to a worker that is not there"
        assert command.worker not in self.draining, "dispatched to a worker that takes nothing more"
        assert command.lease not in self.leases, "a lease number came twice"
        assert all(command.lease != lease.number for lease in self.lost), "a lease number came twice"
        job = self.jobs[command.job]
        assert not job.closed, "dispatched a job that is over"
        assert job.client not in self.lagging, "dispatched for a client that does not read"
        assert command.retry_on == job.options.retry.retry_on
        assert command.timeout == job.options.timeout
        assert command.progress_timeout == job.options.progress_timeout
        assert command.memory_bytes == job.options.memory_bytes
        assert command.context == job.options.context
        assert command.priority == job.options.priority
        lease = ModelLease(command.lease, command.worker, command.job, set(), at=now)
        functions = set()
        for piece in command.pieces:
            assert piece.block in job.blocks
            assert piece.block.first <= piece.lo < piece.hi <= piece.block.end
            functions.add(piece.block.function)
            for index in range(piece.lo, piece.hi):
                task = job.tasks[index]
                where = f"task {job.number}:{index}"
                assert task.outcome is None, f"{where} was dispatched though it is {task.outcome}"
                assert not task.cancelled, f"{where} was dispatched though it is being cancelled"
                assert piece.attempt == task.attempts, f"{where}: attempt {piece.attempt}, not {task.attempts}"
                assert task.doubled or now >= task.due, f"{where} was dispatched {task.due - now} s too early"
                assert task.told or not job.watched, f"{where} was dispatched, and its watching client not told"
                assert task.noted or not job.options.queue_timeout, f"{where} was dispatched, and that not noted"
                assert index not in lease.open, f"{where} came twice in one lease"
                if not task.doubled:
                    self._check_copy(lease, index, now)
                task.dispatched = True
                assert piece.state == (task.state if piece.hi - piece.lo == 1 else b""), f"{where}: another state"
                assert piece.hi - piece.lo == 1 or not task.state, f"{where}: without its state"
                lease.open.add(index)
                lease.attempts[index] = piece.attempt
        assert lease.open, "an empty lease"
        assert len(functions) == 1, "one lease, one function"
        self.leases[lease.number] = lease
        limit = job.options.max_parallel
        assert not limit or any(task.doubled for task in job.tasks) or self.of_job(job.number) <= limit, (
            "more at once than the job allows"
        )

    def _check_copy(self, lease: ModelLease, index: int, now: float) -> None:
        """Whether the task may be dispatched although it is out, if it is."""
        job, where = self.jobs[lease.job], f"task {lease.job}:{index}"
        others = [other for other in self.leases.values() if other.job == lease.job and index in other.open]
        if not others:
            return
        assert job.options.speculate, f"{where} is out twice"
        (other,) = others
        assert other.worker != lease.worker, f"{where} was copied to where it runs"
        assert now - other.at >= self.copy_delay - 1e-9, f"{where} was copied after {now - other.at} s"
        assert not job.tasks[index].crashes, f"{where} was copied though it took a slot or worker down"
        # All others of the job are out, too, and nobody had to wait for this.
        out = {index for each in self.leases.values() if each.job == lease.job for index in each.open}
        for each, task in enumerate(job.tasks):
            assert task.outcome or each in out, f"{where} was copied while {each} waits"
        self.copies += 1

    def _revoke(self, command: cmd.Revoke) -> None:
        assert command.worker in self.workers, "asked a worker that is not there"
        assert command.revoke not in self.revokes
        lease = self.leases[command.lease]
        assert lease.worker == command.worker
        assert lease.job == command.job
        asked = {index for lo, hi in command.spans for index in range(lo, hi)}
        assert asked, "asked for nothing"
        assert asked <= lease.open, "asked for what was reported"
        self.revokes[command.revoke] = command

    def _deliver_run(self, command: cmd.DeliverRun) -> None:
        job = self._job(command.job, command.client)
        message = command.message
        items = items_of(message.first, message.base, message.ends, message.payload)
        self._end(job, command.spans, "succeeded")
        for lo, hi in command.spans:
            for index in range(lo, hi):
                assert items[index] == item_of(job.number, index)
                job.delivered_bytes += len(items[index])

    def _expired(self, job: ModelJob, message: pb.Failure, now: float) -> None:
        timeout = {"total_timeout": job.options.total_timeout, "queue_timeout": job.options.queue_timeout}[
            message.limit
        ]
        assert 0.0 < timeout == message.timeout
        for task in self._end(job, [(message.index, message.end)], "failed"):
            assert now >= task.arrived + timeout, "its time was not up"
            assert not (message.limit == "queue_timeout" and task.dispatched), "it had been started"

    def check_times(self, now: float) -> None:
        """After a plan: nobody has waited for too long."""
        for job in self.open_jobs():
            total, queue = job.options.total_timeout, job.options.queue_timeout
            for task in job.tasks:
                waited = (now - task.arrived) / (1 + LATENESS) - 1e-9
                assert task.outcome or not total or waited <= total, "it should have ended by now"
                assert task.outcome or not queue or task.dispatched or waited <= queue, "it should have started by now"

    def _deliver_failure(self, command: cmd.DeliverFailure, now: float) -> None:
        job = self._job(command.job, command.client)
        message = command.message
        if message.end:
            self._expired(job, message, now)
            return
        (task,) = self._end(job, [(message.index, message.index + 1)], "failed")
        if message.kind == pb.Failure.KIND_CRASHED:
            self._charge(job.number, message.index)
            assert task.crashes == self.max_crashes == len(message.crashes)
        else:
            again = self.is_retryable(message, job) and task.failures <= job.options.retry.retries
            assert not again or task.cancelled, "failed though an attempt was left"

    def _charge(self, job: int, index: int) -> None:
        """A task was charged: if it is with the loss of its worker, that is known only now."""
        if (job, index) in self.chargeable:
            self.chargeable.discard((job, index))
            self.charges_left -= 1
            self.charges_max -= 1
            assert self.charges_max >= 0, "more tasks charged than the lost worker had slots"
            task = self.jobs[job].tasks[index]
            task.crashes += 1
            task.attempts += task.crashes < self.max_crashes

    def check_charges(self) -> None:
        """After a loss: somebody is to blame for it if anything was there."""
        assert self.charges_left <= 0 or not self.chargeable, "nobody was charged with the loss"
        self.chargeable = set()

    # ------------------------------------------------------------ what workers say

    def lose(self, worker: int, *, planned: bool) -> None:
        self.charges_left = self.charges_max = self.workers.pop(worker)
        self.chargeable = set()
        self.draining.discard(worker)
        for lease in [lease for lease in self.leases.values() if lease.worker == worker]:
            del self.leases[lease.number]
            self.lost.append(lease)
            job = self.jobs[lease.job]
            for index in () if planned else lease.open:
                if job.closed or job.tasks[index].cancelled:
                    self.charges_left -= 1  # that one may have run, and has its end
                elif job.tasks[index].outcome is None:
                    self.chargeable.add((lease.job, index))
        self.revokes = {n: command for n, command in self.revokes.items() if command.worker != worker}

    def come_back(self, lease: ModelLease, worker: int) -> None:
        """A lost lease is held on by what is now `worker`."""
        self.lost.remove(lease)
        lease.worker = worker
        self.leases[lease.number] = lease
        for index in lease.open:
            self.jobs[lease.job].tasks[index].doubled = True

    def counts(self, lease: ModelLease, index: int) -> bool:
        """Whether it matters what becomes of this attempt."""
        job = self.jobs[lease.job]
        if job.closed or index not in lease.open or job.tasks[index].outcome:
            return False
        if lease.number in self.leases:
            # Two copies are one attempt: what ends it is counted once.
            return not job.options.speculate or lease.attempts[index] == job.tasks[index].attempts
        elsewhere = any(other.job == lease.job and index in other.open for other in self.leases.values())
        return not elsewhere and lease.attempts[index] == job.tasks[index].attempts

    def take(self, lease: ModelLease, indices: Iterable[int]) -> None:
        lease.open -= set(indices)

    @staticmethod
    def is_retryable(message: pb.Failure, job: ModelJob) -> bool:
        retry = job.options.retry
        named = {pb.Failure.KIND_TIMED_OUT: retry.on_timeout, pb.Failure.KIND_MEMORY_EXCEEDED: retry.on_memory}
        return message.retryable or named.get(message.kind, False)

    def fails(self, lease: ModelLease, index: int, *, retryable: bool, now: float) -> None:
        """Before the scheduler is told, so that its answer can be judged."""
        job = self.jobs[lease.job]
        task = job.tasks[index]
        counts = self.counts(lease, index)
        self.take(lease, [index])
        if counts and retryable:
            task.failures += 1
            retry = job.options.retry
            if task.failures <= retry.retries:
                delay = min(retry.delay * retry.backoff ** (task.failures - 1), retry.delay_max)
                task.due = now + delay * (1 - JITTER)
                task.attempts += 1

    def crashes(self, lease: ModelLease, index: int) -> None:
        task = self.jobs[lease.job].tasks[index]
        counts = self.counts(lease, index)
        self.take(lease, [index])
        if counts:
            task.crashes += 1
            task.attempts += 1


def results_of(lease: ModelLease, lo: int, hi: int, seconds: float) -> ev.RunSucceeded:
    """The event of a worker that ran [lo, hi) of a lease."""
    items = [item_of(lease.job, index) for index in range(lo, hi)]
    message = make_results(lease.job, lease.number, lo, items, seconds)
    return ev.RunSucceeded(lease.worker, lease.job, lease.number, lo, hi - lo, seconds, message)


def runs_of(indices: Iterable[int]) -> list[Span]:
    """Indices as ranges."""
    runs: list[Span] = []
    for index in sorted(indices):
        if runs and runs[-1][1] == index:
            runs[-1] = (runs[-1][0], index + 1)
        else:
            runs.append((index, index + 1))
    return runs


def _short(command: cmd.Command) -> str:
    match command:
        case cmd.Dispatch():
            spans = [(piece.lo, piece.hi, piece.attempt) for piece in command.pieces]
            return f"Dispatch(worker={command.worker}, lease={command.lease}, job={command.job}, {spans})"
        case cmd.DeliverRun():
            return f"DeliverRun(job={command.job}, {command.spans})"
        case cmd.DeliverFailure():
            return f"DeliverFailure(job={command.job}, {command.message.index}, kind={command.message.kind})"
    return repr(command)
