"""A simulated client: speaks the protocol over the shipped dialer, and counts what it gets for each task."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.simulation.items import definition, error_of, item_of, result_of
from tests.simulation.network import Network
from tests.simulation.party import Party
from tests.simulation.scenario import CancelPlan, ClientPlan, JobPlan
from tests.simulation.story import Violation
from tests.simulation.survival import JobPromise
from tests.simulation.world import World
from tests.support.builders import items_of, packed

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.dialer import Dialer
from manyhands.wire.spans import Span, SpanSet

#: Seconds until a metered job's reader has read what has come.
READ_DELAY = 0.003

#: How a task fails.
FAILURES = {
    pb.Failure.KIND_EXCEPTION: "failed",
    pb.Failure.KIND_CRASHED: "crashed",
    pb.Failure.KIND_NO_ROOM: "refused",
    pb.Failure.KIND_TIMED_OUT: "timed out",
}


@dataclass
class JobView:
    """What the client knows of a job: `outcomes` by index."""

    number: int
    plan: JobPlan
    items: list[bytes] = field(default_factory=list)
    outcomes: dict[int, str] = field(default_factory=dict)
    #: Outcomes heard in the present life of the master.
    told: set[int] = field(default_factory=set)
    is_open: bool = False
    cancels_sent: list[list[Span]] = field(default_factory=list)
    cancel_asked: set[int] = field(default_factory=set)
    cancelled: bool = False  # the whole job
    complete: bool = False  # everything has been sent
    read_count: int = 0  # results are read in order
    read_bytes: int = 0
    reads: bool = False
    finished_at: float = 0.0

    @property
    def is_over(self) -> bool:
        return self.cancelled or (self.complete and len(self.outcomes) == len(self.items))


class SimulatedClient:
    """`finished`: every task has its end. Build it as its party."""

    def __init__(self, plan: ClientPlan, world: World, network: Network, party: Party) -> None:
        self.plan = plan
        self.party = party
        self._world = world
        self._network = network
        self._epoch = 0
        #: Outcomes told again by another life of the master.
        self.told_again = 0
        self.jobs = {number: JobView(number, job) for number, job in enumerate(plan.jobs, 1)}
        self.finished = asyncio.Event()
        self.finished_at = 0.0
        self.left = False
        #: The master has forgotten it.
        self.is_lost = False
        self.is_closed = False
        self._definitions = dict(definition(plan.name, function) for function in range(2))
        self.dialer = Dialer(
            network.opener(plan.name),
            lambda: world.hello(pb.ROLE_CLIENT, plan.name),
            self._on_bodies,
            self._on_welcome,
            self._on_session_lost,
            jitter=network.jitter,
        )
        world.spawn(self.dialer.run())
        for job in self.jobs.values():
            world.spawn(self._feed(job))
        if plan.leaves_at is not None:
            world.spawn(self._leave(plan.leaves_at))
        self._look()

    # ------------------------------------------------------------ what it does

    async def _feed(self, job: JobView) -> None:
        plan, number = job.plan, job.number
        await asyncio.sleep(plan.at)
        if self.left:
            return
        for cancel in plan.cancels:
            self._world.spawn(self._cancel(job, cancel))
        options, retry = plan.options, plan.options.retry
        opening = pb.OpenJob(
            job=number,
            name=options.name,
            priority=options.priority,
            max_parallel=options.max_parallel,
            metered=options.metered,
            speculate=options.speculate,
            total_timeout=options.total_timeout,
            queue_timeout=options.queue_timeout,
            retry=pb.Retry(retries=retry.retries, delay=retry.delay, backoff=retry.backoff, delay_max=retry.delay_max),
        )
        job.is_open = True
        self.dialer.send(pb.Body(open_job=opening), number)
        if self.plan.eager_definitions:
            for hash, blob in self._definitions.items():
                self.dialer.send(pb.Body(define=pb.Define(hash=hash, blob=blob)), number)
        functions = list(self._definitions)
        for block in plan.blocks:
            if block.delay:
                await asyncio.sleep(block.delay)
            if self.left or job.cancelled:
                return
            first = len(job.items)
            items = [item_of(self.plan.name, number, first + k, block.item_bytes) for k in range(block.count)]
            job.items += items
            # Offsets need not begin at zero: a block may be cut from a longer one.
            base = first % 3
            ends, payload = packed(items, base)
            message = pb.Block(
                job=number,
                first=first,
                base=base,
                ends=ends,
                payload=payload,
                function=functions[block.function],
                call=pb.CALL_ITEM,
            )
            self.dialer.send(pb.Body(block=message), number)
        self.dialer.send(pb.Body(seal_job=pb.SealJob(job=number, total=len(job.items))), number)
        job.complete = True
        self._look()

    async def _cancel(self, job: JobView, plan: CancelPlan) -> None:
        await asyncio.sleep(plan.delay)
        if self.left or job.is_over:
            return
        message = pb.Cancel(job=job.number, spare_running=plan.spare_running)
        if plan.spans is None:
            job.cancelled = True
        else:
            for lo, hi in SpanSet((lo, min(hi, len(job.items))) for lo, hi in plan.spans):
                message.ranges.add(lo=lo, hi=hi)
                job.cancel_asked.update(range(lo, hi))
            if not message.ranges:
                return
            job.cancels_sent.append([(span.lo, span.hi) for span in message.ranges])
        self.dialer.send(pb.Body(cancel=message), job.number)
        self._look()

    async def _leave(self, at: float) -> None:
        await asyncio.sleep(at)
        self.left = True
        self._look()
        self.dialer.leave("the client was closed")
        await self.dialer.flush(1.0)
        await self.dialer.close()
        self.is_closed = True

    async def leave(self) -> None:
        """At the very end, as its party."""
        await self._leave(0.0)

    def kill(self, *, silently: bool = False) -> None:
        """It is gone without a goodbye; `silently`: and so is its host."""
        self.left = self.is_closed = True
        self.party.kill()
        if silently:
            self._network.host_ended(self.plan.name)
        else:
            self._network.process_ended(self.plan.name)
        self._look()

    async def _read(self, job: JobView) -> None:
        await asyncio.sleep(READ_DELAY)
        job.reads = False
        while (outcome := job.outcomes.get(job.read_count)) is not None:
            if outcome == "succeeded":
                job.read_bytes += len(result_of(job.items[job.read_count]))
            job.read_count += 1
        if not self.left:
            self.dialer.send(pb.Body(consumed=pb.Consumed(job=job.number, bytes=job.read_bytes)))

    # ------------------------------------------------------------ what it gets

    def _on_welcome(self, welcome: pb.Welcome) -> None:
        if welcome.epoch != self._epoch:
            self._epoch = welcome.epoch
            for job in self.jobs.values():
                job.told.clear()

    def _on_session_lost(self, reason: str, known: bool) -> None:
        if self.left:
            return  # its goodbye was heard, and the answer lost
        if not known and not self._world.scenario.journal:
            self.is_lost = True  # the client fails all that it had submitted
            self._look()
            return
        with self._world.guard():
            raise Violation(f"{self.plan.name} has lost its session: {reason}")

    def _on_bodies(self, bodies: Sequence[pb.Body]) -> None:
        with self._world.guard():
            for body in bodies:
                self._on_body(body)
            self._look()

    def _on_body(self, body: pb.Body) -> None:
        match body.WhichOneof("kind"):
            case "results":
                message = body.results
                job = self.jobs[message.job]
                for index, result in items_of(message.first, message.base, message.ends, message.payload).items():
                    if result != result_of(job.items[index]):
                        raise self._violation(job, index, f"got the result {result[:40]!r}")
                    self._end(job, index, "succeeded")
            case "failure":
                message = body.failure
                job, index = self.jobs[message.job], message.index
                if message.kind == pb.Failure.KIND_EXCEPTION and message.payload != error_of(job.items[index]):
                    raise self._violation(job, index, f"got the error {message.payload!r}")
                for each in range(index, message.end or index + 1):
                    self._end(job, each, FAILURES[message.kind])
            case "cancelled":
                job = self.jobs[body.cancelled.job]
                for span in body.cancelled.ranges:
                    for index in range(span.lo, span.hi):
                        if index not in job.cancel_asked:
                            raise self._violation(job, index, "cancelled unasked")
                        self._end(job, index, "cancelled")
            case "want":
                for hash in body.want.hashes:
                    self.dialer.send(pb.Body(define=pb.Define(hash=hash, blob=self._definitions[hash])))
            case "cluster":
                pass
            case kind:
                raise Violation(f"a master does not send {kind} to an honest client")

    def _end(self, job: JobView, index: int, outcome: str) -> None:
        if index in job.told:
            raise self._violation(job, index, f"{outcome} after it had {job.outcomes[index]}")
        job.told.add(index)
        if index in job.outcomes:
            self.told_again += 1
            return
        job.outcomes[index] = outcome
        job.finished_at = asyncio.get_running_loop().time()
        if job.plan.options.metered and not job.reads:
            job.reads = True
            self._world.spawn(self._read(job))

    def _violation(self, job: JobView, index: int, sentence: str) -> Violation:
        for number, (client, theirs, _) in self._world.plans.items():
            if (client, theirs) == (self.plan.name, job.number):
                return Violation(f"client {client}: {sentence}", number, index)
        return Violation(f"client {self.plan.name}, its job {job.number}, task {index}: {sentence}")

    def _look(self) -> None:
        if not self.finished.is_set() and (self.left or self.is_lost or all(job.is_over for job in self.jobs.values())):
            self.finished_at = asyncio.get_running_loop().time()
            self.finished.set()

    def promises(self) -> dict[tuple[str, int], JobPromise]:
        """What has been acknowledged, of jobs of which anything has."""
        if self.left:
            return {}
        promises = {job.number: self._everything(job) for job in self.jobs.values() if job.is_open}
        for body in self.dialer._session.unacknowledged():
            match body.WhichOneof("kind"):
                case "open_job":
                    del promises[body.open_job.job]
                case "block" if (promise := promises.get(body.block.job)) is not None:
                    promise.count = min(promise.count, body.block.first)
                case "seal_job" if (promise := promises.get(body.seal_job.job)) is not None:
                    promise.sealed = False
                case "cancel" if (promise := promises.get(body.cancel.job)) is not None:
                    if body.cancel.ranges:
                        del promise.cancels[-len(body.cancel.ranges) :]
                    else:
                        promise.cancelled = False
        return {(self.plan.name, number): promise for number, promise in promises.items()}

    @staticmethod
    def _everything(job: JobView) -> JobPromise:
        cancels = [span for spans in job.cancels_sent for span in spans]
        return JobPromise(len(job.items), job.complete, cancels, job.cancelled, job.outcomes)

    def check_rest(self, max_crashes: int) -> None:
        """Every task came to what its fate says."""
        if self.left or self.is_lost:
            return
        for job in self.jobs.values():
            if job.cancelled:
                continue
            for index, fate in enumerate(job.plan.fates):
                outcome = job.outcomes.get(index)
                expected = "succeeded"
                if fate.crashes >= max_crashes:
                    expected = "crashed"
                elif fate.failures and (fate.final or fate.failures > job.plan.options.retry.retries):
                    expected = "failed"
                if outcome == expected:
                    continue
                if outcome == "timed out" and (job.plan.options.total_timeout or job.plan.options.queue_timeout):
                    continue
                if outcome == "refused" and self._world.may_refuse:
                    continue
                # What a restarted master has forgotten comes again, as does what happens to two attempts at once.
                records = self._world.records(self.plan.name, job.number, index)
                crashes = sum(record.crashed + record.losses_ever for record in records)
                failures = sum(record.failed for record in records)
                if outcome == "crashed" and crashes >= max_crashes:
                    continue
                if outcome == "failed" and failures > job.plan.options.retry.retries:
                    continue
                # A cancelled task may end as ever, or fail where it would have been tried again.
                if index not in job.cancel_asked or (outcome != "cancelled" and not fate.failures):
                    raise self._violation(job, index, f"came to {outcome}, should have {expected}")
