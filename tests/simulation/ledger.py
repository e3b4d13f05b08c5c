"""The ledger: what any correct master may and must do with each task, checked at every event and command.

It stands between the engine and the shipped scheduler. Its records know everything at once, so they also tell
simulated slots what happens to a task when it runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.simulation.story import Story, Violation

from manyhands.master import commands as cmd
from manyhands.master import events as ev
from manyhands.master.retry import JITTER
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.spans import Span


@dataclass(slots=True)
class TaskRecord:
    """One accepted task; `outcome` None while the master has not delivered one."""

    outcome: str | None = None
    cancel_asked: bool = False
    lease: int = 0
    attempts: int = 0
    failures: int = 0
    crashes: int = 0
    dispatches: int = 0
    starts: int = 0
    due: float = 0.0
    #: A result came under a lease that did not hold the task (any more).
    late: bool = False


@dataclass(slots=True)
class JobEntry:
    number: int
    client: int
    options: ev.JobOptions
    tasks: list[TaskRecord] = field(default_factory=list)
    sealed: bool = False
    closed: bool = False
    cancelled: bool = False
    out: int = 0


@dataclass(slots=True)
class LeaseEntry:
    worker: int
    job: JobEntry
    open: set[int]


class Ledger:
    """Tell it every event before, and every command after, the scheduler deals with it."""

    def __init__(self, story: Story, max_crashes: int) -> None:
        self._story = story
        self._max_crashes = max_crashes
        self.jobs: dict[int, JobEntry] = {}
        self.workers: dict[int, set[int]] = {}  # -> leases
        self.draining: set[int] = set()
        self.leases: dict[int, LeaseEntry] = {}
        self.revokes: dict[int, int] = {}  # unanswered -> worker
        self._asked: dict[tuple[int, int], int] = {}  # (job, index) -> the last revoke that asked for it
        self._last_lease = 0
        self._last_revoke = 0
        #: Counts, to show that a run exercised what it should.
        self.counts: dict[str, int] = dict.fromkeys(
            ("dispatches", "revokes", "returned", "retries", "crashes", "lost", "late", "cancelled"), 0
        )

    # ------------------------------------------------------------ events

    def event(self, event: ev.Event, now: float) -> None:
        match event:
            case ev.RunSucceeded():
                self._run_succeeded(event)
            case ev.TaskFailed():
                self._task_failed(event, now)
            case ev.TaskCrashed():
                self._task_crashed(event)
            case ev.SpansReturned():
                self._spans_returned(event)
            case ev.WorkerJoined():
                self._story.tell("worker %d joins with %d slots", event.worker, event.slots)
                self.workers[event.worker] = set()
            case ev.WorkerDraining():
                self._story.tell("worker %d takes nothing more", event.worker)
                self.draining.add(event.worker)
            case ev.WorkerLost():
                self._worker_lost(event)
            case ev.JobOpened():
                self._story.tell("opened by client %d: %s", event.client, event.options, job=event.job)
                self.jobs[event.job] = JobEntry(event.job, event.client, event.options)
            case ev.BlockArrived():
                job, block = self.jobs[event.job], event.block
                if not job.closed:
                    self._story.tell("block", job=event.job, spans=[(block.first, block.end)])
                    if block.first != len(job.tasks) or job.sealed:
                        raise Violation(f"a block arrived out of order, at {len(job.tasks)}", job.number, block.first)
                    job.tasks += [TaskRecord() for _ in range(block.count)]
            case ev.JobSealed():
                self._story.tell("sealed at %d", event.total, job=event.job)
                self.jobs[event.job].sealed = True
            case ev.CancelRequested():
                self._cancel_requested(event)
            case ev.ClientLeft():
                for job in self.jobs.values():
                    if job.client == event.client and not job.closed:
                        job.closed = job.cancelled = True
                        self._story.tell("its client left", job=job.number)

    def _run_succeeded(self, event: ev.RunSucceeded) -> None:
        lo, hi = event.first, event.first + event.count
        self._story.tell("worker %d succeeded, lease %d", event.worker, event.lease, job=event.job, spans=[(lo, hi)])
        job = self.jobs[event.job]
        lease = self._lease(event.worker, event.lease)
        for index in range(lo, hi):
            if lease is None or index not in lease.open:
                self.counts["late"] += 1
                job.tasks[index].late = True
        self._take(event.lease, lease, range(lo, hi))

    def _task_failed(self, event: ev.TaskFailed, now: float) -> None:
        index = event.index
        self._story.tell("worker %d failed", event.worker, job=event.job, spans=[(index, index + 1)])
        task = self._reported(event.worker, event.lease, event.job, index)
        if task is None or not event.message.retryable:
            return
        retry = self.jobs[event.job].options.retry
        task.failures += 1
        if task.failures <= retry.retries and not task.cancel_asked:
            self.counts["retries"] += 1
            task.attempts += 1
            delay = min(retry.delay * retry.backoff ** (task.failures - 1), retry.delay_max)
            task.due = now + delay * (1 - JITTER)

    def _task_crashed(self, event: ev.TaskCrashed) -> None:
        index = event.index
        self._story.tell("worker %d crashed", event.worker, job=event.job, spans=[(index, index + 1)])
        task = self._reported(event.worker, event.lease, event.job, index)
        if task is not None:
            self.counts["crashes"] += 1
            task.crashes += 1
            task.attempts += 1

    def _spans_returned(self, event: ev.SpansReturned) -> None:
        lease = self._lease(event.worker, event.lease)
        if event.revoke and self.revokes.pop(event.revoke, None) != event.worker:
            raise Violation(f"revoke {event.revoke} was answered by {event.worker}, which owes no answer")
        given = [index for lo, hi in event.spans for index in range(lo, hi)]
        if lease is not None:
            self._story.tell("worker %d gives back", event.worker, job=lease.job.number, spans=event.spans)
            self.counts["returned"] += len(given)
        elif given:
            raise Violation(f"worker {event.worker} gave back tasks of lease {event.lease}, which is not open")
        self._take(event.lease, lease, given)

    def _worker_lost(self, event: ev.WorkerLost) -> None:
        self._story.tell("worker %d is lost, planned: %s", event.worker, event.planned)
        for number in self.workers.pop(event.worker):
            lease = self.leases[number]
            self._story.tell("lost", job=lease.job.number, spans=[(index, index + 1) for index in lease.open])
            self.counts["lost"] += len(lease.open)
            for index in lease.open:
                task = lease.job.tasks[index]
                if not event.planned and task.outcome is None:
                    task.attempts += 1
            self._take(number, lease, list(lease.open), keep=True)
        self.revokes = {revoke: worker for revoke, worker in self.revokes.items() if worker != event.worker}

    def _cancel_requested(self, event: ev.CancelRequested) -> None:
        job = self.jobs[event.job]
        self._story.tell("cancel asked", job=event.job, spans=event.spans or ())
        if event.spans is None:
            job.closed = job.cancelled = True
            return
        for lo, hi in event.spans:
            for task in job.tasks[lo:hi]:
                task.cancel_asked = task.cancel_asked or task.outcome is None

    def _lease(self, worker: int, number: int) -> LeaseEntry | None:
        lease = self.leases.get(number)
        return lease if lease is not None and lease.worker == worker else None

    def _reported(self, worker: int, number: int, job: int, index: int) -> TaskRecord | None:
        """A report about one task that must be heeded: it is open, and under this lease."""
        lease = self._lease(worker, number)
        held = lease is not None and index in lease.open
        self._take(number, lease, [index])
        task = self.jobs[job].tasks[index]
        return task if held and task.outcome is None and not self.jobs[job].closed else None

    def _take(self, number: int, lease: LeaseEntry | None, indices: Iterable[int], *, keep: bool = False) -> None:
        """These are no longer under the lease."""
        if lease is None:
            return
        for index in indices:
            if index in lease.open:
                lease.open.discard(index)
                lease.job.out -= 1
                lease.job.tasks[index].lease = 0
        if not lease.open:
            del self.leases[number]
            if not keep:
                self.workers[lease.worker].discard(number)

    # ------------------------------------------------------------ commands

    def check_cancelled(self, event: ev.CancelRequested) -> None:
        """After the commands for a cancel: what no worker had has its end already."""
        job = self.jobs[event.job]
        for lo, hi in () if job.closed else event.spans or ():
            for index, task in enumerate(job.tasks[lo:hi], lo):
                if task.outcome is None and not task.lease:
                    raise Violation("cancelled where no worker had it, and not ended", job.number, index)

    def commands(self, commands: Iterable[cmd.Command], now: float) -> None:
        for command in commands:
            match command:
                case cmd.Dispatch():
                    self._dispatch(command, now)
                case cmd.Revoke():
                    self._revoke(command)
                case cmd.DeliverRun():
                    self._end(command.job, command.client, command.spans, "succeeded")
                case cmd.DeliverFailure():
                    self._failure(command)
                case cmd.DeliverCancelled():
                    for task, index in self._end(command.job, command.client, command.spans, "cancelled"):
                        self.counts["cancelled"] += 1
                        if not task.cancel_asked:
                            raise Violation("cancelled unasked", command.job, index)
                case cmd.CloseJob():
                    job = self.jobs[command.job]
                    job.closed = True
                    self._story.tell("closed", job=command.job)
                    if not job.cancelled and not (job.sealed and all(task.outcome for task in job.tasks)):
                        raise Violation("the job was closed with open tasks", command.job)
                case cmd.RejectJob():
                    raise Violation(f"an honest client's job was rejected: {command.sentence}", command.job)

    def _dispatch(self, command: cmd.Dispatch, now: float) -> None:
        number, job = command.lease, self.jobs[command.job]
        spans = [(piece.lo, piece.hi) for piece in command.pieces]
        self._story.tell("dispatched to worker %d, lease %d", command.worker, number, job=job.number, spans=spans)
        self.counts["dispatches"] += 1
        if command.worker not in self.workers:
            raise Violation(f"dispatched to worker {command.worker}, which is not there", job.number, spans[0][0])
        if command.worker in self.draining:
            raise Violation(f"dispatched to worker {command.worker}, which takes nothing more", job.number, spans[0][0])
        if number <= self._last_lease:
            raise Violation(f"lease {number} came twice", job.number, spans[0][0])
        if job.closed:
            raise Violation("a task of a closed job was dispatched", job.number, spans[0][0])
        if command.priority != job.options.priority:
            raise Violation("dispatched with another priority", job.number, spans[0][0])
        self._last_lease = number
        lease = self.leases[number] = LeaseEntry(command.worker, job, set())
        self.workers[command.worker].add(number)
        for piece in command.pieces:
            for index in range(piece.lo, piece.hi):
                task = job.tasks[index]
                fault = _dispatch_fault(task, piece.attempt, now)
                if fault is not None:
                    raise Violation(f"dispatched though {fault}", job.number, index)
                task.lease = number
                task.dispatches += 1
                lease.open.add(index)
        job.out += len(lease.open)
        limit = job.options.max_parallel
        if limit and job.out > limit:
            raise Violation(f"{job.out} tasks are out, but max_parallel is {limit}", job.number, spans[0][0])

    def _revoke(self, command: cmd.Revoke) -> None:
        self._story.tell("revoke from worker %d", command.worker, job=command.job, spans=command.spans)
        self.counts["revokes"] += 1
        lease = self._lease(command.worker, command.lease)
        if lease is None or lease.job.number != command.job or command.revoke <= self._last_revoke:
            raise Violation(f"revoke {command.revoke} asks for a lease that its worker does not hold", command.job)
        self._last_revoke = command.revoke
        for lo, hi in command.spans:
            for index in range(lo, hi):
                if index not in lease.open:
                    raise Violation("asked back though it was reported", command.job, index)
                before = self._asked.get((command.job, index), 0)
                if before in self.revokes and not lease.job.closed and not lease.job.tasks[index].cancel_asked:
                    raise Violation(f"asked back again before revoke {before} was answered", command.job, index)
                self._asked[command.job, index] = command.revoke
        self.revokes[command.revoke] = command.worker

    def _failure(self, command: cmd.DeliverFailure) -> None:
        message = command.message
        ((task, index),) = self._end(command.job, command.client, [(message.index, message.index + 1)], "failed")
        crashed = message.kind == pb.Failure.KIND_CRASHED
        if crashed and not task.crashes == len(message.crashes) == self._max_crashes:
            raise Violation(f"failed after {task.crashes} crashes", command.job, index)
        again = message.retryable and task.failures <= self.jobs[command.job].options.retry.retries
        if message.kind == pb.Failure.KIND_EXCEPTION and again and not task.cancel_asked:
            raise Violation(f"failed after {task.failures} failures though a retry was left", command.job, index)

    def _end(self, number: int, client: int, spans: Iterable[Span], outcome: str) -> list[tuple[TaskRecord, int]]:
        self._story.tell("%s", outcome, job=number, spans=spans)
        job = self.jobs[number]
        if job.closed:
            raise Violation(f"a closed job's task {outcome}", number)
        if job.client != client:
            raise Violation(f"delivered to client {client}, not {job.client}", number)
        ended = []
        for lo, hi in spans:
            for index in range(lo, hi):
                task = job.tasks[index]
                if task.outcome is not None:
                    raise Violation(f"{outcome}, though it has {task.outcome} already", number, index)
                task.outcome = outcome
                ended.append((task, index))
        return ended

    # ------------------------------------------------------------ slots, and the end

    def starts(self, worker: str, lease_number: int, job: int, index: int, attempt: int) -> TaskRecord:
        """A slot begins a task."""
        task = self.jobs[job].tasks[index]
        task.starts += 1
        self._story.tell("%s starts it, lease %d", worker, lease_number, job=job, spans=[(index, index + 1)])
        if task.starts > task.dispatches:
            raise Violation(f"started {task.starts} times, dispatched {task.dispatches} times", job, index)
        lease = self.leases.get(lease_number)
        if lease is not None and index in lease.open:
            if task.outcome is not None and not task.late:
                raise Violation(f"runs though it has {task.outcome}", job, index)
            if task.outcome is None and attempt != task.attempts:
                raise Violation(f"runs as attempt {attempt}, not {task.attempts}", job, index)
        return task

    def forget_start(self, job: int, index: int) -> None:
        """A slot died before it told of this task: it may start once more without being dispatched again."""
        self._story.tell("finished in vain", job=job, spans=[(index, index + 1)])
        self.jobs[job].tasks[index].starts -= 1

    def check_rest(self) -> None:
        """Everything has its end, and nothing is out."""
        for job in self.jobs.values():
            for index, task in enumerate(job.tasks):
                if task.outcome is None and not job.cancelled:
                    raise Violation("accepted, and without an end", job.number, index)
            if not job.closed:
                raise Violation("finished, and not closed", job.number)
        if self.leases:
            number, lease = next(iter(self.leases.items()))
            raise Violation(f"lease {number} is open at rest", lease.job.number, next(iter(lease.open)))
        if self.revokes:
            raise Violation(f"revokes {self.revokes} are unanswered at rest")


def _dispatch_fault(task: TaskRecord, attempt: int, now: float) -> str | None:
    if task.outcome is not None:
        return f"it has {task.outcome}"
    if task.cancel_asked:
        return "it is being cancelled"
    if task.lease:
        return f"it is out under lease {task.lease}"
    if attempt != task.attempts:
        return f"its attempt is {task.attempts}, not {attempt}"
    if now < task.due:
        return f"it is to wait for another {task.due - now} s"
    return None
