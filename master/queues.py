"""Who is served next: strict priority between ranks, fair sharing within one.

Start-time fair queuing (Goyal, Vin, Cheng 1996). Each job carries a tag, the virtual time at which its next
span starts; the lowest tag is served first and advances by the work taken, weighted. Virtual time is the
highest tag seen in service, and a job that comes (back) starts there: it neither waits behind what
others have queued nor makes up for time it did not ask for.
"""

from __future__ import annotations

import heapq

from manyhands.master.jobs import Job


class FairQueue:
    """The jobs that have work to hand out, best first."""

    def __init__(self) -> None:
        #: The virtual time: the highest tag known to be in service.
        self.virtual_time = 0.0
        self._heap: list[tuple[int, float, int, Job]] = []
        self._tags: dict[int, float] = {}  # the live heap entry of each ready job

    def __len__(self) -> int:
        return len(self._tags)

    def __contains__(self, job: Job) -> bool:
        return job.number in self._tags

    def add(self, job: Job) -> None:
        """`job` has work (again)."""
        if job.number not in self._tags:
            job.tag = max(job.tag, self.virtual_time)
            self._push(job)

    def discard(self, job: Job) -> None:
        """`job` has no work to hand out now."""
        self._tags.pop(job.number, None)

    def best(self) -> Job | None:
        """The job to serve next; it stays in the queue."""
        heap = self._heap
        while heap:
            _, tag, number, job = heap[0]
            if self._tags.get(number) == tag:
                return job
            heapq.heappop(heap)
        return None

    def charge(self, job: Job, cost: float) -> float:
        """`job` was given work worth `cost` seconds: its place moves back. Returns the tag of that work."""
        tag = job.tag
        job.tag = tag + cost
        if job.number in self._tags:
            self._push(job)
        return tag

    def in_service(self, tag: float) -> None:
        """Work with this tag has been started."""
        self.virtual_time = max(self.virtual_time, tag)

    def is_fresh(self, job: Job) -> bool:
        """Whether everything unstarted elsewhere of the same priority ranks behind this job's next span."""
        return job.tag <= self.virtual_time

    def _push(self, job: Job) -> None:
        self._tags[job.number] = job.tag
        heapq.heappush(self._heap, (-job.priority, job.tag, job.number, job))
        if len(self._heap) > 64 + 4 * len(self._tags):
            self._heap = [entry for entry in self._heap if self._tags.get(entry[2]) == entry[1]]
            heapq.heapify(self._heap)
