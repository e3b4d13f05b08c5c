"""The scheduler under any sequence of events, judged after each by its own invariants and by a model of every task."""

from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.support.builders import hashed, make_block
from tests.unit.master.scheduler_model import Model, ModelJob, ModelLease, ModelTask, item_of, results_of, runs_of

from manyhands.master import events as ev
from manyhands.master.scheduler import Scheduler
from manyhands.master.tuning import SchedulerConfig
from manyhands.protos import manyhands_pb2 as pb

options = st.builds(
    ev.JobOptions,
    priority=st.sampled_from([0, 0, 0, 1, -3]),
    max_parallel=st.sampled_from([0, 0, 1, 3]),
    metered=st.booleans(),
    speculate=st.booleans(),
    memory_bytes=st.sampled_from([0, 1 << 30]),
    context=st.sampled_from([b"", hashed("context")]),
    total_timeout=st.sampled_from([0.0, 0.0, 0.0, 2.0, 40.0]),
    queue_timeout=st.sampled_from([0.0, 0.0, 0.0, 0.05, 3.0]),
    retry=st.builds(
        ev.RetryOptions,
        retries=st.sampled_from([0, 1, 2]),
        delay=st.sampled_from([0.0, 0.02, 1.0]),
        backoff=st.sampled_from([1.0, 2.0]),
        retry_on=st.sampled_from([b"", hashed("errors")]),
        on_timeout=st.booleans(),
        on_memory=st.booleans(),
    ),
)
picks = st.integers(0, 1 << 16)
durations = st.sampled_from([0.0, 0.0001, 0.001, 0.03, 2.0])
plans = st.sampled_from([True, True, False])
lates = st.sampled_from([False, False, False, True])


