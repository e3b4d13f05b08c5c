"""What outlives the master: all that it had acknowledged when it was killed, and nothing that never was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tests.simulation.ledger import Ledger
from tests.simulation.records import JobEntry, TaskRecord
from tests.simulation.scenario import JobPlan
from tests.simulation.story import Story, Violation

from manyhands.master import events as ev
from manyhands.master.journal_schema import Kept
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.spans import Span, SpanSet


@dataclass(slots=True)
class JobPromise:
    """What a client has been told of its job: the first `count` tasks are the master's; these are to be cancelled; all
    of it was cancelled. `told`: outcomes it has.
    """

    count: int = 0
    sealed: bool = False
    cancels: list[Span] = field(default_factory=list)
    cancelled: bool = False
    told: Iterable[int] = ()


@dataclass(slots=True)
class Promises:
    """By client and its number for the job, of what has been acknowledged at all; and what workers that live have not
    had acknowledged, as (lease, task).
    """

    jobs: dict[tuple[str, int], JobPromise]
    unacknowledged: dict[str, set[tuple[int, int]]]


class Survival:
    """`plans`: see World. Between `master_begins` and `master_lives` it is told of each job that is `recovered`."""

    def __init__(self, story: Story, ledger: Ledger, plans: Mapping[int, tuple[str, int, JobPlan]]) -> None:
        self._story = story
        self._ledger = ledger
        self._plans = plans
        self._promises = Promises({}, {})
        #: What is to be cancelled of them once it is known what runs.
        self._spared: dict[int, SpanSet] = {}
        #: What is done of them.
        self._recovered: dict[int, SpanSet] = {}
        #: Messages of each job that wait for a definition: acknowledged, and not taken in.
        self._inbox: dict[int, list[pb.Body]] = {}

    def _promise(self, job: int) -> JobPromise | None:
        client, number, _ = self._plans[job]
        return self._promises.jobs.get((client, number))

    def master_forgot(self) -> None:
        """It has no journal: everything ends with it."""
        for job in self._ledger.jobs.values():
            job.closed = job.cancelled = True

    def master_begins(self, kept: Kept, promises: Promises) -> None:
        """Another life of it has read what was `kept`, and will take it over; before anybody connects."""
        self._promises = promises
        for worker, reports in promises.unacknowledged.items():
            self._ledger.unheard.setdefault(worker, set()).update(reports)
        self._recovered = {}
        self._inbox = {}
        self._spared = {job.job: job.marks["cancel unless running"] for job in kept.jobs}
        for number, _, body in kept.inbox:
            self._inbox.setdefault(number, []).append(body)
            job = self._ledger.jobs.get(number)
            if job is not None and body.HasField("open_job"):
                job.count = 0
                job.closed = job.cancelled = job.reopens = True

    # ------------------------------------------------------------ jobs

    def recovered(self, event: ev.JobRecovered, now: float) -> None:
        """The new life of the master takes a job over: bring the ledger to the state that was durable, if it may be."""
        self._story.tell("recovered, done: %s", event.done, job=event.job)
        self._ledger.life_began = now
        job = self._ledger.jobs.get(event.job)
        if job is None or event.job in self._recovered:
            raise Violation(f"job {event.job} was recovered, which nobody opened", event.job)
        self._recovered[event.job] = SpanSet(event.done)
        count = max([block.end for block in event.blocks] + [hi for _, hi in event.done], default=0)
        if count > len(job.tasks) or event.sealed_at not in (None, count):
            raise Violation(
                f"{count} tasks were recovered, of {len(job.tasks)}, sealed at {event.sealed_at}", event.job
            )
        promise = self._promise(event.job) or JobPromise()
        for body in self._inbox.get(event.job, ()):
            match body.WhichOneof("kind"):
                case "block":
                    promise.count = min(promise.count, body.block.first)
                case "seal_job":
                    promise.sealed = False
                case "cancel":
                    promise.cancels = []
        if promise.cancelled:
            raise Violation("cancelled, and recovered", event.job)
        if promise.count > count:
            raise Violation(f"{promise.count} tasks were acknowledged, {count} recovered", event.job, count)
        if promise.sealed and event.sealed_at is None:
            raise Violation("its end was acknowledged, and is forgotten", event.job)
        job.client, job.count, job.sealed = event.client, count, event.sealed_at is not None
        job.closed = job.cancelled = False
        self._tasks(job, event, promise, now)

    def _tasks(self, job: JobEntry, event: ev.JobRecovered, promise: JobPromise, now: float) -> None:
        done, cancels, promised = self._recovered[event.job], SpanSet(event.cancels), SpanSet(promise.cancels)
        dispatched = SpanSet(event.dispatched)
        tries = {each.index: each for each in event.tries}
        counts = dict.fromkeys(("succeeded", "failed", "cancelled"), 0)
        for index, task in enumerate(job.tasks[: job.count]):
            kept = tries.get(index)
            if index in done:
                if task.outcome is None:
                    raise Violation("recovered as done, which it never was", job.number, index)
                counts[task.outcome] += 1
                continue
            failures = kept.failures if kept is not None else 0
            losses = sum(report.worker_lost for report in kept.crashes) if kept is not None else 0
            crashes = len(kept.crashes) - losses if kept is not None else 0
            if failures > task.failures or crashes > task.crashes or losses > task.losses:
                raise Violation(f"recovered with {failures} failures, {crashes} crashes", job.number, index)
            if task.outcome in ("succeeded", "failed") or (failures, crashes) != (task.failures, task.crashes):
                self._check_rollback(job, index, task)
            if index in promised and index not in cancels and index not in self._spared.get(event.job, ()):
                raise Violation("its cancel was acknowledged, and is forgotten", job.number, index)
            if task.outcome is not None:
                self._story.tell("%s was not durable", task.outcome, job=job.number, spans=[(index, index + 1)])
            task.begin_anew()
            task.cancel_asked = index in cancels
            task.was_dispatched = index in dispatched or kept is not None
            task.failures, task.crashes, task.losses = failures, crashes, losses
            if kept is not None:
                task.attempts = kept.attempts
                task.due = now + kept.delay
        if counts != {"succeeded": event.succeeded, "failed": event.failed, "cancelled": event.cancelled}:
            raise Violation(f"recovered counters are wrong, they should be {counts}: {event}", job.number)

    def _check_rollback(self, job: JobEntry, index: int, task: TaskRecord) -> None:
        worker, lease = task.reported_by
        unacknowledged = self._promises.unacknowledged.get(worker)
        if task.refused or unacknowledged is None:
            return  # it is not to be had any more
        if (lease, index) not in unacknowledged:
            raise Violation(f"what {worker} reported was acknowledged, and is forgotten", job.number, index)

    # ------------------------------------------------------------ all of it

    def master_lives(self, kept: Kept) -> None:
        """All jobs have been recovered from what was `kept`."""
        for number, job in self._ledger.jobs.items():
            promise = self._promise(number)
            if number in self._recovered or number in self._inbox:
                continue
            if promise is not None and not promise.cancelled:
                if job.closed:
                    continue
                raise Violation("acknowledged, and not recovered", number, 0)
            job.closed = job.cancelled = True  # it is as if it had never been, or nobody is there to ask
        outcomes = {job.job: kept_outcomes(job.outcomes.values()) for job in kept.jobs}
        for number, job in self._ledger.jobs.items():
            promise = self._promise(number)
            if promise is None or job.cancelled or promise.cancelled:
                continue
            kept_here = outcomes.get(number, ())
            for index, task in enumerate(job.tasks[: job.count]):
                was_done = index in self._recovered[number] if number in self._recovered else task.outcome is not None
                if was_done and index not in promise.told and index not in kept_here:
                    raise Violation(f"has {task.outcome}, and nobody will tell its client", number, index)


def kept_outcomes(bodies: Iterable[pb.Body | None]) -> SpanSet:
    """Of which tasks these tell."""
    told = SpanSet()
    for body in bodies:
        match body.WhichOneof("kind") if body is not None else None:
            case "results":
                told.add(body.results.first, body.results.first + len(body.results.ends) // 4)
            case "failure":
                told.add(body.failure.index, body.failure.end or body.failure.index + 1)
            case "cancelled":
                for span in body.cancelled.ranges:
                    told.add(span.lo, span.hi)
    return told
