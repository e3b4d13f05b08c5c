"""Which tasks that run are worth a second copy, and which idle worker runs it.

A host that is slow, or hangs, holds up a whole job at its end. So once nothing of a job is left to be handed out, its
tasks that have run for much longer than their function usually takes run once more elsewhere. When a task began the
master does not know, only when it had begun at the latest: it was dispatched to a worker with a free slot, or the
worker has reported since what stood before it. What has not begun is stolen, not copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from manyhands.master.jobs import Job
from manyhands.master.tuning import SchedulerConfig
from manyhands.master.workers import Lease, Worker
from manyhands.wire.spans import SpanSet


@dataclass(frozen=True, slots=True)
class Running:
    """A task that has only one copy, which runs since `since` at the latest and is worth another from `due` on."""

    due: float
    since: float
    job: Job
    index: int
    worker: Worker
    lease: Lease


def is_at_its_end(job: Job) -> bool:
    """Whether all that is left of a job is with workers, and it may have more there."""
    limit = job.options.max_parallel
    return job.leased > 0 and not (job.queued or job.waiting or job.staged) and not (limit and job.leased >= limit)


def candidates(job: Job, workers: Iterable[Worker], config: SchedulerConfig) -> list[Running]:
    """The job's tasks that run and may get a copy some time, those first that have run longest."""
    averages = job.averages
    assert averages is not None, "it was not asked for"
    holders = [worker for worker in workers if worker.leased_of(job)]
    out, twice = SpanSet(), SpanSet()
    for lo, hi in [
        span for worker in holders for lease in worker.leases.values() if lease.job is job for span in lease.open
    ]:
        for a, b in out.overlap(lo, hi):
            twice.add(a, b)
        out.add(lo, hi)
    # What took its slot or worker down would take another one.
    unfit = (job.done, job.cancelling, job.suspects, job.crash_reports, twice)
    found: list[Running] = []
    for worker in holders:
        for lease, lo, hi in _running(worker):
            if lease.job is not job or (mean := averages.mean(lease.profile)) is None:
                continue  # none of that function's tasks has ended: they may all be so long
            since = max(lease.at, worker.crowded_at)
            due = since + max(config.copy_delay, config.copy_slowness * mean)
            found += [
                Running(due, since, job, index, worker, lease)
                for index in range(lo, hi)
                if not any(index in each for each in unfit)
            ]
    found.sort(key=lambda each: (each.since, each.index))
    return found


def _running(worker: Worker) -> Iterator[tuple[Lease, int, int]]:
    """What the worker's slots run, as (lease, first, last + 1): agents run better ranks first."""
    slots = worker.slots
    for lease in sorted(worker.leases.values(), key=lambda each: (-each.job.priority, each.tag, each.number)):
        for lo, hi in lease.open:
            if slots <= 0:
                return
            yield lease, lo, min(hi, lo + slots)
            slots -= hi - lo


def choose_worker(idle: Iterable[Worker], running: Running, slow: set[int]) -> Worker | None:
    """Where to run the copy: on another worker than the first, best on one without `slow` tasks of its own."""
    others = [worker for worker in idle if worker is not running.worker and worker.free_slots]
    return min(others, key=lambda worker: (worker.number in slow, -worker.free_slots, worker.number), default=None)
