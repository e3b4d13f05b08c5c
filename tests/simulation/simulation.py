"""The simulation: one scenario's whole life on virtual time, around the shipped sessions, engine and scheduler."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tests.simulation.network import Network
from tests.simulation.scenario import FaultPlan, Scenario, WorkerPlan
from tests.simulation.simulated_client import SimulatedClient
from tests.simulation.simulated_worker import SimulatedWorker
from tests.simulation.story import Violation
from tests.simulation.virtual_loop import VirtualLoop
from tests.simulation.world import World

from manyhands.master import commands as cmd
from manyhands.master import events as ev
from manyhands.master.engine import Engine
from manyhands.master.scheduler import Scheduler
from manyhands.master.sessions import Peer, Sessions
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.links import Link

#: Virtual seconds after the last outcome within which everything must have come to rest.
REST_LIMIT = 120.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to. `seconds`: virtual, from the first worker's start to the last task's end; `finished`: the
    same for each job, by its client's name and number.
    """

    seconds: float
    finished: dict[tuple[str, int], float]
    digest: str
    counts: dict[str, int]


class SimulationFailed(AssertionError):
    """A property did not hold; the text tells the seed, the story and how to see it again."""


class WatchedScheduler:
    """The shipped scheduler between two looks of the ledger. Everything else is the scheduler's own."""

    def __init__(self, scheduler: Scheduler, world: World, engine: Engine) -> None:
        self._scheduler = scheduler
        self._world = world
        self._engine = engine

    def __getattr__(self, name: str) -> object:
        return getattr(self._scheduler, name)

    def handle(self, event: ev.Event, now: float) -> list[cmd.Command]:
        with self._world.guard():
            if isinstance(event, ev.JobOpened):
                self._note_job(event.job)
            self._world.ledger.event(event, now)
            commands = self._checked(self._scheduler.handle(event, now), now)
            if isinstance(event, ev.CancelRequested):
                self._world.ledger.check_cancelled(event)
            return commands

    def plan(self, now: float) -> list[cmd.Command]:
        with self._world.guard():
            commands = self._checked(self._scheduler.plan(now), now)
            if self._world.is_check_due():
                self._check_quiescence()
            return commands

    def _checked(self, commands: list[cmd.Command], now: float) -> list[cmd.Command]:
        self._world.ledger.commands(commands, now)
        if self._world.is_check_due():
            self._scheduler.check_invariants()
        return commands

    def _check_quiescence(self) -> None:
        """After a plan nobody idles while there is something to do."""
        scheduler = self._scheduler
        # One that drains takes nothing, and gives back what it has by itself.
        workers = [worker for worker in scheduler.workers.values() if not worker.draining]
        if not any(worker.free_slots for worker in workers):
            return
        if scheduler._pool.fair:
            raise Violation("a slot idles while a job waits for one")
        if any(worker.staged for worker in workers):
            raise Violation("a slot idles while work is set aside")
        waits = scheduler.next_deadline() is not None or any(worker.revokes for worker in workers)
        if any(worker.unstarted for worker in workers) and not waits:
            raise Violation("a slot idles, work is held elsewhere unstarted, and nobody will look again")

    def _note_job(self, job: int) -> None:
        record = self._engine.records[job]
        plans = {client.name: client.jobs for client in self._world.scenario.clients}
        self._world.plans[job] = record.client.name, record.number, plans[record.client.name][record.number - 1]


class WatchedEngine:
    """The shipped engine as the sessions see it; what it raises, and protocol faults, end the simulation."""

    def __init__(self, engine: Engine, world: World) -> None:
        self._engine = engine
        self._world = world
        self.peers: list[Peer] = []

    def joined(self, peer: Peer) -> None:
        self.peers.append(peer)
        with self._world.guard():
            self._engine.joined(peer)

    def left(self, peer: Peer, reason: str) -> None:
        self.peers.remove(peer)
        with self._world.guard():
            if "fault" in reason or "error" in reason:
                raise Violation(f"{peer} was thrown out: {reason}")
            self._engine.left(peer, reason)

    def received(self, peer: Peer, bodies: Sequence[pb.Body]) -> None:
        with self._world.guard():
            self._engine.received(peer, bodies)
            if self._world.is_check_due():
                peer.session.check_invariants()


