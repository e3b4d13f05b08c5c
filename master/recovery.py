"""What jobs were asked for and had come to, from messages and the journal's rows to the scheduler's events; pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from manyhands.master.events import JobOptions, JobRecovered, RetryOptions, TriesKept
from manyhands.master.journal_schema import KeptJob
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.blocks import Block


def job_options(message: pb.OpenJob) -> JobOptions:
    """What the client asked for."""
    retry = message.retry
    return JobOptions(
        name=message.name,
        priority=message.priority,
        max_parallel=message.max_parallel,
        retry=RetryOptions(
            retry.retries,
            retry.delay,
            retry.backoff,
            retry.delay_max,
            retry.retry_on,
            retry.on_timeout,
            retry.on_memory,
        ),
        metered=message.metered,
        timeout=message.timeout,
        total_timeout=message.total_timeout,
        queue_timeout=message.queue_timeout,
        progress_timeout=message.progress_timeout,
        memory_bytes=message.memory_bytes,
        context=message.context,
        speculate=message.speculate,
    )


def recovered(job: KeptJob, client: int, blocks: Sequence[Block], wall: float) -> JobRecovered:
    """A job as it was; `wall`: the time now, in seconds, as the journal counts it."""
    counters = job.counters
    return JobRecovered(
        job=job.job,
        client=client,
        options=job_options(cast("pb.OpenJob", job.opening.message)),
        sealed_at=job.sealed_at,
        blocks=tuple(blocks),
        ages=_ages([at for at, _ in job.blocks], wall),
        done=tuple(job.done),
        tries=tuple(
            TriesKept(
                index,
                tries.attempts,
                tries.failures,
                tuple(pb.CrashReport.FromString(report) for report in tries.crashes),
                # A clock that was set back must not keep a task waiting for longer than it ever would have.
                max(0.0, min(tries.due - wall, tries.delay)),
            )
            for index, tries in job.tries.items()
        ),
        dispatched=tuple(job.marks["dispatched"]),
        cancels=tuple(job.marks["cancel"]),
        states=tuple(job.states.items()),
        succeeded=counters.succeeded,
        failed=counters.failed,
        cancelled=counters.cancelled,
        delivered_bytes=counters.delivered_bytes,
        consumed_bytes=counters.consumed_bytes,
        unlimited=counters.unlimited,
    )


def _ages(arrivals: Sequence[float], wall: float) -> tuple[float, ...]:
    """Of blocks, in their order, which arrived at these times on a clock that may have been set since."""
    ages: list[float] = []
    youngest = 0.0
    for arrived_at in reversed(arrivals):
        youngest = max(youngest, wall - arrived_at)
        ages.append(youngest)
    return tuple(reversed(ages))
