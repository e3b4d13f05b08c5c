"""Who is charged with the loss of a worker."""

from __future__ import annotations

from tests.support.builders import make_job

from manyhands.master.jobs import Job
from manyhands.master.losses import first_tasks
from manyhands.master.profiles import Profile
from manyhands.master.workers import Lease, Worker
from manyhands.wire.spans import SpanSet


def lease(worker: Worker, number: int, job: Job, tag: float, *spans: tuple[int, int]) -> None:
    worker.lease(Lease(number, job, Profile(), tag, 1, SpanSet(spans)))


def test_the_first_in_the_order_in_which_agents_run() -> None:
    worker = Worker(1, 3, 0.0)
    plain, urgent = make_job(1), make_job(2, priority=1)
    lease(worker, 1, plain, 2.0, (0, 5))
    lease(worker, 2, plain, 1.0, (7, 8), (20, 30))
    lease(worker, 3, urgent, 9.0, (4, 5))
    assert first_tasks(worker, 3) == [(urgent, 4, 5), (plain, 7, 8), (plain, 20, 21)]
    assert first_tasks(worker, 0) == []
    assert sum(hi - lo for _, lo, hi in first_tasks(worker, 1000)) == 17


def test_each_once_and_none_that_has_its_outcome() -> None:
    worker = Worker(1, 2, 0.0)
    job = make_job(1)
    lease(worker, 1, job, 0.0, (0, 3))
    lease(worker, 2, job, 0.0, (0, 6))
    job.done.add(1, 2)
    assert first_tasks(worker, 10) == [(job, 0, 1), (job, 2, 3), (job, 3, 6)]
