"""Who gives up work when a worker runs dry: the richest deque first, then unstarted leases."""

from __future__ import annotations

from collections.abc import Iterable

from manyhands.master.workers import UNKNOWN_SECONDS, Lease, Staged, Worker
from manyhands.wire.spans import Span, tail


def richest(workers: Iterable[Worker]) -> Worker | None:
    """The worker with most set aside."""
    best = max(workers, key=lambda worker: worker.staged, default=None)
    return best if best is not None and best.staged else None


def steal_half(victim: Worker) -> list[Staged]:
    """Half of the tail of the victim's deque, at least one task."""
    return victim.unstage_tail((victim.staged + 1) // 2)


def is_worth_asking(victim: Worker, now: float, round_trip: float, patience: float) -> bool:
    """Whether a revoke can bring back something before the victim would have started it anyway.

    A victim that has not reported for `patience` seconds is asked whatever the estimate: one long task
    may hold up many short ones.
    """
    if not victim.unstarted or victim.revokes or now < victim.revoke_after:
        return False
    waiting = sum(unstarted_seconds(lease) for lease in victim.leases.values())
    waiting *= victim.unstarted / victim.leased
    return waiting / victim.slots > round_trip or now - victim.progress_at > patience


def unstarted_seconds(lease: Lease) -> float:
    """Estimated run time of what is open under a lease."""
    mean = lease.profile.mean
    return lease.open.count * (UNKNOWN_SECONDS if mean is None else mean)


def give_back(victim: Worker, count: int) -> list[tuple[Lease, list[Span]]]:
    """The `count` tasks that the victim will start last, by lease."""
    asked: list[tuple[Lease, list[Span]]] = []
    # The agent runs better ranks first, so its tail is the worst rank's.
    order = sorted(victim.leases.values(), key=lambda lease: (lease.job.priority, -lease.tag, -lease.number))
    for lease in order:
        if count <= 0:
            break
        spans = tail(list(lease.open), count)
        asked.append((lease, spans))
        count -= sum(hi - lo for lo, hi in spans)
    return asked
