"""Replay equals live state: what a new life would know from the journal alone is what this life knew at the commit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from tests.simulation.party import Party
from tests.simulation.simulated_disk import SimulatedDisk
from tests.simulation.story import Violation

from manyhands.master.config import MasterConfig
from manyhands.master.engine import Engine
from manyhands.master.events import JobOptions
from manyhands.master.expiry import LATENESS, Limit
from manyhands.master.job_messages import needed_by
from manyhands.master.jobs import Job
from manyhands.master.journal import Journal
from manyhands.master.journal_batch import Batch
from manyhands.master.journal_schema import Kept, read
from manyhands.master.life import Life
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.spans import Span, SpanSet


@dataclass(slots=True)
class JobState:
    """What must be the same; `blocks` with open tasks, by their first; `tries` of open tasks: (attempts,
    failures, crashes); `deadlines` of open tasks, in virtual time, by limit and timeout; `dispatched`: those that
    count for `queue_timeout`.
    """

    count: int
    sealed_at: int | None
    blocks: list[int]
    done: list[Span]
    cancelling: list[Span]
    outcomes: tuple[int, int, int]
    sizes: tuple[int, int, bool]
    tries: dict[int, tuple[int, int, int]]
    deadlines: dict[tuple[Limit, float], dict[int, float]]
    dispatched: list[Span]


@dataclass(slots=True)
class State:
    """Of a life: its open jobs, their messages that wait, and how far each client's session has been applied."""

    jobs: dict[int, JobState]
    inboxes: dict[int, list[bytes]]
    sessions: dict[bytes, int]


def state_of(life: Life) -> State:
    """As it is now."""
    engine = life.engine
    return State(
        {job.number: _job_state(job, engine) for job in engine.scheduler.jobs},
        {
            number: [waiting.body.SerializeToString(deterministic=True) for waiting in record.inbox]
            for number, record in engine.records.items()
            if record.inbox
        },
        {peer.hello.session: peer.session.taken for peer in life.sessions.of_role(pb.ROLE_CLIENT)},
    )


def _job_state(job: Job, engine: Engine) -> JobState:
    cancelling = SpanSet(job.cancelling)
    for event in engine._until_back:
        for lo, hi in event.spans if event.job == job.number else ():
            for part in job.done.missing(lo, hi):
                cancelling.add(*part)
    tried = SpanSet(part for counts in (job.attempts, job.failure_counts) for part in counts.counted())
    indices = {index for lo, hi in tried for index in range(lo, hi)} | job.crash_reports.keys()
    return JobState(
        job.count,
        job.sealed_at,
        [block.first for block in job.blocks._blocks if block is not None],
        list(job.done),
        list(cancelling),
        (job.succeeded, job.failed, job.cancelled),
        (job.delivered_bytes, job.consumed_bytes, job.unlimited),
        {
            index: (job.attempts.of(index), job.failure_counts.of(index), len(job.crash_reports.get(index, ())))
            for index in indices
            if index not in job.done
        },
        {
            (limit, timeout): {
                index: due
                for due, lo, hi in engine.scheduler._pool.expiries._runs.get((job.number, limit), ())
                for a, b in job.done.missing(lo, hi)
                for index in range(a, b)
                if limit == "total_timeout" or index not in (job.dispatched or ())
            }
            for limit, timeout in _limits(job.options)
        },
        [part for lo, hi in job.dispatched or () for part in job.done.missing(lo, hi)]
        if job.options.queue_timeout
        else [],
    )


def _limits(options: JobOptions) -> Iterator[tuple[Limit, float]]:
    if options.total_timeout:
        yield "total_timeout", options.total_timeout
    if options.queue_timeout:
        yield "queue_timeout", options.queue_timeout


class _Nowhere:
    """A store for the life that is only looked at."""

    def __init__(self, disk: SimulatedDisk) -> None:
        self.wall = disk.wall

    def commit(self, batches: Sequence[Batch], on_end: Callable[[Exception | None], None]) -> None:
        pass

    async def outcomes(self, job: int, *, ordered: bool, after: int) -> list[tuple[int, int, bytes]]:
        return []


