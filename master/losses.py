"""A worker is lost: which of its tasks may have been to blame.

A task that takes whole workers down (it uses up its host's memory, it kills its agent) must not go round for ever. The
master does not know what a worker was running: its slots run one task each, and what is sent ahead of need merely
waits there. So that nobody is charged for having waited, only as many tasks are charged as the worker has slots: the
first that it had not reported, in the order in which agents run them. Those may have been finished, and their report on
the way. Therefore the first of what was lost, far more than those, are suspects: they run one by one from then on, each
reported before the next starts, and the next loss finds the right one. An innocent task is hardly charged twice.
"""

from __future__ import annotations

from collections.abc import Iterator

from manyhands.master.jobs import Job
from manyhands.master.workers import Worker
from manyhands.wire.spans import SpanSet

#: Tasks of a lost worker that are suspects, for each of its slots; more would take long, one by one.
SUSPECTS_PER_SLOT = 1000


def in_order(worker: Worker) -> Iterator[tuple[Job, int, int]]:
    """What the worker has not reported and is open, as (job, first, last + 1), in the order in which it runs that."""
    seen: dict[int, SpanSet] = {}  # a worker that came back may hold a task under two leases
    for lease in sorted(worker.leases.values(), key=lambda lease: (-lease.job.priority, lease.tag, lease.number)):
        job = lease.job
        before = seen.setdefault(job.number, SpanSet())
        for lo, hi in lease.open:
            for a, b in job.done.missing(lo, hi):
                for c, d in before.missing(a, b):
                    before.add(c, d)
                    yield job, c, d


def first_tasks(worker: Worker, limit: int) -> list[tuple[Job, int, int]]:
    """The first `limit` of those."""
    taken: list[tuple[Job, int, int]] = []
    for job, lo, hi in in_order(worker):
        if limit <= 0:
            break
        taken.append((job, lo, min(hi, lo + limit)))
        limit -= hi - lo
    return taken
