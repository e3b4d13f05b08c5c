"""The ledger: what any correct master may and must do with each task, checked at every event and command.

It stands between the engine and the shipped scheduler. Its records know everything at once, so they also tell
simulated slots what happens to a task when it runs.
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.simulation.records import JobEntry, LeaseEntry, TaskRecord, dispatch_fault, is_overdue
from tests.simulation.story import Story, Violation

from manyhands.master import commands as cmd
from manyhands.master import events as ev
from manyhands.master.retry import JITTER
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.spans import Span


class Ledger:
    """Tell it every event before, and every command after, the scheduler deals with it."""

    def __init__(self, story: Story, max_crashes: int) -> None:
        self._story = story
        self._max_crashes = max_crashes
        self.jobs: dict[int, JobEntry] = {}
        self.workers: dict[int, set[int]] = {}  # -> leases
        self.draining: set[int] = set()
        self._lagging: set[int] = set()  # clients
        #: Of peers, by the master's number.
        self.names: dict[int, str] = {}
        self.leases: dict[int, LeaseEntry] = {}
        #: As they were when their workers were lost.
        self.lost: dict[int, LeaseEntry] = {}
        #: What workers came back with and nobody wants: (worker, lease) -> tasks.
        self._unwanted: dict[tuple[int, int], LeaseEntry] = {}
        #: Workers whose goodbye was acknowledged.
        self.left: set[str] = set()
        #: What each worker has reported, as (lease, task), and the master has not heard.
        self.unheard: dict[str, set[tuple[int, int]]] = {}
        self.revokes: dict[int, int] = {}  # unanswered -> worker
        self._chargeable: set[tuple[int, int]] = set()  # with the loss that has just been told
        self._asked: dict[tuple[int, int], int] = {}  # (lease, task) -> the last revoke that asked for it
        self._last_lease = 0
        #: Wall time has jumped; and when the living master began.
        self.clock_was_set = False
        self.life_began = 0.0
        self._last_revoke = 0
        #: Counts, to show that a run exercised what it should.
        self.counts: dict[str, int] = dict.fromkeys(
            (
                "dispatches",
                "copies",
                "revokes",
                "returned",
                "retries",
                "crashes",
                "lost",
                "held",
                "late",
                "cancelled",
                "stopped",
                "kills",
                "timed out",
                "lags",
            ),
            0,
        )

    # ------------------------------------------------------------ events

    def event(self, event: ev.Event, now: float) -> None:
        self._chargeable.clear()
        match event:
            case ev.RunSucceeded():
                self._run_succeeded(event)
            case ev.TaskFailed():
                self._task_failed(event, now)
            case ev.TaskCrashed():
                self._task_crashed(event)
            case ev.SpansReturned():
                self._spans_returned(event)
            case ev.LeasesHeld():
                self._leases_held(event)
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
                self._job_opened(event)
            case ev.BlockArrived():
                job, block = self.jobs[event.job], event.block
                if not job.closed:
                    self._story.tell("block", job=event.job, spans=[(block.first, block.end)])
                    if block.first != job.count or job.sealed:
                        raise Violation(f"a block arrived out of order, at {job.count}", job.number, block.first)
                    self._add(job, block.count, now, refused=False)
            case ev.BlockRefused():
                self._story.tell("no room", job=event.job, spans=[(event.first, event.first + event.count)])
                if not self.jobs[event.job].closed:
                    self._add(self.jobs[event.job], event.count, now, refused=True)
            case ev.JobSealed():
                self._story.tell("sealed at %d", event.total, job=event.job)
                self.jobs[event.job].sealed = True
            case ev.CancelRequested():
                self._cancel_requested(event)
            case ev.ClientLagging():
                self._story.tell("client %d %s", event.client, "reads too little" if event.lags else "reads again")
                self.counts["lags"] += event.lags
                (self._lagging.add if event.lags else self._lagging.discard)(event.client)
            case ev.ClientLeft():
                for job in self.jobs.values():
                    if job.client == event.client and not job.closed:
                        job.closed = job.cancelled = True
                        self._story.tell("its client left", job=job.number)

    def _job_opened(self, event: ev.JobOpened) -> None:
        job = self.jobs.get(event.job)
        if job is None:
            job = self.jobs[event.job] = JobEntry(event.job, event.client, event.options)
        elif not job.reopens:
            raise Violation(f"job {event.job} was opened twice", event.job)
        job.client = event.client
        job.closed = job.cancelled = job.sealed = job.reopens = False

    @staticmethod
    def _add(job: JobEntry, count: int, now: float, *, refused: bool) -> None:
        """The next tasks have come, perhaps for the second time."""
        again = job.tasks[job.count : job.count + count]
        job.tasks += [TaskRecord() for _ in range(count - len(again))]
        for task in job.tasks[job.count : job.count + count]:
            task.begin_anew()
            task.refused = refused
            task.arrived_at = now
        job.count += count

    def master_died(self) -> None:
        """Its leases are lost, and nobody is charged; its workers may come back with what they hold."""
        for number, lease in self.leases.items():
            self.lost[number] = lease
            for index in lease.open:
                lease.job.tasks[index].leases.discard(number)
        for (_, number), lease in self._unwanted.items():
            self.lost.setdefault(number, LeaseEntry(lease.worker, lease.job)).open.update(lease.open)
        for job in self.jobs.values():
            job.out = 0
        for each in (
            self.workers,
            self.draining,
            self._lagging,
            self.names,
            self.leases,
            self._unwanted,
            self.revokes,
            self._asked,
        ):
            each.clear()
        self._chargeable.clear()
        self._last_revoke = 0

    def _run_succeeded(self, event: ev.RunSucceeded) -> None:
        lo, hi = event.first, event.first + event.count
        self._hear(event.lease, range(lo, hi))
        self._story.tell("worker %d succeeded, lease %d", event.worker, event.lease, job=event.job, spans=[(lo, hi)])
        job = self.jobs[event.job]
        lease = self._lease(event.worker, event.lease)
        for index in range(lo, min(hi, job.count)):
            if job.tasks[index].outcome is None:
                job.tasks[index].reported_by = self.names[event.worker], event.lease
            if lease is None or index not in lease.open:
                self.counts["late"] += 1
                job.tasks[index].late = True
        self._take(event.lease, range(lo, hi))

    def _task_failed(self, event: ev.TaskFailed, now: float) -> None:
        index = event.index
        self._story.tell("worker %d failed", event.worker, job=event.job, spans=[(index, index + 1)])
        task = self._reported(event, event.message.attempt)
        if task is None or not event.message.retryable:
            return
        retry = self.jobs[event.job].options.retry
        task.failures += 1
        if task.failures <= retry.retries and not task.cancel_asked:
            self.counts["retries"] += 1
            task.attempts += 1
            task.is_due_again = True
            delay = min(retry.delay * retry.backoff ** (task.failures - 1), retry.delay_max)
            task.due = now + delay * (1 - JITTER)

    def _task_crashed(self, event: ev.TaskCrashed) -> None:
        index = event.index
        self._story.tell("worker %d crashed", event.worker, job=event.job, spans=[(index, index + 1)])
        task = self._reported(event, event.attempt)
        if task is not None:
            self.counts["crashes"] += 1
            task.crashes += 1
            task.attempts += 1
            task.is_due_again = True
            task.due = 0.0

    def _spans_returned(self, event: ev.SpansReturned) -> None:
        lease = self._lease(event.worker, event.lease)
        if event.revoke and self.revokes.pop(event.revoke, None) != event.worker:
            raise Violation(f"revoke {event.revoke} was answered by {event.worker}, which owes no answer")
        given = [index for lo, hi in event.spans for index in range(lo, hi)]
        unwanted = self._unwanted.get((event.worker, event.lease))
        if unwanted is not None:
            given = [index for index in given if unwanted.open.pop(index, None) is None]
        if lease is None:
            # What it stopped before it said what it holds says nothing to a master that has just begun.
            speaks = (0, 0) not in self.unheard.get(self.names[event.worker], ())
            if given and speaks:
                raise Violation(f"worker {event.worker} gave back tasks of lease {event.lease}, which is not open")
            return
        self._story.tell("worker %d gives back", event.worker, job=lease.job.number, spans=event.spans)
        self.counts["returned" if event.revoke else "stopped"] += len(given)
        for index in given:
            task = lease.job.tasks[index]
            may = event.revoke or event.worker in self.draining or task.stop_asked or task.copied
            if not (may or task.outcome or lease.job.closed):
                raise Violation("stopped, or given back, unasked", lease.job.number, index)
            task.is_due_again = True
        self._take(event.lease, given)

    def _leases_held(self, event: ev.LeasesHeld) -> None:
        self.unheard.get(self.names[event.worker], set()).discard((0, 0))
        for number, job_number, spans in event.leases:
            self._story.tell("worker %d holds it, lease %d", event.worker, number, job=job_number, spans=spans)
            job, lost = self.jobs[job_number], self.lost.get(number)
            lease, unwanted = LeaseEntry(event.worker, job), LeaseEntry(event.worker, job)
            for index in (index for lo, hi in spans for index in range(lo, hi)):
                if lost is None or index not in lost.open:
                    raise Violation(f"worker {event.worker} came back with what it was not sent", job_number, index)
                task = job.tasks[index]
                attempt = lost.open.pop(index)
                if job.closed or index >= job.count or task.outcome is not None or task.cancel_asked:
                    unwanted.open[index] = attempt
                    continue
                self.counts["held"] += 1
                lease.open[index] = attempt
                task.leases.add(number)
                task.was_dispatched = True
                task.doubled = job.doubled = True
                # One of them may be a copy that an earlier life sent out.
                task.copied = task.copied or job.options.speculate
                task.is_due_again = False
                task.due = 0.0
            job.out += len(lease.open)
            if lease.open:
                self.leases[number] = lease
                self.workers[event.worker].add(number)
            if unwanted.open:
                self._unwanted[event.worker, number] = unwanted

    def _worker_lost(self, event: ev.WorkerLost) -> None:
        self._story.tell("worker %d is lost, planned: %s", event.worker, event.planned)
        if self.names.get(event.worker) in self.left and not event.planned:
            raise Violation(f"worker {event.worker} said goodbye, and passes for lost")
        for number in self.workers.pop(event.worker, ()):  # it may not have said what it holds, and so not have joined
            lease = self.leases[number]
            self.lost[number] = LeaseEntry(event.worker, lease.job, dict(lease.open))
            self._story.tell("lost", job=lease.job.number, spans=[(index, index + 1) for index in lease.open])
            self.counts["lost"] += len(lease.open)
            for index in lease.open:
                task = lease.job.tasks[index]
                task.is_due_again = True
                if not event.planned and task.outcome is None:
                    self._chargeable.add((lease.job.number, index))
            self._take(number, list(lease.open), keep=True)
        for worker, number in [key for key in self._unwanted if key[0] == event.worker]:
            unwanted = self._unwanted.pop((worker, number))
            self.lost.setdefault(number, LeaseEntry(worker, unwanted.job)).open.update(unwanted.open)
        self.revokes = {revoke: worker for revoke, worker in self.revokes.items() if worker != event.worker}

    def _cancel_requested(self, event: ev.CancelRequested) -> None:
        job = self.jobs.get(event.job)
        self._story.tell("cancel asked", job=event.job, spans=event.spans or ())
        if job is None:
            return  # it waits for a definition
        if event.spans is None:
            job.closed = job.cancelled = True
            return
        for lo, hi in event.spans:
            for task in job.tasks[lo : min(hi, job.count)]:
                task.cancel_asked = task.cancel_asked or task.outcome is None
                task.stop_asked = task.stop_asked or (task.cancel_asked and not event.spare_running)

    def _lease(self, worker: int, number: int) -> LeaseEntry | None:
        lease = self.leases.get(number)
        return lease if lease is not None and lease.worker == worker else None

    def _reported(self, event: ev.TaskFailed | ev.TaskCrashed, attempt: int) -> TaskRecord | None:
        """A report about one task that must be heeded: it is open, and held or the latest attempt."""
        self._hear(event.lease, [event.index])
        job, index = self.jobs[event.job], event.index
        task = job.tasks[index]
        lease = self._lease(event.worker, event.lease)
        counts = lease is not None and index in lease.open
        # Two copies are one attempt: what ends it is counted once.
        counts = counts and not (job.options.speculate and attempt != task.attempts)
        self._take(event.lease, [index])
        counts = counts or (attempt == task.attempts and not task.leases)
        if not counts or task.outcome is not None or job.closed or index >= job.count:
            return None
        task.reported_by = self.names[event.worker], event.lease
        return task

    def reports(self, worker: str, body: pb.Body) -> None:
        """A worker hands a message to its session."""
        self.unheard.setdefault(worker, set()).update(reported(body))

    def _hear(self, lease: int, indices: Iterable[int]) -> None:
        for unheard in self.unheard.values():
            unheard.difference_update((lease, index) for index in indices)

    def _take(self, number: int, indices: Iterable[int], *, keep: bool = False) -> None:
        """These are no longer under the lease, open or lost."""
        lost, lease = self.lost.get(number), self.leases.get(number)
        for index in indices:
            if lease is not None and lease.open.pop(index, None) is not None:
                lease.job.out -= 1
                lease.job.tasks[index].leases.discard(number)
            elif lost is not None and not keep:
                lost.open.pop(index, None)
        if lease is not None and not lease.open:
            del self.leases[number]
            if not keep:
                self.workers[lease.worker].discard(number)

    # ------------------------------------------------------------ commands

    def check_cancelled(self, event: ev.CancelRequested) -> None:
        """After the commands for a cancel: what no worker had has its end already."""
        job = self.jobs.get(event.job)
        for lo, hi in () if job is None or job.closed else event.spans or ():
            for index, task in enumerate(job.tasks[lo : min(hi, job.count)], lo):
                if task.outcome is None and not task.leases:
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
                    self._failed(command, now)
                case cmd.DeliverCancelled():
                    for task, index in self._end(command.job, command.client, command.spans, "cancelled"):
                        self.counts["cancelled"] += 1
                        if not task.cancel_asked:
                            raise Violation("cancelled unasked", command.job, index)
                case cmd.KeepTries():
                    self._charge(command.job, command.index)
                    task = self.jobs[command.job].tasks[command.index]
                    kept = command.attempts, command.failures, len(command.crashes)
                    if kept != (task.attempts, task.failures, task.crashes + task.losses):
                        raise Violation(f"kept are (attempts, failures, crashes) {kept}", command.job, command.index)
                case cmd.CloseJob():
                    job = self.jobs[command.job]
                    job.closed = True
                    self._story.tell("closed", job=command.job)
                    if not job.cancelled and not (job.sealed and all(task.outcome for task in job.tasks[: job.count])):
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
        if job.client in self._lagging:
            raise Violation("a task was dispatched whose client reads too little", job.number, spans[0][0])
        if command.priority != job.options.priority:
            raise Violation("dispatched with another priority", job.number, spans[0][0])
        self._last_lease = number
        lease = self.leases[number] = LeaseEntry(command.worker, job)
        self.workers[command.worker].add(number)
        for piece in command.pieces:
            for index in range(piece.lo, piece.hi):
                task = job.tasks[index]
                if job.options.speculate and task.leases:
                    self._check_copy(command.worker, job, index)
                fault = dispatch_fault(task, piece.attempt, now)
                if fault is not None:
                    raise Violation(f"dispatched though {fault}", job.number, index)
                task.leases.add(number)
                task.is_due_again = False
                task.dispatches += 1
                task.was_dispatched = True
                lease.open[index] = piece.attempt
        job.out += len(lease.open)
        limit = job.options.max_parallel
        if limit and job.out > limit and not job.doubled:
            raise Violation(f"{job.out} tasks are out, but max_parallel is {limit}", job.number, spans[0][0])

    def _check_copy(self, worker: int, job: JobEntry, index: int) -> None:
        """Once nothing else of the job is left, a task that runs may be sent out once more, to another worker."""
        task = job.tasks[index]
        if len(task.leases) > 1 or worker in {self.leases[number].worker for number in task.leases}:
            raise Violation(f"copied though it is out under lease {task.leases}", job.number, index)
        if any(each.outcome is None and not each.leases for each in job.tasks[: job.count]):
            raise Violation("copied while others wait", job.number, index)
        self.counts["copies"] += 1
        task.copied = task.is_due_again = True

    def _revoke(self, command: cmd.Revoke) -> None:
        self._story.tell("revoke from worker %d", command.worker, job=command.job, spans=command.spans)
        self.counts["revokes"] += 1
        lease = self._lease(command.worker, command.lease)
        unwanted = self._unwanted.get((command.worker, command.lease))
        if unwanted is not None and all(lo in unwanted.open for lo, _ in command.spans):
            lease = unwanted
        if lease is None or lease.job.number != command.job or command.revoke <= self._last_revoke:
            raise Violation(f"revoke {command.revoke} asks for a lease that its worker does not hold", command.job)
        self._last_revoke = command.revoke
        for lo, hi in command.spans:
            for index in range(lo, hi):
                if index not in lease.open:
                    raise Violation("asked back though it was reported", command.job, index)
                task = lease.job.tasks[index]
                before = self._asked.get((command.lease, index), 0)
                is_over = lease.job.closed or task.outcome is not None
                if before in self.revokes and not (is_over or task.cancel_asked or task.copied):
                    raise Violation(f"asked back again before revoke {before} was answered", command.job, index)
                self._asked[command.lease, index] = command.revoke
                if command.stop and not (lease is unwanted or is_over or task.stop_asked or task.copied):
                    raise Violation("to be stopped unasked", command.job, index)
        self.revokes[command.revoke] = command.worker

    def _timed_out(self, command: cmd.DeliverFailure, now: float) -> None:
        message, options = command.message, self.jobs[command.job].options
        timeout = options.total_timeout if message.limit == "total_timeout" else options.queue_timeout
        for task, index in self._end(command.job, command.client, [(message.index, message.end)], "failed"):
            self.counts["timed out"] += 1
            task.late, task.reported_by = True, ("", 0)  # its worker has not heard of it
            if not 0 < timeout == message.timeout:
                raise Violation(f"timed out after {message.timeout} s", command.job, index)
            if now < task.arrived_at + timeout and not self.clock_was_set:
                raise Violation(f"timed out {task.arrived_at + timeout - now} s too early", command.job, index)
            if task.was_dispatched and message.limit == "queue_timeout":
                raise Violation("waited for too long, and had been dispatched", command.job, index)

    def check_times(self, now: float) -> None:
        """After a plan: nobody has waited for too long."""
        since = self.life_began if self.clock_was_set else 0.0
        for job in self.jobs.values():
            if not job.closed and (job.options.total_timeout or job.options.queue_timeout):
                for index, task in enumerate(job.tasks[: job.count]):
                    if task.outcome is None and is_overdue(task, job.options, since, now):
                        raise Violation("its time was up before now", job.number, index)

    def _failed(self, command: cmd.DeliverFailure, now: float) -> None:
        if command.message.kind == pb.Failure.KIND_NO_ROOM:
            self._refused(command)
        elif command.message.end:
            self._timed_out(command, now)
        else:
            self._failure(command)

    def _refused(self, command: cmd.DeliverFailure) -> None:
        span = command.message.index, command.message.end
        for task, index in self._end(command.job, command.client, [span], "failed"):
            if not task.refused:
                raise Violation("failed for want of room, though it had been taken", command.job, index)

    def _failure(self, command: cmd.DeliverFailure) -> None:
        message = command.message
        ((task, index),) = self._end(command.job, command.client, [(message.index, message.index + 1)], "failed")
        crashed = message.kind == pb.Failure.KIND_CRASHED
        if (command.job, index) in self._chargeable:
            task.reported_by = "", 0  # the master tells of it, and no worker
        if crashed:
            self._charge(command.job, index)
        if crashed and not task.crashes + task.losses == len(message.crashes) == self._max_crashes:
            raise Violation(f"failed after {task.crashes} crashes", command.job, index)
        again = message.retryable and task.failures <= self.jobs[command.job].options.retry.retries
        if message.kind == pb.Failure.KIND_EXCEPTION and again and not task.cancel_asked:
            raise Violation(f"failed after {task.failures} failures though a retry was left", command.job, index)

    def _charge(self, job: int, index: int) -> None:
        """The scheduler charges a task: with the loss of its worker, if that is what it was told of."""
        if (job, index) in self._chargeable:
            self._chargeable.discard((job, index))
            self._story.tell("charged with the loss", job=job, spans=[(index, index + 1)])
            task = self.jobs[job].tasks[index]
            task.losses += 1
            task.losses_ever += 1
            task.attempts += 1

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
            if task.outcome is not None and not (task.late or task.doubled or task.copied):
                raise Violation(f"runs though it has {task.outcome}", job, index)
            if attempt != lease.open[index]:
                raise Violation(f"runs as attempt {attempt}, not {lease.open[index]}", job, index)
        return task

    def forget_start(self, job: int, index: int) -> None:
        """A slot died before it told of this task: it may start once more without being dispatched again."""
        self._story.tell("finished in vain", job=job, spans=[(index, index + 1)])
        self.jobs[job].tasks[index].starts -= 1

    def check_rest(self) -> None:
        """Everything has its end, and nothing is out."""
        for job in self.jobs.values():
            for index, task in enumerate(job.tasks[: job.count]):
                if task.outcome is None and not job.cancelled:
                    raise Violation("accepted, and without an end", job.number, index)
            if not job.closed:
                raise Violation("finished, and not closed", job.number)
        for worker, unheard in self.unheard.items():
            if unheard:
                raise Violation(f"the master never heard what {worker} reported: {sorted(unheard)[:9]}")
        if self.leases:
            number, lease = next(iter(self.leases.items()))
            raise Violation(f"lease {number} is open at rest", lease.job.number, next(iter(lease.open)))
        if self.revokes:
            raise Violation(f"revokes {self.revokes} are unanswered at rest")


def reported(body: pb.Body) -> set[tuple[int, int]]:
    """What a message of a worker reports, as (lease, task); (0, 0): what it holds."""
    match body.WhichOneof("kind"):
        case "results":
            first = body.results.first
            return {(body.results.lease, first + k) for k in range(len(body.results.ends) // 4)}
        case "failure":
            return {(body.failure.lease, body.failure.index)}
        case "crash":
            return {(body.crash.lease, body.crash.index)}
        case "held":
            return {(0, 0)}
    return set()