def check_replay(disk: SimulatedDisk, config: MasterConfig, live: State, *, clock_was_set: bool) -> None:
    """Raises Violation unless the disk holds the live state."""
    kept = read(disk.db)
    blocks = {job.job: [block.first for _, block in job.blocks] for job in kept.jobs}
    definitions = frozenset(kept.definitions)  # now: who takes over what is kept may empty it
    shadow = Party("shadow")
    log = logging.getLogger("manyhands.master")
    disabled, log.disabled = log.disabled, True
    try:
        state = shadow.run(_replayed, disk, kept, config)
    finally:
        log.disabled = disabled
        shadow.kill()
    if state.sessions != live.sessions:
        raise Violation(f"sessions are applied up to {live.sessions}, the journal says {state.sessions}")
    for number in live.inboxes.keys() | state.inboxes.keys():
        _compare_inboxes(number, live, state, definitions)
    for number, job in live.jobs.items():
        if blocks.get(number, []) != job.blocks:
            raise Violation(f"the blocks at {blocks.get(number)} are kept, needed are {job.blocks}", number)
    for number in live.jobs.keys() | state.jobs.keys():
        _compare(number, live.jobs.get(number), state.jobs.get(number), clock_was_set=clock_was_set)


def _replayed(disk: SimulatedDisk, kept: Kept, config: MasterConfig) -> State:
    life = Life(config, Random(0), 1 << 20, b"shadow", Journal(_Nowhere(disk), on_broken=lambda _: None))
    life.restore(kept)
    for event in life.engine._until_back:
        life.engine._delivery.execute(life.engine.scheduler.handle(event, 0.0))
    return state_of(life)


def _compare_inboxes(number: int, live: State, replayed: State, definitions: Collection[bytes]) -> None:
    waiting, then = live.inboxes.get(number, []), replayed.inboxes.get(number, [])
    taken = waiting[: len(waiting) - len(then)]
    if taken + then != waiting:
        raise Violation(f"{len(waiting)} messages wait for definitions, {len(then)} would then", number)
    # What the master has forgotten may not have been swept out of the journal yet, so that some need not wait.
    for data in taken:
        if not set(needed_by(pb.Body.FromString(data))) <= set(definitions):
            raise Violation(f"{len(waiting)} messages wait for definitions, {len(then)} would then", number)
    if taken:
        live.jobs.pop(number, None)
        replayed.jobs.pop(number, None)


def _compare(number: int, live: JobState | None, replayed: JobState | None, *, clock_was_set: bool) -> None:
    if live is None:
        raise Violation(f"job {number} is over, but would be open again: {replayed}", number)
    done = SpanSet(live.done)
    succeeded, failed, cancelled = live.outcomes
    # What is being cancelled ends at once where nobody runs it any more.
    for lo, hi in live.cancelling:
        cancelled += done.add(lo, hi)
    if done.count == live.sealed_at:
        if replayed is not None:
            raise Violation(f"job {number} would be over, but is open again: {live} {replayed}", number)
        return
    if replayed is None:
        raise Violation(f"job {number} would be lost: {live}", number)
    if (replayed.count, replayed.sealed_at) != (live.count, live.sealed_at):
        raise Violation(f"{live.count} tasks, sealed at {live.sealed_at}, would come back as {replayed}", number)
    if replayed.done != list(done) or replayed.outcomes != (succeeded, failed, cancelled):
        raise Violation(f"outcomes would come back wrong: {live} as {replayed}", number)
    if replayed.sizes != live.sizes:
        raise Violation(f"bytes would come back wrong: {live.sizes} as {replayed.sizes}", number)
    tries = {index: count for index, count in live.tries.items() if index not in done}
    if replayed.tries != tries:
        raise Violation(f"what was tried would come back wrong: {tries} as {replayed.tries}", number)
    dispatched = [part for lo, hi in live.dispatched for part in done.missing(lo, hi)]
    if replayed.dispatched != dispatched:
        raise Violation(f"dispatched were {dispatched}, would be {replayed.dispatched}", number)
    for (limit, timeout), deadlines in live.deadlines.items() if not clock_was_set else ():
        again = replayed.deadlines[limit, timeout]
        for index, due in deadlines.items():
            if index not in done and abs(again[index] - due) > timeout * LATENESS + 1e-6:
                raise Violation(f"{limit} would strike {again[index] - due} s later", number, index)
