"""The pool: all jobs, all workers, and the moves of tasks between their places that keep every index true."""

from __future__ import annotations

from collections.abc import Iterable

from manyhands.master.commands import (
    CloseJob,
    Command,
    DeliverCancelled,
    DeliverDispatched,
    DeliverFailure,
    KeepDispatched,
    Revoke,
)
from manyhands.master.events import JobOptions
from manyhands.master.expiry import Expiries, Limit
from manyhands.master.jobs import Job
from manyhands.master.profiles import Profile, Profiles
from manyhands.master.queues import FairQueue
from manyhands.master.saved_states import StateRoom
from manyhands.master.tuning import SchedulerConfig
from manyhands.master.workers import Lease, Worker
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.blocks import Block, measured_as
from manyhands.wire.spans import Span, SpanSet


class Pool:
    """What the scheduler's event handlers and its planner share. Methods append commands to `out`."""

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        self.jobs: dict[int, Job] = {}
        self.workers: dict[int, Worker] = {}
        self.slots = 0
        self.fair = FairQueue()
        #: Jobs that have become ready since the planner last looked.
        self.came_ready: list[Job] = []
        #: Those whose slow tasks may be run twice.
        self.speculative: dict[int, Job] = {}
        #: Clients that do not read: nothing more of theirs is handed out.
        self.lagging: set[int] = set()
        self.expiries = Expiries()
        self._state_room = StateRoom(config.state_bytes)
        self._profiles = Profiles()
        self._ready_jobs: dict[int, int] = {}  # of each client: shares are the clients', not the jobs'
        self._revoke = 0

    def add_job(self, number: int, client: int, options: JobOptions) -> Job:
        job = self.jobs[number] = Job(number, client, options, self._state_room)
        if options.speculate:
            self.speculative[number] = job
        return job

    # ------------------------------------------------------------ places

    def requeue(self, job: Job, spans: list[Span], out: list[Command]) -> None:
        """These tasks are nobody's now: queue those that are open, end those that are being cancelled."""
        if job.number not in self.jobs:
            return
        if job.doubled:
            spans = [part for lo, hi in spans for part in job.waiting.missing(lo, hi)]
            self.unstage(job, spans)
            # Another copy that still runs may come to something.
            elsewhere = SpanSet(self.leased(job))
            spans = [part for lo, hi in spans for part in elsewhere.missing(lo, hi)]
        cancelled: list[Span] = []
        for lo, hi in spans:
            for a, b in job.done.missing(lo, hi):
                if job.cancelling:
                    cancelled += job.cancelling.overlap(a, b)
                    for c, d in job.cancelling.missing(a, b):
                        job.queued.add(c, d)
                else:
                    job.queued.add(a, b)
        self.cancel_now(job, cancelled, out)
        self.refresh(job)

    def begin_clocks(self, job: Job, lo: int, hi: int, now: float) -> None:
        """Tasks [lo, hi) have arrived: from now on they wait."""
        options = job.options
        if options.total_timeout:
            self.expiries.add(job.number, "total_timeout", options.total_timeout, lo, hi, now)
        if options.queue_timeout:
            self.expiries.add(job.number, "queue_timeout", options.queue_timeout, lo, hi, now)

    def expire(self, job: Job, limit: Limit, lo: int, hi: int, out: list[Command]) -> None:
        """The time of these tasks is up, as far as they are open, or have not even started."""
        late = job.done.missing(lo, hi)
        if limit == "queue_timeout":
            assert job.dispatched is not None
            late = [part for a, b in late for part in job.dispatched.missing(a, b)]
        if not late:
            return
        timeout = job.options.total_timeout if limit == "total_timeout" else job.options.queue_timeout
        self.withdraw(job, late)
        for a, b in late:
            gone = job.finish(a, b)
            job.failed += b - a
            message = pb.Failure(index=a, end=b, kind=pb.Failure.KIND_TIMED_OUT, limit=limit, timeout=timeout)
            out.append(DeliverFailure(job.number, job.client, message, tuple(gone)))
        self.refresh(job)
        self.close_if_finished(job, out)
        if job.number in self.jobs:
            self.revoke_all(job, late, out, stop=True)

    def cancel_now(self, job: Job, spans: list[Span], out: list[Command]) -> None:
        """These open tasks are in no place any more: their outcome is cancelled."""
        if not spans:
            return
        gone: list[int] = []
        for lo, hi in spans:
            job.cancelled += hi - lo
            gone += job.finish(lo, hi)
        out.append(DeliverCancelled(job.number, job.client, tuple(spans), tuple(gone)))
        self.close_if_finished(job, out)

    def withdraw(self, job: Job, spans: list[Span]) -> bool:
        """Tasks that were about to run (again) need not: a late result has come. Whether any were."""
        count = sum(job.queued.remove(lo, hi) + job.waiting.remove(lo, hi) for lo, hi in spans)
        return bool(self.unstage(job, spans)) or count > 0

    def unstage(self, job: Job, spans: list[Span]) -> list[Span]:
        if not job.staged:
            return []
        return [part for worker in self.workers.values() for part in worker.withdraw(job, spans)]

    def drop(self, job: Job, out: list[Command]) -> None:
        """Forget a job, wherever its tasks are; what still runs is of no use to anybody."""
        self.unstage(job, [(0, job.count)])
        del self.jobs[job.number]
        self.speculative.pop(job.number, None)
        self.expiries.forget(job.number)
        job.queued.clear()
        job.waiting.clear()
        job.states.clear()
        self.refresh(job)
        self.revoke_all(job, [(0, job.count)], out, stop=True)

    def close_if_finished(self, job: Job, out: list[Command]) -> None:
        if job.is_finished and job.number in self.jobs:
            self.drop(job, out)
            out.append(CloseJob(job.number, job.client))

    def ask_back(
        self, worker: Worker, lease: Lease, spans: list[Span], out: list[Command], *, stop: bool = False
    ) -> None:
        if not spans:
            return
        self._revoke += 1
        worker.revokes[self._revoke] = lease.number
        out.append(Revoke(worker.number, self._revoke, lease.number, lease.job.number, tuple(spans), stop))

    def ask_back_unknown(self, worker: Worker, lease: int, job: int, spans: list[Span], out: list[Command]) -> None:
        """The same for work that is under no lease here, and wanted by nobody: what runs of it is to end, too."""
        if spans:
            self._revoke += 1
            worker.revokes[self._revoke] = lease
            out.append(Revoke(worker.number, self._revoke, lease, job, tuple(spans), stop=True))

    def revoke_all(self, job: Job, spans: list[Span], out: list[Command], *, stop: bool) -> None:
        """Ask every worker for what it has not started of these tasks; with `stop` to end the others."""
        for worker in self.workers.values():
            if worker.leased_of(job):
                for lease in worker.leases.values():
                    if lease.job is job:
                        asked = [part for lo, hi in spans for part in lease.open.overlap(lo, hi)]
                        self.ask_back(worker, lease, asked, out, stop=stop)

    def stop_copies(self, job: Job, spans: Iterable[Span], out: list[Command]) -> None:
        """One copy of each of these tasks has come to something: the other, if there is one, is to end."""
        twice = [part for lo, hi in spans for part in job.copied.overlap(lo, hi)]
        for lo, hi in twice:
            job.copied.remove(lo, hi)
        if twice and job.number in self.jobs:
            self.revoke_all(job, twice, out, stop=True)

    def note_dispatched(self, job: Job, spans: Iterable[Span], out: list[Command]) -> None:
        """Workers have these tasks now: remember it, and tell it, if anybody wants to know."""
        if job.dispatched is not None:
            if job.options.queue_timeout:
                fresh = tuple(part for lo, hi in spans for part in job.dispatched.missing(lo, hi))
                if fresh:
                    out.append(KeepDispatched(job.number, fresh))
            for lo, hi in spans:
                job.dispatched.add(lo, hi)
            if job.watched:
                out.append(DeliverDispatched(job.number, job.client, tuple(spans)))

    def leased(self, job: Job) -> list[Span]:
        """What workers hold of a job and have not reported."""
        return [
            span
            for worker in self.workers.values()
            if worker.leased_of(job)
            for lease in worker.leases.values()
            if lease.job is job
            for span in lease.open
        ]

    def is_leased(self, job: Job, index: int) -> bool:
        """Whether a worker holds the task."""
        return any(lo <= index < hi for lo, hi in self.leased(job))

    # ------------------------------------------------------------ readiness

    def refresh(self, job: Job) -> None:
        """Put the job into the fair queue, or take it out, after anything that may change its readiness."""
        ready = bool(job.queued) and self.startable(job) > 0
        if ready == (job in self.fair):
            return
        if ready:
            self.fair.add(job)
            self.came_ready.append(job)
            self._ready_jobs[job.client] = self._ready_jobs.get(job.client, 0) + 1
        else:
            self.fair.discard(job)
            self._ready_jobs[job.client] -= 1
            if not self._ready_jobs[job.client]:
                del self._ready_jobs[job.client]

    def startable(self, job: Job) -> int:
        """How many of the job's tasks may be handed out now, by its own limits; it has some queued."""
        if job.lacks_data or job.client in self.lagging:
            return 0
        limit = job.queued.count
        if job.options.max_parallel:
            limit = min(limit, job.options.max_parallel - job.leased - job.staged)
        if not job.unlimited:
            handed = job.leased + job.staged
            expected = handed * job.delivered_bytes // max(1, job.succeeded)
            if job.delivered_bytes - job.consumed_bytes + expected >= self.config.credit_bytes:
                # What an ordered reader waits for must run, or it would never read.
                limit = min(limit, 1 if job.queued.first == job.first_open else 0)
        return limit

    def profile(self, job: Job) -> Profile:
        """The duration profile of the job's next task; it has some queued."""
        return self.profile_of(job, job.blocks.at(job.queued.first))

    def profile_of(self, job: Job, block: Block) -> Profile:
        """The duration profile of a block's tasks."""
        # Callables that travel as data have no name to learn by; their job stands for them.
        return self._profiles.get(measured_as(block.function, block.call) or b"job %d" % job.number)

    def cost_factor(self, job: Job) -> int:
        """What the job's work costs it beside its duration: clients share equally, and their jobs within that."""
        return self._ready_jobs.get(job.client, 1)

    def check_invariants(self) -> None:
        """Assert that every index agrees with every other. For tests."""
        for number, job in self.jobs.items():
            assert number == job.number
            staged = [
                span
                for worker in self.workers.values()
                for part in worker.deque
                if part.job is job
                for span in part.spans
            ]
            job.check_invariants(staged, self.leased(job))
            assert (job in self.fair) == (bool(job.queued) and self.startable(job) > 0)
            assert not job.is_finished
        assert self._state_room.used_bytes == sum(job.states.size_bytes for job in self.jobs.values())
        assert self.speculative == {number: job for number, job in self.jobs.items() if job.options.speculate}
        for worker in self.workers.values():
            worker.check_invariants()
            assert all(staged.job.number in self.jobs for staged in worker.deque)
        assert self.slots == sum(worker.slots for worker in self.workers.values() if not worker.draining)
        assert not any(worker.staged for worker in self.workers.values() if worker.draining)
        ready: dict[int, int] = {}
        for job in self.jobs.values():
            if job in self.fair:
                ready[job.client] = ready.get(job.client, 0) + 1
        assert ready == self._ready_jobs, (ready, self._ready_jobs)