class Simulation:
    """Build it inside the running loop."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.world = world = World(scenario)
        self._loop = asyncio.get_running_loop()
        self._sessions = Sessions(scenario.config, epoch=1, cluster=b"simulated")
        rng = Random(scenario.seed)
        self.engine = engine = Engine(scenario.config, rng)
        self.scheduler = engine.scheduler
        engine.scheduler = WatchedScheduler(engine.scheduler, world, engine)
        self._events = self._sessions.events = WatchedEngine(engine, world)
        self._network = Network(scenario.link, Random(rng.random()), self._accept, world.story.tell)
        self.workers: dict[str, SimulatedWorker] = {}
        self.clients: dict[str, SimulatedClient] = {}
        self._begun_at = self._loop.time()

    def _accept(self, link: Link) -> None:
        self.world.spawn(self._sessions.accept(link))

    async def run(self) -> Outcome:
        """Raises what went wrong first."""
        try:
            await self._until_failed(self._live())
        finally:
            await self.world.stop()
        finished_at = max(client.finished_at for client in self.clients.values())
        finished = {
            (client.plan.name, job.number): job.finished_at - self._begun_at
            for client in self.clients.values()
            for job in client.jobs.values()
        }
        return Outcome(finished_at - self._begun_at, finished, self.world.story.digest(), self.world.ledger.counts)

    async def _until_failed(self, living: object) -> None:
        life = self.world.spawn(living)
        failed = self.world.failed
        await asyncio.wait((life, failed), return_when=asyncio.FIRST_COMPLETED)
        if failed.done():
            raise failed.result()
        life.result()

    async def _live(self) -> None:
        for plan in self.scenario.workers:
            if plan.at:
                self._loop.call_later(plan.at, self._join, plan)
            else:
                self._join(plan)
        for client in self.scenario.clients:
            self.clients[client.name] = SimulatedClient(client, self.world, self._network)
        for fault in self.scenario.faults:
            self._loop.call_later(fault.at, self._strike, fault)
        try:
            async with asyncio.timeout(self.scenario.limit):
                for client in self.clients.values():
                    await client.finished.wait()
        except TimeoutError:
            self._complain_of_hang()
        await self._rest()

    def _join(self, plan: WorkerPlan) -> None:
        self.workers[plan.name] = SimulatedWorker(plan, self.world, self._network)

    def _strike(self, fault: FaultPlan) -> None:
        self.world.story.tell("fault: %s", fault)
        worker = self.workers.get(fault.name)
        match fault.kind:
            case "break":
                self._network.break_link(fault.name)
            case "partition":
                self._network.partition(fault.name, fault.seconds)
            case "mute":
                self._network.mute(fault.name)
            case "kill" if worker is not None and not worker.gone:
                self.world.spawn(worker.kill())
            case "leave" if worker is not None and not worker.gone:
                self.world.spawn(worker.leave(fault.seconds))

    def _complain_of_hang(self) -> None:
        for client in self.clients.values():
            for job in client.jobs.values():
                for index in range(len(job.plan.fates)):
                    if not client.left and not job.cancelled and index not in job.outcomes:
                        raise client._violation(job, index, f"no end within {self.scenario.limit} s")
        raise Violation("some client does not finish")

    # ------------------------------------------------------------ the end

    async def _rest(self) -> None:
        self._network.mend()
        until = self._loop.time() + REST_LIMIT
        while (unrest := self._unrest()) is not None:
            if self._loop.time() > until:
                raise Violation(f"no rest {REST_LIMIT} s after the end: {unrest}")
            await asyncio.sleep(0.25)
        self._check_rest()

    def _unrest(self) -> str | None:
        """What keeps the world from rest, if anything."""
        present = sum(worker.plan.slots for worker in self.workers.values() if not worker.gone)
        if self.scheduler.slots != present:
            return f"the master counts {self.scheduler.slots} slots, there are {present}"
        for worker in self.workers.values():
            if not worker.gone and (unrest := worker.unrest()) is not None:
                return f"{worker.plan.name}: {unrest}"
        for peer in self._events.peers:
            if not peer.session.is_idle:
                return f"{peer} has not acknowledged everything"
            if peer.pump is None:
                return f"{peer} is not connected"
        for client in self.clients.values():
            if not client.left and client.dialer.pending_bytes:
                return f"{client.plan.name} waits for acknowledgements"
        if self.scheduler.next_deadline() is not None:
            return "the scheduler waits for a deadline"
        return None

    def _check_rest(self) -> None:
        self.world.ledger.check_rest()
        for client in self.clients.values():
            client.check_rest(self.scenario.config.scheduler.max_crashes)
        self.scheduler.check_invariants()
        if list(self.scheduler.jobs) or self.engine.records:
            raise Violation("the master holds a job at rest")
        for number, worker in self.scheduler.workers.items():
            if worker.free_slots != worker.slots or worker.leases or worker.deque or worker.revokes:
                raise Violation(f"worker {number} is not free at rest: {worker.leases} {worker.deque} {worker.revokes}")
        for peer in self._events.peers:
            peer.session.check_invariants()


class _ErrorsFail(logging.Handler):
    """An error that the master only logs ends the simulation as well."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.ERROR)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._world.fail(error or Violation(record.getMessage()))


def simulate(scenario: Scenario) -> Outcome:
    """Run a scenario. Raises SimulationFailed."""
    loop = VirtualLoop()
    state = random.getstate()
    random.seed(scenario.seed)  # the dialer's jitter
    log = logging.getLogger("manyhands.master")
    propagates, log.propagate = log.propagate, False
    simulation: Simulation | None = None
    handler: logging.Handler | None = None

    async def main() -> Outcome:
        nonlocal simulation, handler
        simulation = Simulation(scenario)
        world = simulation.world
        handler = _ErrorsFail(world)
        log.addHandler(handler)
        loop.set_exception_handler(lambda _, context: world.fail(context.get("exception") or Violation(str(context))))
        return await simulation.run()

    try:
        return loop.run_until_complete(main())
    except Exception as error:
        raise SimulationFailed(_report(scenario, simulation, error)) from error
    finally:
        if handler is not None:
            log.removeHandler(handler)
        log.propagate = propagates
        random.setstate(state)
        loop.close()


def _report(scenario: Scenario, simulation: Simulation | None, error: Exception) -> str:
    lines = [f"seed {scenario.seed}: {type(error).__name__}: {error}"]
    if simulation is not None:
        story = simulation.world.story
        if isinstance(error, Violation) and error.job is not None and error.index is not None:
            client, number, _ = simulation.world.plans[error.job]
            lines.append(f"The story of task {error.index} of job {error.job} (client {client}, its job {number}):")
            lines += story.about(error.job, error.index)
        lines += ["The last events:", *story.last(40)]
    if scenario.command:
        lines.append(f"Again: {scenario.command}")
    return "\n".join(lines)