class SchedulerMachine(RuleBasedStateMachine):
    """A step is one event; `also_plan` says whether the shell planned before the next one came."""

    @initialize(
        seed=st.integers(0, 99),
        lease_bytes=st.sampled_from([1 << 17, 16]),
        credit=st.sampled_from([1 << 20, 8]),
        workers=st.lists(st.integers(1, 4), min_size=1, max_size=3),
        jobs=st.lists(st.tuples(options, st.lists(st.integers(1, 12), max_size=3)), min_size=1, max_size=4),
    )
    def begin(self, seed, lease_bytes, credit, workers, jobs):
        config = SchedulerConfig(
            lease_bytes=lease_bytes, credit_bytes=credit, max_crashes=2, worker_bytes=200, copy_delay=0.01
        )
        self.scheduler = Scheduler(Random(seed), config)
        self.model = Model(config.max_crashes, config.copy_delay)
        self.now = 0.0
        self.planned = True  # nothing has happened since the last plan
        self.numbers = iter(range(1, 1 << 20))
        self.last_success = None
        self.upsets = 0
        for slots in workers:
            self.join(slots, False)
        for place, (options, sizes) in enumerate(jobs):
            self.open_job(place % 2, options)
            for size in sizes:
                self.add_block(-1, size, "f", False)
        self.plan()

    # ------------------------------------------------------------ the shell's part

    def tell(self, event, also_plan=False):
        self.model.story.append(f"{self.now:.3f} {_brief(event)}")
        self.planned = False
        self.model.execute(self.scheduler.handle(event, self.now), self.now)
        self.scheduler.check_invariants()
        if also_plan:
            self.plan()

    def plan(self):
        self.model.story.append(f"{self.now:.3f} plan")
        self.model.execute(self.scheduler.plan(self.now), self.now)
        self.scheduler.check_invariants()
        self.planned = True
        self.check_quiescence()
        self.model.check_times(self.now)

    def check_quiescence(self):
        """After a plan nobody idles while there is something to do."""
        pool = self.scheduler._pool
        # One that drains takes nothing, and gives back what it has by itself.
        workers = [worker for worker in pool.workers.values() if not worker.draining]
        if not any(worker.free_slots for worker in workers):
            return
        assert not pool.fair, "a slot idles while a job waits for one"
        assert not any(worker.staged for worker in workers), "a slot idles while work is set aside"
        if any(worker.unstarted for worker in workers):
            waits = any(worker.revokes for worker in workers)
            assert waits or self.scheduler.next_deadline() is not None, "a slot idles and nobody will look again"

    def pick(self, candidates, number):
        candidates = list(candidates)
        return candidates[number % len(candidates)] if candidates else None

    # ------------------------------------------------------------ clients

    @precondition(lambda self: len(self.model.open_jobs()) < 5)
    @rule(client=st.integers(1, 3), options=options)
    def open_job(self, client, options):
        number = next(self.numbers)
        self.model.jobs[number] = ModelJob(number, client, options)
        self.tell(ev.JobOpened(number, client, options))

    @precondition(lambda self: self.unsealed())
    @rule(which=picks, size=st.integers(1, 12), function=st.sampled_from("fffg"), also_plan=plans)
    def add_block(self, which, size, function, also_plan):
        job = self.pick(self.unsealed(), which)
        first = len(job.tasks)
        block = make_block(first, [item_of(job.number, first + k) for k in range(size)], function)
        job.blocks.append(block)
        job.tasks += [ModelTask(arrived=self.now) for _ in range(size)]
        self.tell(ev.BlockArrived(job.number, block), also_plan)

    @precondition(lambda self: len(self.unsealed()) > 1)
    @rule(which=picks, also_plan=plans)
    def seal(self, which, also_plan):
        job = self.pick(self.unsealed(), which)
        job.sealed = True
        self.tell(ev.JobSealed(job.number, len(job.tasks)), also_plan)
        assert job.closed == job.ended

    @precondition(lambda self: self.model.open_jobs() and self.upsets < 2)
    @rule(which=picks, kind=st.sampled_from(["gap", "again", "seal"]))
    def misbehave(self, which, kind):
        """The client breaks the job's rules: that ends the job, and nothing else."""
        job = self.pick(self.model.open_jobs(), which)
        self.upsets += 1
        count = len(job.tasks)
        if kind == "seal":
            self.tell(ev.JobSealed(job.number, count + 1))
        else:
            self.tell(
                ev.BlockArrived(job.number, make_block(count + (1 << 40) if kind == "gap" else count - 1, [b"x"]))
            )
        assert job.closed

    @precondition(lambda self: any(job.tasks for job in self.model.open_jobs()))
    @rule(which=picks, spans=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=3))
    def cancel_some(self, which, spans):
        job = self.pick((job for job in self.model.open_jobs() if job.tasks), which)
        for lo, hi in spans:
            for task in job.tasks[lo:hi]:
                task.cancelled |= task.outcome is None
        self.tell(ev.CancelRequested(job.number, tuple(spans)))
        held = {index for lease in self.model.leases.values() if lease.job == job.number for index in lease.open}
        for index, task in enumerate(job.tasks):
            assert job.closed or not task.cancelled or task.outcome or index in held, "cancelled, but not ended"

    @precondition(lambda self: self.model.open_jobs() and self.upsets < 2)
    @rule(which=picks)
    def cancel_all(self, which):
        job = self.pick(self.model.open_jobs(), which)
        self.upsets += 1
        for task in job.tasks:
            task.cancelled |= task.outcome is None
        self.tell(ev.CancelRequested(job.number, None))
        assert job.closed

    @precondition(lambda self: self.model.open_jobs() and self.upsets < 2)
    @rule(which=picks)
    def client_leaves(self, which):
        client = self.pick(self.model.open_jobs(), which).client
        self.upsets += 1
        for job in self.model.open_jobs():
            job.closed |= job.client == client
        self.model.lagging.discard(client)
        self.tell(ev.ClientLeft(client))

    @rule(client=st.integers(0, 1))
    def client_lags_or_reads_again(self, client):
        self.model.lagging ^= {client}
        self.tell(ev.ClientLagging(client, client in self.model.lagging))

    @precondition(lambda self: self.model.open_jobs())
    @rule(which=picks)
    def watch(self, which):
        job = self.pick(self.model.open_jobs(), which)
        job.watched = True
        self.tell(ev.WatchRequested(job.number))
        for lease in self.model.outstanding():
            for index in lease.open if lease.job == job.number else ():
                task = job.tasks[index]
                assert task.told or task.outcome or task.cancelled, "it has been dispatched already"
        assert all(task.dispatched or not task.told for task in job.tasks), "it has not been dispatched"

    @precondition(lambda self: any(job.closed for job in self.model.jobs.values()))
    @rule(which=picks, kind=st.sampled_from(["block", "seal", "cancel", "some", "consume", "watch"]))
    def speak_of_a_closed_job(self, which, kind):
        job = self.pick((job for job in self.model.jobs.values() if job.closed), which)
        match kind:
            case "block":
                self.tell(ev.BlockArrived(job.number, make_block(len(job.tasks), [b"x"])))
            case "seal":
                self.tell(ev.JobSealed(job.number, len(job.tasks)))
            case "cancel":
                self.tell(ev.CancelRequested(job.number, None))
            case "some":
                self.tell(ev.CancelRequested(job.number, ((0, 5),)))
            case "watch":
                self.tell(ev.WatchRequested(job.number))
            case "consume":
                self.tell(ev.ResultsConsumed(job.number, 5, True))

    @precondition(lambda self: any(job.delivered_bytes > job.consumed_bytes for job in self.model.open_jobs()))
    @rule(which=picks, all_of_it=st.booleans(), unlimited=st.sampled_from([False, False, False, True]))
    def consume(self, which, all_of_it, unlimited):
        job = self.pick((job for job in self.model.open_jobs() if job.delivered_bytes > job.consumed_bytes), which)
        unread = job.delivered_bytes - job.consumed_bytes
        job.consumed_bytes += unread if all_of_it else unread // 2
        self.tell(ev.ResultsConsumed(job.number, job.consumed_bytes, unlimited))

    # ------------------------------------------------------------ workers

    @precondition(lambda self: len(self.model.workers) < 5)
    @rule(slots=st.integers(1, 4), also_plan=plans)
    def join(self, slots, also_plan):
        number = next(self.numbers)
        self.model.workers[number] = slots
        self.tell(ev.WorkerJoined(number, slots), also_plan)

    @precondition(lambda self: self.model.workers)
    @rule(which=picks, planned=st.booleans(), also_plan=plans)
    def lose(self, which, planned, also_plan):
        worker = self.pick(self.model.workers, which)
        self.model.lose(worker, planned=planned)
        self.tell(ev.WorkerLost(worker, planned))
        self.model.check_charges()
        if also_plan:
            self.plan()

    @precondition(lambda self: self.model.lost)
    @rule(which=picks, slots=st.integers(1, 4), keep=picks, also_plan=plans)
    def come_back(self, which, slots, keep, also_plan):
        """A worker given up as lost joins again, with any part of what it held."""
        worker = self.pick(self.model.lost, which).worker
        self.join(slots, False)
        number = max(self.model.workers)
        held = []
        for lease in [lease for lease in self.model.lost if lease.worker == worker]:
            self.model.take(lease, [i for place, i in enumerate(sorted(lease.open)) if keep >> (place % 16) & 1])
            self.model.come_back(lease, number)
            held.append((lease.number, lease.job, tuple(runs_of(lease.open))))
        self.tell(ev.LeasesHeld(number, tuple(held)), also_plan)

    @precondition(lambda self: self.model.workers)
    @rule(which=picks, ask=st.booleans(), also_plan=plans)
    def drain(self, which, ask, also_plan):
        worker = self.pick(self.model.workers, which)
        self.model.draining.add(worker)
        self.tell(ev.WorkerDraining(worker, ask), also_plan)
        assert self.scheduler.slots == sum(
            slots for worker, slots in self.model.workers.items() if worker not in self.model.draining
        )

    @precondition(lambda self: self.model.outstanding())
    @rule(which=picks, where=picks, length=st.integers(1, 12), seconds=durations, also_plan=plans)
    def succeed(self, which, where, length, seconds, also_plan):
        self.report_success(self.pick(self.model.outstanding(), which), where, length, seconds, also_plan)

    @precondition(lambda self: self.model.outstanding())
    @rule(which=picks, seconds=durations, also_plan=plans)
    def worker_finishes_all(self, which, seconds, also_plan):
        worker = self.pick(self.model.outstanding(), which).worker
        for lease in self.model.outstanding():
            while lease.worker == worker and lease.open:
                self.report_success(lease, 0, 100, seconds, False)
        if also_plan:
            self.plan()

    @precondition(lambda self: self.speculative())
    @rule(which=picks, where=picks, seconds=durations)
    def all_but_one_succeed(self, which, where, seconds):
        """The end of a job that waits for one task, which may get a second copy."""
        lease = self.pick(self.speculative(), which)
        job = self.model.jobs[lease.job]
        last = self.pick(sorted(lease.open), where)
        for _ in range(3 + len(job.tasks)):
            self.plan()
            for lease in [lease for lease in self.model.outstanding() if lease.job == job.number]:
                for lo, hi in runs_of(lease.open - {last}):
                    self.model.take(lease, range(lo, hi))
                    self.tell(results_of(lease, lo, hi, seconds * (hi - lo)))
        self.now += 4.0
        self.plan()

    def speculative(self) -> list[ModelLease]:
        jobs = {job.number for job in self.model.open_jobs() if job.options.speculate}
        return [lease for lease in self.model.outstanding() if lease.job in jobs]

    def report_success(self, lease, where, length, seconds, also_plan):
        lo, hi = self.pick(runs_of(lease.open), where)
        hi = min(hi, lo + length)
        self.model.take(lease, range(lo, hi))
        self.last_success = results_of(lease, lo, hi, seconds)
        self.tell(self.last_success, also_plan)
        self.has_ended(lease.job, lo, hi)

    def has_ended(self, job, lo, hi):
        job = self.model.jobs[job]
        assert job.closed or all(task.outcome for task in job.tasks[lo:hi])

    @precondition(lambda self: self.last_success is not None)
    @rule()
    def succeed_again(self):
        """The same report comes a second time."""
        self.tell(self.last_success)

    @precondition(lambda self: any(lease.open for lease in self.model.lost))
    @rule(which=picks, where=picks, length=st.integers(1, 12))
    def succeed_late(self, which, where, length):
        """From a worker given up as lost: welcome if the task is still open."""
        self.report_success(self.pick_lease(which, late=True), where, length, 0.001, False)

    @precondition(lambda self: any(self.model.jobs[lease.job].tasks for lease in self.model.leases.values()))
    @rule(which=picks, where=picks, length=st.integers(1, 12))
    def succeed_unleased(self, which, where, length):
        """A result under a lease that never had that task: it counts as well."""
        lease = self.pick(self.model.leases.values(), which)
        job = self.model.jobs[lease.job]
        lo = where % len(job.tasks)
        hi = min(len(job.tasks), lo + length)
        self.model.take(lease, range(lo, hi))
        self.tell(results_of(lease, lo, hi, 0.001))
        self.has_ended(lease.job, lo, hi)

    @precondition(lambda self: self.any_lease())
    @rule(
        which=picks, where=picks, retryable=st.sampled_from([True, False, "slow", "large"]), late=lates, also_plan=plans
    )
    def fail(self, which, where, retryable, late, also_plan):
        """`retryable` slow, large: it ran too long, or used too much memory."""
        lease = self.pick_lease(which, late)
        index = self.pick(sorted(lease.open), where)
        retry = self.model.jobs[lease.job].options.retry
        if retryable == "slow":
            retryable = retry.on_timeout
            message = pb.Failure(index=index, kind=pb.Failure.KIND_TIMED_OUT)
        elif retryable == "large":
            retryable = retry.on_memory
            message = pb.Failure(index=index, kind=pb.Failure.KIND_MEMORY_EXCEEDED)
        else:
            message = pb.Failure(index=index, kind=pb.Failure.KIND_EXCEPTION, retryable=retryable)
        message.attempt = lease.attempts[index]
        self.model.fails(lease, index, retryable=retryable, now=self.now)
        self.tell(ev.TaskFailed(lease.worker, lease.job, lease.number, index, 0.001, message), also_plan)

    @precondition(lambda self: self.any_lease())
    @rule(which=picks, where=picks, late=lates, also_plan=plans)
    def crash(self, which, where, late, also_plan):
        lease = self.pick_lease(which, late)
        index = self.pick(sorted(lease.open), where)
        self.model.crashes(lease, index)
        report = pb.CrashReport(worker="w", exit_code=-9)
        attempt = lease.attempts[index]
        self.tell(ev.TaskCrashed(lease.worker, lease.job, lease.number, index, attempt, report), also_plan)

    @precondition(lambda self: self.any_lease())
    @rule(which=picks, where=picks, late=lates)
    def save(self, which, where, late):
        lease = self.pick_lease(which, late)
        index = self.pick(sorted(lease.open), where)
        task = self.model.jobs[lease.job].tasks[index]
        attempt, before = lease.attempts[index], task.state
        state = b"%d by %d" % (attempt, lease.number)
        self.tell(ev.StateSaved(lease.worker, lease.job, lease.number, index, attempt, state))
        counts = not self.model.jobs[lease.job].closed and task.outcome is None and attempt >= task.saved_by
        assert task.state == (state if counts else before)
        task.saved_by = attempt if counts else task.saved_by

    @precondition(lambda self: self.model.revokes)
    @rule(which=picks, keep=picks, also_plan=plans)
    def answer_revoke(self, which, keep, also_plan):
        """The victim gives back what it has not started: any part of what was asked and is not reported."""
        revoke = self.pick(self.model.revokes.values(), which)
        del self.model.revokes[revoke.revoke]
        lease = self.model.leases[revoke.lease]
        asked = [i for lo, hi in revoke.spans for i in range(lo, hi) if i in lease.open]
        given = [index for position, index in enumerate(asked) if keep >> (position % 16) & 1]
        self.model.take(lease, given)
        spans = tuple(runs_of(given))
        self.tell(ev.SpansReturned(lease.worker, revoke.revoke, lease.number, spans), also_plan)

    @precondition(lambda self: self.model.outstanding())
    @rule(which=picks, keep=picks)
    def give_back_unasked(self, which, keep):
        lease = self.pick(self.model.outstanding(), which)
        given = [i for position, i in enumerate(sorted(lease.open)) if keep >> (position % 16) & 1]
        self.model.take(lease, given)
        self.tell(ev.SpansReturned(lease.worker, 0, lease.number, tuple(runs_of(given))))

    # ------------------------------------------------------------ what there is to choose from

    def unsealed(self) -> list[ModelJob]:
        return [job for job in self.model.open_jobs() if not job.sealed]

    def any_lease(self) -> bool:
        return bool(self.model.outstanding()) or any(lease.open for lease in self.model.lost)

    def pick_lease(self, which, late) -> ModelLease:
        now, before = self.model.outstanding(), [lease for lease in self.model.lost if lease.open]
        return self.pick((before or now) if late else (now or before), which)

    # ------------------------------------------------------------ time

    @rule(seconds=st.sampled_from([0.0001, 0.005, 0.05, 1.0, 30.0]))
    def time_passes(self, seconds):
        self.now += seconds

    @precondition(lambda self: not self.planned)
    @rule()
    def shell_plans(self):
        self.plan()

    @precondition(lambda self: self.scheduler.next_deadline() is not None)
    @rule()
    def deadline_comes(self):
        self.now = max(self.now, self.scheduler.next_deadline())
        self.plan()

    @precondition(lambda self: hasattr(self, "scheduler"))
    @invariant()
    def byte_counts_agree(self):
        for job in self.scheduler.jobs:
            assert job.delivered_bytes == self.model.jobs[job.number].delivered_bytes

    # ------------------------------------------------------------ the end

    def teardown(self):
        if hasattr(self, "scheduler"):
            try:
                self.finish()
            except BaseException:
                print("\n".join(self.model.story[-60:]))
                raise

    def finish(self):
        """When workers answer everything and clients read, every accepted task gets its outcome."""
        for client in list(self.model.lagging):
            self.client_lags_or_reads_again(client)
        if not self.model.workers.keys() - self.model.draining:
            self.join(2, False)
        for job in list(self.model.open_jobs()):
            if not job.sealed:
                job.sealed = True
                self.tell(ev.JobSealed(job.number, len(job.tasks)))
        tasks = sum(len(job.tasks) for job in self.model.jobs.values())
        for _ in range(20 + 8 * tasks):
            self.plan()
            if not self.model.open_jobs() and not self.model.outstanding() and not self.model.revokes:
                break
            while self.model.revokes:
                self.answer_revoke(0, 0xFFFF, False)
            for lease in self.model.outstanding():
                self.now += 0.001
                self.report_success(lease, 0, 3, 0.001, False)
            for job in self.model.open_jobs():
                if job.options.metered:
                    job.consumed_bytes = job.delivered_bytes
                    self.tell(ev.ResultsConsumed(job.number, job.consumed_bytes, False))
            due = self.scheduler.next_deadline()
            if due is not None and not self.model.outstanding():
                self.now = max(self.now, due)
        assert not self.model.open_jobs(), "work is left and nothing happens any more"
        for job in self.model.jobs.values():
            assert job.closed
        assert not list(self.scheduler.jobs), "the scheduler holds a job at rest"
        for worker in self.scheduler.workers.values():
            assert worker.free_slots == worker.slots, "a slot is not free at rest"
            assert not worker.leases
            assert not worker.deque
            assert not worker.revokes


def _brief(event):
    text = repr(event)
    return text if len(text) < 200 else text[:200] + "..."


TestScheduler = SchedulerMachine.TestCase
TestScheduler.settings = settings(max_examples=150, stateful_step_count=50, report_multiple_bugs=False)
