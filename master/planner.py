"""The planner: hands out queued work, window by window, and moves it when a worker runs dry."""

from __future__ import annotations

import math

from manyhands.master import speculation, stealing
from manyhands.master.commands import Command, Dispatch
from manyhands.master.jobs import Job
from manyhands.master.pool import Pool
from manyhands.master.profiles import Profile
from manyhands.master.workers import UNKNOWN_SECONDS, Lease, Staged, Worker
from manyhands.wire.spans import Span, SpanSet


class Planner:
    """Decides who gets what, and how much at a time."""

    def __init__(self, pool: Pool, first_lease: int = 1) -> None:
        self._pool = pool
        self._touched: dict[int, Worker] = {}
        self._hungry: dict[int, Worker] = {}  # those that could take more, had there been any
        self._crowded: dict[int, Worker] = {}  # those that hold more than their slots run, and some that did
        self._lease = first_lease - 1
        #: When to look again although nothing happened: somebody is idle, and it was too early to ask others.
        self.recheck_at: float | None = None
        self._speculate_at = 0.0  # not before
        self._now = 0.0  # of this plan

    @property
    def flush_interval(self) -> float:
        """How often a busy worker should report: rarer with more workers."""
        config = self._pool.config
        interval = 2 * len(self._pool.workers) / config.messages_per_second
        return min(max(interval, config.flush_interval_min), config.flush_interval_max)

    @property
    def lookahead(self) -> float:
        """Seconds of work a slot holds ahead of need."""
        config = self._pool.config
        return config.prefetch + 2 * config.round_trip + 2 * self.flush_interval

    def touch(self, worker: Worker) -> None:
        """Something changed at this worker: look at it in the next plan."""
        if worker.draining:
            return
        self._touched[worker.number] = worker

    def forget(self, worker: Worker) -> None:
        """The worker is gone, or takes nothing more."""
        self._touched.pop(worker.number, None)
        self._hungry.pop(worker.number, None)
        self._crowded.pop(worker.number, None)

    def plan(self, now: float, out: list[Command]) -> None:
        """Hand out work: to those that reported, to the hungry, ahead of lower ranks, and by stealing."""
        self.recheck_at = None
        self._now = now
        pool = self._pool
        touched, self._touched = self._touched, {}
        came_ready, pool.came_ready = pool.came_ready, []
        # Free slots before windows, or what a busy worker has just given back for an idle one would go to it again.
        busy = [worker for worker in touched.values() if not worker.free_slots]
        for worker in touched.values():
            if worker.free_slots:
                self._serve(worker, out)
        if pool.fair:
            self._serve_hungry(out, want_free=True)
        for worker in busy:
            self._serve(worker, out)
        if pool.fair:
            self._serve_hungry(out, want_free=False)
        for job in came_ready:
            if job in pool.fair:
                self._overtake(job, out)
        if not pool.fair and self._hungry:
            self._steal(now, out)
            if pool.speculative:
                self._speculate(now, out)

    def _serve(self, worker: Worker, out: list[Command]) -> None:
        """Fill the worker's window, best rank first, from its deque and the jobs' queues."""
        while True:
            job = self._pool.fair.best()
            head = worker.deque[0] if worker.deque else None
            if head is not None and (job is None or (-head.job.priority, head.tag) <= (-job.priority, job.tag)):
                # Others can still have their share: it is what is left of the job, not of the deque.
                left = head.job.queued.count + head.job.staged
                room = min(self._room(worker, head.job, head.profile, left), head.count)
                if room <= 0:
                    break
                part = worker.unstage(room)
                self._dispatch(worker, part.job, part.profile, part.tag, part.spans, out)
                continue
            if job is None:
                self._hungry[worker.number] = worker
                return
            profile = self._pool.profile(job)
            room = self._room(worker, job, profile, self._pool.startable(job))
            if room <= 0:
                break
            self._hand_out(worker, job, profile, room, out)
        self._hungry.pop(worker.number, None)

    def _serve_hungry(self, out: list[Command], *, want_free: bool) -> None:
        """Give new work to those who lacked it, in turns; `want_free`: only to those with free slots."""
        progress = True
        while progress:
            progress = False
            for worker in list(self._hungry.values()):
                job = self._pool.fair.best()
                if job is None:
                    return
                if want_free and not worker.free_slots:
                    continue
                profile = self._pool.profile(job)
                room = self._room(worker, job, profile, self._pool.startable(job))
                del self._hungry[worker.number]
                if room > 0:
                    # To the end of the line, still hungry: the next round finds out.
                    self._hungry[worker.number] = worker
                    self._hand_out(worker, job, profile, room, out)
                    progress = True

    def _overtake(self, job: Job, out: list[Command]) -> None:
        """Work that has just come up goes ahead of unstarted work of lower rank; agents run it first."""
        lowest = min((other.priority for other in self._pool.jobs.values() if other.leased), default=job.priority)
        for worker in list(self._pool.workers.values()):
            fresh = self._pool.fair.is_fresh(job)
            if job not in self._pool.fair or not (fresh or lowest < job.priority):
                return
            if worker.draining:
                continue
            profile = self._pool.profile(job)
            room = self._room(worker, job, profile, self._pool.startable(job))
            if room <= 0 and fresh:
                room = min(worker.slots - worker.leased_of(job), self._pool.startable(job))
            if room > 0:
                self._hand_out(worker, job, profile, room, out)

    def _room(self, worker: Worker, job: Job, profile: Profile, available: int) -> int:
        """How many of a job's `available` tasks fit the worker's window now; lower priorities do not count.

        What is set aside has passed the job's own limits, and may be what everything waits for.
        """
        slots, mean = worker.slots, profile.mean
        free = max(0, slots - worker.leased_from(job.priority))
        room = free
        if mean is not None:
            ahead = slots * self.lookahead
            open_seconds = slots * mean + ahead - worker.seconds(job.priority)
            # Refilled when half of it is used up, so that messages carry more.
            if open_seconds >= ahead / 2:
                room = max(room, 1, int(open_seconds / max(mean, 1e-9)))
        # Guided self-scheduling (Polychronopoulos, Kuck 1987): never more than half of a fair share of what is left,
        # but a free slot is never left empty for it.
        share = available * slots / self._pool.slots
        held = worker.leased_from(job.priority) - slots
        room = min(room, max(math.ceil(share / 2) - max(0, held), min(free, math.ceil(share))))
        if worker.leased_bytes >= self._pool.config.worker_bytes:
            room = min(room, free)
        if room > free and profile.result_bytes * room > self._pool.config.result_bytes / 16:
            left = (self._pool.config.result_bytes - worker.expected_bytes()) / profile.result_bytes
            room = min(room, max(free, int(left)))
        return min(room, available)

    def _hand_out(self, worker: Worker, job: Job, profile: Profile, room: int, out: list[Command]) -> None:
        """Dispatch up to `room` tasks of the job's head function, and set as many aside if plenty is left."""
        cost = UNKNOWN_SECONDS if profile.mean is None else profile.mean
        cost *= self._pool.cost_factor(job)
        # Setting aside saves a decision later; near the end it would only have to be stolen back.
        spare = (
            room if profile.mean is not None and job.queued.count * worker.slots > 16 * room * self._pool.slots else 0
        )
        limit_bytes = self._pool.config.lease_bytes
        function = job.blocks.at(job.queued.first).function
        while room > 0 and job.queued:
            spans = job.take(room, limit_bytes)
            count = sum(hi - lo for lo, hi in spans)
            tag = self._pool.fair.charge(job, cost * count)
            self._dispatch(worker, job, profile, tag, spans, out)
            room -= count
            if job.queued and job.blocks.at(job.queued.first).function != function:
                break
        else:
            # Never beside a free slot: nobody looks at the deque again before the next report.
            if worker.free_slots:
                spare = 0
            while spare > 0 and job.queued and not job.options.max_parallel:
                spans = job.take(spare, limit_bytes)
                count = sum(hi - lo for lo, hi in spans)
                worker.stage(Staged(job, profile, self._pool.fair.charge(job, cost * count), spans))
                spare -= count
                if job.queued and job.blocks.at(job.queued.first).function != function:
                    break
        self._pool.refresh(job)

    def _dispatch(
        self, worker: Worker, job: Job, profile: Profile, tag: float, spans: list[Span], out: list[Command]
    ) -> None:
        self._lease += 1
        block = job.blocks.at(spans[0][0])
        per_task = max(1, len(block.payload) // block.count)
        worker.lease(Lease(self._lease, job, profile, tag, per_task, SpanSet(spans), self._now))
        if worker.leased > worker.slots:
            self._crowded[worker.number] = worker
        self._pool.note_dispatched(job, spans, out)
        out.append(
            Dispatch(
                worker.number,
                self._lease,
                job.number,
                job.priority,
                tag,
                job.options.retry.retry_on,
                job.options.timeout,
                job.options.progress_timeout,
                job.options.memory_bytes,
                job.options.context,
                job.options.name,
                job.dispatch_pieces(spans),
            )
        )

    def lease_again(self, worker: Worker, job: Job, number: int, spans: SpanSet, now: float) -> None:
        """These open tasks of a job are at the worker already, under a lease of an earlier session."""
        if not spans:
            return
        block = job.blocks.at(spans.first)
        profile = self._pool.profile_of(job, block)
        per_task = max(1, len(block.payload) // block.count)
        worker.lease(Lease(number, job, profile, job.tag, per_task, spans, now))
        if worker.leased > worker.slots:
            self._crowded[worker.number] = worker

    def _steal(self, now: float, out: list[Command]) -> None:
        """No job has queued work: idle workers take from others' deques, then ask for unstarted leases."""
        pool, config = self._pool, self._pool.config
        if any(job.staged for job in pool.jobs.values()):
            self._steal_staged(out)
        victims = [worker for worker in self._crowded.values() if worker.unstarted]
        if len(victims) < len(self._crowded):
            self._crowded = {worker.number: worker for worker in victims}
        if not victims:
            return
        wanted = sum(worker.free_slots for worker in self._hungry.values())
        asked = sum(len(worker.revokes) for worker in victims)
        if asked >= wanted:
            return
        # Of equals the one that has been silent longest: it is more likely to sit behind a long task.
        victims.sort(key=lambda worker: (-worker.unstarted / worker.slots, worker.progress_at))
        patience = config.revoke_patience + 2 * self.flush_interval
        for victim in victims:
            if asked >= wanted:
                return
            if not stealing.is_worth_asking(victim, now, 2 * config.round_trip, patience):
                self.recheck_at = now + config.revoke_pause
                continue
            count = (victim.unstarted + 1) // 2
            for lease, spans in stealing.give_back(victim, count):
                pool.ask_back(victim, lease, spans, out)
            victim.revoke_after = now + config.revoke_pause
            asked += count

    def _steal_staged(self, out: list[Command]) -> None:
        """Each idle worker takes from the richest deque, while there is one, until its slots are full."""
        rich = [worker for worker in self._pool.workers.values() if worker.staged]
        for worker in list(self._hungry.values()):
            while worker.free_slots:
                victim = stealing.richest(rich)
                if victim is None:
                    return
                if victim is worker:
                    break
                for staged in stealing.steal_half(victim):
                    worker.stage(staged)
                self._serve(worker, out)
                if not victim.staged:
                    rich.remove(victim)
                if worker.staged and worker not in rich:
                    rich.append(worker)

    def _speculate(self, now: float, out: list[Command]) -> None:
        """Idle slots that nothing else can use run second copies, for jobs that allow it."""
        pool, config = self._pool, self._pool.config
        ends = [job for job in pool.speculative.values() if speculation.is_at_its_end(job)]
        jobs = [job for job in ends if job.client not in pool.lagging]
        if not jobs:
            return
        if now < self._speculate_at:
            self._look_again(self._speculate_at)
            return
        self._speculate_at = now + config.copy_pause
        found = [each for job in jobs for each in speculation.candidates(job, pool.workers.values(), config)]
        overdue = [each for each in found if each.due <= now]
        coming = min((each.due for each in found if each.due > now), default=None)
        if coming is not None:
            self._look_again(max(coming, self._speculate_at))
        slow = {each.worker.number for each in overdue}
        # What has not begun elsewhere is asked back, and needs slots as well.
        spare = sum(worker.free_slots for worker in self._hungry.values())
        spare -= sum(worker.unstarted for worker in self._crowded.values())
        for each in sorted(overdue, key=lambda each: (-each.job.priority, each.since)):
            job, span = each.job, (each.index, each.index + 1)
            if spare <= 0:
                return
            worker = speculation.choose_worker(self._hungry.values(), each, slow)
            if worker is None or not speculation.is_at_its_end(job):
                continue
            job.doubled = True
            job.copied.add(*span)
            self._dispatch(worker, job, each.lease.profile, job.tag, [span], out)
            spare -= 1

    def _look_again(self, at: float) -> None:
        self.recheck_at = at if self.recheck_at is None else min(at, self.recheck_at)

    def check_invariants(self) -> None:
        """Assert that nobody is remembered who is gone, or forgotten who is crowded. For tests."""
        workers = self._pool.workers
        remembered = self._hungry | self._touched | self._crowded
        assert all(workers.get(number) is worker for number, worker in remembered.items())
        assert all(
            number in self._crowded for number, worker in workers.items() if worker.unstarted and not worker.draining
        )
