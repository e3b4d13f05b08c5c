"""One worker as the scheduler sees it: its leases, its deque, its load."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from manyhands.master.jobs import Job
from manyhands.master.profiles import Profile
from manyhands.wire.spans import Span, SpanSet

#: What a task of unknown duration is taken for, in seconds, wherever a number is needed.
UNKNOWN_SECONDS = 0.001


@dataclass(slots=True)
class Lease:
    """The right to run what was dispatched under this number; `open` is unreported."""

    number: int
    job: Job
    profile: Profile
    tag: float
    bytes_per_task: int
    open: SpanSet
    #: When it was dispatched, or came back.
    at: float = 0.0


@dataclass(slots=True)
class Staged:
    """Work set aside for one worker, still here."""

    job: Job
    profile: Profile
    tag: float
    spans: list[Span]

    @property
    def count(self) -> int:
        """How many tasks."""
        return sum(hi - lo for lo, hi in self.spans)


class Worker:
    """What one worker was sent and has not reported, and what is set aside for it."""

    __slots__ = (
        "_by_job",
        "_load",
        "crowded_at",
        "deque",
        "draining",
        "leased",
        "leased_bytes",
        "leases",
        "number",
        "progress_at",
        "revoke_after",
        "revokes",
        "slots",
        "staged",
    )

    def __init__(self, number: int, slots: int, now: float) -> None:
        self.number = number
        self.slots = slots
        #: It is sent nothing more, and its slots do not count.
        self.draining = False
        self.leases: dict[int, Lease] = {}
        self.deque: deque[Staged] = deque()
        #: Tasks under leases, their payload bytes, and tasks in the deque.
        self.leased = 0
        self.leased_bytes = 0
        self.staged = 0
        self._load: dict[tuple[int, Profile], int] = {}
        self._by_job: dict[int, int] = {}
        #: Revokes not answered yet: number -> lease.
        self.revokes: dict[int, int] = {}
        #: Not asked again before this time.
        self.revoke_after = now
        #: When it last reported anything.
        self.progress_at = now
        #: When it last reported something while it held more than its slots run: what its slots run now had begun by
        #: then, or is of a later lease.
        self.crowded_at = now

    @property
    def free_slots(self) -> int:
        """Slots that have nothing to do, as far as known."""
        return max(0, self.slots - self.leased)

    @property
    def unstarted(self) -> int:
        """Leased tasks beyond those that its slots can be running."""
        return max(0, self.leased - self.slots)

    def seconds(self, priority: int) -> float:
        """Estimated run time of what is leased at this priority or a higher one."""
        return sum(
            count * (UNKNOWN_SECONDS if profile.mean is None else profile.mean)
            for (rank, profile), count in self._load.items()
            if rank >= priority
        )

    def expected_bytes(self) -> float:
        """Of the results of what is leased, as far as known."""
        return sum(count * profile.result_bytes for (_, profile), count in self._load.items())

    def leased_from(self, priority: int) -> int:
        """Tasks leased at this priority or a higher one."""
        return sum(count for (rank, _), count in self._load.items() if rank >= priority)

    def leased_of(self, job: Job) -> int:
        """Tasks of one job under leases here."""
        return self._by_job.get(job.number, 0)

    def lease(self, lease: Lease) -> None:
        """Record a dispatch."""
        self.leases[lease.number] = lease
        self._count(lease, lease.open.count)

    def report(self, lease: Lease, lo: int, hi: int) -> int:
        """[lo, hi) of a lease is reported, returned or lost; return how many were open under it."""
        gone = lease.open.remove(lo, hi)
        if gone:
            self._count(lease, -gone)
        if not lease.open:
            self.leases.pop(lease.number, None)
        return gone

    def _count(self, lease: Lease, change: int) -> None:
        job = lease.job
        job.leased += change
        self.leased += change
        self.leased_bytes += change * lease.bytes_per_task
        kind = (job.priority, lease.profile)
        self._load[kind] = count = self._load.get(kind, 0) + change
        if not count:
            del self._load[kind]
        self._by_job[job.number] = count = self._by_job.get(job.number, 0) + change
        if not count:
            del self._by_job[job.number]

    def stage(self, staged: Staged) -> None:
        """Set work aside, behind what is there."""
        self.deque.append(staged)
        self.staged += staged.count
        staged.job.staged += staged.count

    def unstage(self, limit: int) -> Staged:
        """Take up to `limit` tasks from the deque's head, all of one kind; the deque must not be empty."""
        head = self.deque[0]
        count = head.count
        if count <= limit:
            self.deque.popleft()
            part = head
        else:
            part = Staged(head.job, head.profile, head.tag, _split(head.spans, limit))
            count = limit
        self.staged -= count
        head.job.staged -= count
        return part

    def unstage_tail(self, count: int) -> list[Staged]:
        """Take the last `count` tasks out of the deque, or all; in the order in which they stood."""
        taken: list[Staged] = []
        while count > 0 and self.deque:
            last = self.deque[-1]
            if last.count <= count:
                self.deque.pop()
                part = last
            else:
                kept = _split(last.spans, last.count - count)
                part = Staged(last.job, last.profile, last.tag, last.spans)
                last.spans = kept
            taken.append(part)
            count -= part.count
            self.staged -= part.count
            part.job.staged -= part.count
        taken.reverse()
        return taken

    def withdraw(self, job: Job, spans: list[Span]) -> list[Span]:
        """Take those of a job's tasks in `spans` that are in the deque out of it; return them."""
        gone: list[Span] = []
        for staged in self.deque:
            if staged.job is job:
                kept = SpanSet(staged.spans)
                for lo, hi in spans:
                    gone += kept.overlap(lo, hi)
                    kept.remove(lo, hi)
                staged.spans = list(kept)
        self.deque = deque(staged for staged in self.deque if staged.spans)
        count = sum(hi - lo for lo, hi in gone)
        self.staged -= count
        job.staged -= count
        return gone

    def check_invariants(self) -> None:
        """Assert that the counts are those of the leases and the deque."""
        assert self.leased == sum(lease.open.count for lease in self.leases.values())
        assert self.leased_bytes == sum(lease.open.count * lease.bytes_per_task for lease in self.leases.values())
        assert self.staged == sum(staged.count for staged in self.deque)
        assert sum(self._load.values()) == self.leased
        assert sum(self._by_job.values()) == self.leased
        assert all(lease.open for lease in self.leases.values())
        for lease in self.leases.values():
            lease.open.check_invariants()


def _split(spans: list[Span], count: int) -> list[Span]:
    """Cut the first `count` tasks off `spans`, in place; return them."""
    taken: list[Span] = []
    while count > 0:
        lo, hi = spans[0]
        if hi - lo <= count:
            taken.append(spans.pop(0))
            count -= hi - lo
        else:
            taken.append((lo, lo + count))
            spans[0] = (lo + count, hi)
            count = 0
    return taken
