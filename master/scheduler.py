"""The scheduler: which task runs where. A synchronous state machine without clock, socket or randomness of its own.

`handle(event, now)` takes in one fact, `plan(now)` hands out work after any number of them; both return
commands for the shell to carry out at once, in order. `next_deadline()` says when `plan` is due again
at the latest. See docs/architecture.md for the states of a task and the reasons behind the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from manyhands.master import events as ev
from manyhands.master.commands import (
    CloseJob,
    Command,
    DeliverDispatched,
    DeliverFailure,
    DeliverRun,
    DropResults,
    KeepState,
    KeepTries,
    RefuseState,
    RejectJob,
)
from manyhands.master.jobs import Job
from manyhands.master.losses import SUSPECTS_PER_SLOT, first_tasks
from manyhands.master.planner import Planner
from manyhands.master.pool import Pool
from manyhands.master.retry import Wakes, retry_delay
from manyhands.master.tuning import SchedulerConfig
from manyhands.master.workers import Worker
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.blocks import results_size
from manyhands.wire.spans import SpanSet


class Scheduler:
    """All jobs, all workers, all decisions."""

    def __init__(
        self,
        rng: Random,
        config: SchedulerConfig = SchedulerConfig(),  # noqa: B008 - frozen
        first_lease: int = 1,
    ) -> None:
        self._rng = rng
        self._config = config
        self._pool = Pool(config)
        self._planner = Planner(self._pool, first_lease)
        self._wakes = Wakes()
        #: Reports about tasks that had their outcome, or of jobs that are gone.
        self.stale = 0
        self._handlers: dict[type, Callable[[Any, float], list[Command]]] = {
            ev.WorkerJoined: self._on_worker_joined,
            ev.StoreJoined: self._on_store_joined,
            ev.WorkerLost: self._on_worker_lost,
            ev.WorkerDraining: self._on_worker_draining,
            ev.JobOpened: self._on_job_opened,
            ev.JobRecovered: self._on_job_recovered,
            ev.BlockArrived: self._on_block_arrived,
            ev.BlockRefused: self._on_block_refused,
            ev.JobSealed: self._on_job_sealed,
            ev.CancelRequested: self._on_cancel_requested,
            ev.ResultsConsumed: self._on_results_consumed,
            ev.WatchRequested: self._on_watch_requested,
            ev.ClientLeft: self._on_client_left,
            ev.ClientLagging: self._on_client_lagging,
            ev.JobLacksData: self._on_job_lacks_data,
            ev.RunSucceeded: self._on_run_succeeded,
            ev.TaskFailed: self._on_task_failed,
            ev.TaskCrashed: self._on_task_crashed,
            ev.SpansReturned: self._on_spans_returned,
            ev.StateSaved: self._on_state_saved,
            ev.LeasesHeld: self._on_leases_held,
        }

    # ------------------------------------------------------------ what the shell asks

    def handle(self, event: ev.Event, now: float) -> list[Command]:
        """Take in one fact."""
        return self._handlers[type(event)](event, now)

    def plan(self, now: float) -> list[Command]:
        """Hand out work, after any number of events."""
        out: list[Command] = []
        for number, index in self._wakes.pop_due(now):
            job = self._pool.jobs.get(number)
            if job is not None and job.waiting.remove(index, index + 1):
                self._pool.requeue(job, [(index, index + 1)], out)
        for number, limit, lo, hi in self._pool.expiries.pop_due(now):
            self._pool.expire(self._pool.jobs[number], limit, lo, hi, out)
        self._planner.plan(now, out)
        return out

    def next_deadline(self) -> float | None:
        """When `plan` must be called at the latest, should no event come before."""
        due = (self._wakes.next_due(), self._planner.recheck_at, self._pool.expiries.next_due())
        return min((time for time in due if time is not None), default=None)

    @property
    def flush_interval(self) -> float:
        """How often a busy worker should report, in seconds."""
        return self._planner.flush_interval

    @property
    def slots(self) -> int:
        """Slots of all workers that take work."""
        return self._pool.slots

    @property
    def jobs(self) -> Iterable[Job]:
        """The open jobs; for looking."""
        return self._pool.jobs.values()

    @property
    def workers(self) -> dict[int, Worker]:
        """The workers; for looking."""
        return self._pool.workers

    # ------------------------------------------------------------ workers

    def _on_worker_joined(self, event: ev.WorkerJoined, now: float) -> list[Command]:
        worker = Worker(event.worker, event.slots, now)
        self._pool.workers[event.worker] = worker
        self._planner.touch(worker)
        self._pool.slots += event.slots
        return []

    def _on_store_joined(self, event: ev.StoreJoined, now: float) -> list[Command]:
        worker = self._pool.workers.get(event.worker)
        if worker is not None:
            worker.store = event.store
        return []

    def _on_worker_lost(self, event: ev.WorkerLost, now: float) -> list[Command]:
        worker = self._pool.workers.pop(event.worker, None)
        if worker is None:
            return []
        charged = [] if event.planned else first_tasks(worker, worker.slots)
        suspects = [] if event.planned else first_tasks(worker, worker.slots * SUSPECTS_PER_SLOT)
        for job, lo, hi in suspects:
            job.suspects.add(lo, hi)
        out: list[Command] = []
        self._pass_over(worker, out)
        for lease in list(worker.leases.values()):
            spans = list(lease.open)
            for lo, hi in spans:
                worker.report(lease, lo, hi)
            self._pool.requeue(lease.job, spans, out)
        for job, lo, hi in charged:
            for index in range(lo, hi):
                if job.number in self._pool.jobs and index not in job.done:
                    out += self._charge(job, index, event.report)
        return out

    def _on_worker_draining(self, event: ev.WorkerDraining, now: float) -> list[Command]:
        worker = self._pool.workers.get(event.worker)
        if worker is None:
            return []
        out: list[Command] = []
        self._pass_over(worker, out)
        if event.ask:
            for lease in list(worker.leases.values()):
                self._pool.ask_back(worker, lease, list(lease.open), out)
        return out

    def _pass_over(self, worker: Worker, out: list[Command]) -> None:
        """From now on the worker is sent nothing: what was set aside for it is anybody's again."""
        if worker.draining:
            return
        worker.draining = True
        self._pool.slots -= worker.slots
        self._planner.forget(worker)
        for staged in worker.unstage_tail(worker.staged):
            self._pool.requeue(staged.job, staged.spans, out)

    def _charge(self, job: Job, index: int, report: pb.CrashReport) -> list[Command]:
        """A slot or worker died under an open task; for the last time allowed, or it is tried again."""
        reports = job.crash_reports.setdefault(index, [])
        reports.append(report)
        if len(reports) >= self._config.max_crashes:
            self._pool.withdraw(job, [(index, index + 1)])
            return self._fail(job, pb.Failure(index=index, kind=pb.Failure.KIND_CRASHED, crashes=reports))
        job.attempts.bump(index, index + 1)
        return [_tries(job, index, 0.0)]

    def _on_spans_returned(self, event: ev.SpansReturned, now: float) -> list[Command]:
        worker = self._pool.workers.get(event.worker)
        if worker is None:
            return []
        out: list[Command] = []
        if event.revoke:
            worker.revokes.pop(event.revoke, None)
        lease = worker.leases.get(event.lease)
        came = 0
        if lease is not None:
            parts = [part for lo, hi in event.spans for part in lease.open.overlap(lo, hi)]
            for lo, hi in parts:
                came += worker.report(lease, lo, hi)
            self._pool.requeue(lease.job, parts, out)
        if not came:
            worker.revoke_after = now + self._config.revoke_pause
        self._planner.touch(worker)
        return out

    def _on_state_saved(self, event: ev.StateSaved, now: float) -> list[Command]:
        """Of two attempts that are out the later one's counts; the lease may be over, the state is of use still."""
        job = self._pool.jobs.get(event.job)
        worker = self._pool.workers.get(event.worker)
        if worker is not None:
            worker.progress_at = now
        if job is None or not 0 <= event.index < job.count or event.index in job.done:
            self.stale += 1
            return []
        if job.states.is_older(event.index, event.attempt):
            self.stale += 1
            return []
        if not job.states.keep(event.index, event.attempt, event.state):
            return [RefuseState(job.number, event.index, len(event.state))]
        return [KeepState(job.number, event.index, event.state)]

    def _on_leases_held(self, event: ev.LeasesHeld, now: float) -> list[Command]:
        """What it holds of open tasks goes on there, even if they were queued or run again elsewhere; the rest comes
        back: their jobs are over, or somebody was faster.
        """
        worker = self._pool.workers.get(event.worker)
        if worker is None:
            return []
        out: list[Command] = []
        for number, job_number, spans in event.leases:
            job = self._pool.jobs.get(job_number)
            held = SpanSet(spans)
            if job is None:
                self._pool.ask_back_unknown(worker, number, job_number, list(held), out)
                continue
            wanted = SpanSet()
            for lo, hi in spans:
                for a, b in job.done.missing(lo, min(hi, job.count)):
                    for c, d in job.cancelling.missing(a, b):
                        wanted.add(c, d)
            for lo, hi in wanted:
                held.remove(lo, hi)
            self._pool.ask_back_unknown(worker, number, job_number, list(held), out)
            job.doubled = True
            if job.options.speculate:  # one of them may be a copy that an earlier life sent out
                for lo, hi in wanted:
                    job.copied.add(lo, hi)
            self._pool.withdraw(job, list(wanted))
            self._planner.lease_again(worker, job, number, wanted, now)
            self._pool.note_dispatched(job, wanted, out)
            self._pool.refresh(job)
        self._planner.touch(worker)
        return out

    # ------------------------------------------------------------ jobs

    def _on_job_opened(self, event: ev.JobOpened, now: float) -> list[Command]:
        self._pool.add_job(event.job, event.client, event.options)
        return []

    def _on_job_recovered(self, event: ev.JobRecovered, now: float) -> list[Command]:
        job = self._pool.add_job(event.job, event.client, event.options)
        job.restore(event)
        for block, age in zip(event.blocks, event.ages, strict=True):
            self._pool.begin_clocks(job, block.first, block.end, now - age)
        if job.dispatched is not None:
            for lo, hi in [*job.attempts.counted(), *event.dispatched]:
                job.dispatched.add(lo, hi)
        for tries in event.tries:
            if tries.index not in job.done and tries.delay > 0:
                job.queued.remove(tries.index, tries.index + 1)
                job.waiting.add(tries.index, tries.index + 1)
                self._wakes.add(now + tries.delay, job.number, tries.index)
        out: list[Command] = []
        self._pool.refresh(job)
        self._pool.close_if_finished(job, out)
        if event.cancels and job.number in self._pool.jobs:
            out += self._on_cancel_requested(ev.CancelRequested(job.number, event.cancels), now)
        return out

    def _on_block_arrived(self, event: ev.BlockArrived, now: float) -> list[Command]:
        job = self._pool.jobs.get(event.job)
        if job is None:
            return []
        block = event.block
        if block.first != job.count or job.sealed_at is not None:
            return self._reject(job, f"a block begins at task {block.first}, but task {job.count} is due")
        job.blocks.append(block)
        job.count = block.end
        job.queued.add(block.first, block.end)
        self._pool.begin_clocks(job, block.first, block.end, now)
        self._pool.refresh(job)
        return []

    def _on_block_refused(self, event: ev.BlockRefused, now: float) -> list[Command]:
        job = self._pool.jobs.get(event.job)
        if job is None:
            return []
        if event.first != job.count or job.sealed_at is not None:
            return self._reject(job, f"a block begins at task {event.first}, but task {job.count} is due")
        job.count += event.count
        job.done.add(event.first, job.count)
        job.failed += event.count
        kind = pb.Failure.KIND_DATA_LOST if event.lost else pb.Failure.KIND_NO_ROOM
        message = pb.Failure(
            index=event.first, end=job.count, kind=kind, text=event.reason, limit=event.limit, data=event.lost
        )
        return [DeliverFailure(job.number, job.client, message, ())]

    def _on_job_sealed(self, event: ev.JobSealed, now: float) -> list[Command]:
        job = self._pool.jobs.get(event.job)
        if job is None:
            return []
        if event.total != job.count:
            return self._reject(job, f"it was closed at {event.total} tasks, but {job.count} arrived")
        job.sealed_at = event.total
        out: list[Command] = []
        self._pool.close_if_finished(job, out)
        return out

    def _on_results_consumed(self, event: ev.ResultsConsumed, now: float) -> list[Command]:
        job = self._pool.jobs.get(event.job)
        if job is not None:
            job.consumed_bytes = max(job.consumed_bytes, event.total_bytes)
            job.unlimited = job.unlimited or event.unlimited
            self._pool.refresh(job)
        return []

    def _on_watch_requested(self, event: ev.WatchRequested, now: float) -> list[Command]:
        job = self._pool.jobs.get(event.job)
        if job is None:
            return []
        job.watched = True
        if job.dispatched is None:
            # Those that wait for another attempt have been at a worker, too.
            job.dispatched = SpanSet()
            for lo, hi in [*self._pool.leased(job), *job.attempts.counted()]:
                job.dispatched.add(lo, hi)
        return [DeliverDispatched(job.number, job.client, tuple(job.dispatched))]

    def _on_job_lacks_data(self, event: ev.JobLacksData, now: float) -> list[Command]:
        """What runs goes on; nothing more is handed out, from the workers' deques neither."""
        out: list[Command] = []
        job = self._pool.jobs.get(event.job)
        if job is not None:
            job.lacks_data = event.lacks
            self._pool.requeue(job, self._pool.unstage(job, [(0, job.count)]), out)
        return out

    def _on_client_lagging(self, event: ev.ClientLagging, now: float) -> list[Command]:
        """What runs goes on, and is bounded; nothing more is handed out, from the workers' deques neither."""
        out: list[Command] = []
        jobs = [job for job in self._pool.jobs.values() if job.client == event.client]
        if event.lags:
            self._pool.lagging.add(event.client)
        else:
            self._pool.lagging.discard(event.client)
        for job in jobs:
            self._pool.requeue(job, self._pool.unstage(job, [(0, job.count)]), out)
        return out

    def _on_client_left(self, event: ev.ClientLeft, now: float) -> list[Command]:
        out: list[Command] = []
        self._pool.lagging.discard(event.client)
        for job in [job for job in self._pool.jobs.values() if job.client == event.client]:
            self._pool.drop(job, out)
        return out

    def _on_cancel_requested(self, event: ev.CancelRequested, now: float) -> list[Command]:
        job = self._pool.jobs.get(event.job)
        if job is None:
            return []
        out: list[Command] = []
        if event.spans is None:
            self._pool.drop(job, out)
            out.append(CloseJob(job.number, job.client))
            return out
        gone, held = SpanSet(), SpanSet()
        for lo, hi in event.spans:
            for a, b in job.done.missing(lo, min(hi, job.count)):
                for place in (job.queued, job.waiting):
                    for c, d in place.overlap(a, b):
                        gone.add(c, d)
                        place.remove(c, d)
                for c, d in self._pool.unstage(job, [(a, b)]):
                    gone.add(c, d)
                for c, d in gone.missing(a, b):
                    job.cancelling.add(c, d)
                    held.add(c, d)
        if held:
            self._pool.revoke_all(job, list(held), out, stop=not event.spare_running)
        self._pool.cancel_now(job, list(gone), out)
        self._pool.refresh(job)
        return out

    def _reject(self, job: Job, sentence: str) -> list[Command]:
        out: list[Command] = []
        self._pool.drop(job, out)
        out.append(RejectJob(job.number, job.client, sentence))
        return out

    # ------------------------------------------------------------ outcomes

    def _on_run_succeeded(self, event: ev.RunSucceeded, now: float) -> list[Command]:
        lo, hi = event.first, event.first + event.count
        job = self._pool.jobs.get(event.job)
        message = event.message
        stale: list[Command] = [DropResults(event.worker, message)] if message.stored else []
        if job is not None and hi > job.count:
            self.stale += event.count
            return stale
        size = len(message.payload)
        fenced = self._reported(event.worker, event.lease, event.job, lo, hi, event.seconds, now, size)
        if job is None:
            self.stale += event.count
            return stale
        parts = job.done.missing(lo, hi)
        new = sum(b - a for a, b in parts)
        self.stale += event.count - new
        if not parts:
            self._pool.refresh(job)
            return stale
        if fenced != event.count or job.doubled:
            self._pool.withdraw(job, parts)
        blocks = tuple([block for a, b in parts for block, _, _ in job.blocks.pieces(a, b)]) if message.stored else ()
        gone: list[int] = []
        for a, b in parts:
            gone += job.finish(a, b)
        job.succeeded += new
        job.delivered_bytes += size if new == event.count else sum(results_size(message, a, b) for a, b in parts)
        spans = tuple(parts)
        out: list[Command] = [
            DeliverRun(event.worker, job.number, job.client, message, spans, tuple(gone), job.options, blocks)
        ]
        self._pool.refresh(job)
        self._pool.close_if_finished(job, out)
        if job.doubled:
            self._pool.stop_copies(job, parts, out)
        return out

    def _on_task_failed(self, event: ev.TaskFailed, now: float) -> list[Command]:
        out: list[Command] = []
        job = self._open_task(event, event.message.attempt, event.seconds, now, out)
        if job is None:
            return out
        index, message, retry = event.index, event.message, job.options.retry
        delay = None
        if retry.retries and _is_retryable(message, retry):
            job.failure_counts.bump(index, index + 1)
            delay = retry_delay(retry, job.failure_counts.of(index), self._rng)
        if delay is None or index in job.cancelling:
            return self._fail(job, message)
        job.attempts.bump(index, index + 1)
        job.waiting.add(index, index + 1)
        self._wakes.add(now + delay, job.number, index)
        self._pool.refresh(job)
        out.append(_tries(job, index, delay))
        self._pool.stop_copies(job, [(index, index + 1)], out)
        return out

    def _on_task_crashed(self, event: ev.TaskCrashed, now: float) -> list[Command]:
        out: list[Command] = []
        job = self._open_task(event, event.attempt, 0.0, now, out)
        if job is None:
            return out
        out += self._charge(job, event.index, event.report)
        if job.number in self._pool.jobs:
            self._pool.requeue(job, [(event.index, event.index + 1)], out)
        return out

    def _open_task(
        self, event: ev.TaskFailed | ev.TaskCrashed, attempt: int, seconds: float, now: float, out: list[Command]
    ) -> Job | None:
        """Take one task off its lease; its job, or None if what happened is of no account any more."""
        index = event.index
        fenced = self._reported(event.worker, event.lease, event.job, index, index + 1, seconds, now)
        job = self._pool.jobs.get(event.job)
        if job is None:
            self.stale += 1
            return None
        counts = index not in job.done
        if counts and not fenced:
            # The lease was lost. If the task was queued again since, that attempt decides, unless this one is the
            # same: nobody was charged, as the master was restarted, or with one that had hardly begun.
            counts = (
                attempt == job.attempts.of(index)
                and not (job.doubled and self._pool.is_leased(job, index))
                and self._pool.withdraw(job, [(index, index + 1)])
            )
        elif counts and job.doubled and job.options.speculate and attempt != job.attempts.of(index):
            # Its other copy has failed or crashed before it: that was charged, and once is enough.
            counts = False
            self._pool.requeue(job, [(index, index + 1)], out)
        elif job.doubled:
            self._pool.withdraw(job, [(index, index + 1)])
        if not counts:
            self.stale += 1
            self._pool.refresh(job)
            return None
        return job

    def _fail(self, job: Job, message: pb.Failure) -> list[Command]:
        gone = job.finish(message.index, message.index + 1)
        job.failed += 1
        out: list[Command] = [DeliverFailure(job.number, job.client, message, tuple(gone))]
        self._pool.refresh(job)
        self._pool.close_if_finished(job, out)
        self._pool.stop_copies(job, [(message.index, message.index + 1)], out)
        return out

    def _reported(
        self, worker_number: int, lease_number: int, job: int, lo: int, hi: int, seconds: float, now: float,
        result_bytes: int = 0,
    ) -> int:  # fmt: skip
        """Take [lo, hi) off the lease, learn what they took; return how many were open under that lease."""
        worker = self._pool.workers.get(worker_number)
        if worker is None:
            return 0
        worker.progress_at = now
        if worker.leased > worker.slots:
            worker.crowded_at = now
        self._planner.touch(worker)
        lease = worker.leases.get(lease_number)
        if lease is None or lease.job.number != job:
            return 0
        self._pool.fair.in_service(lease.tag)
        if result_bytes:
            lease.profile.observe_results(hi - lo, result_bytes)
        if seconds:
            lease.profile.observe(hi - lo, seconds)
            if lease.job.averages is not None:
                lease.job.averages.observe(lease.profile, hi - lo, seconds)
        return worker.report(lease, lo, hi)

    def check_invariants(self) -> None:
        """Assert that every index agrees with every other. For tests."""
        self._pool.check_invariants()
        self._planner.check_invariants()


def _tries(job: Job, index: int, delay: float) -> KeepTries:
    attempts, failures = job.attempts.of(index), job.failure_counts.of(index)
    return KeepTries(job.number, index, attempts, failures, tuple(job.crash_reports.get(index, ())), delay)


def _is_retryable(message: pb.Failure, retry: ev.RetryOptions) -> bool:
    if message.kind == pb.Failure.KIND_TIMED_OUT:
        return retry.on_timeout
    if message.kind == pb.Failure.KIND_MEMORY_EXCEEDED:
        return retry.on_memory
    return message.kind == pb.Failure.KIND_EXCEPTION and message.retryable
