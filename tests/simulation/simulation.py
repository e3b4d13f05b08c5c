"""The simulation: one scenario's whole life on virtual time, around the shipped sessions, engine and scheduler."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from random import Random
from unittest.mock import patch

from tests.simulation.network import Network
from tests.simulation.party import Party
from tests.simulation.scenario import FaultPlan, Scenario, WorkerPlan
from tests.simulation.simulated_client import SimulatedClient
from tests.simulation.simulated_master import SimulatedMaster
from tests.simulation.simulated_worker import SimulatedWorker
from tests.simulation.story import Violation
from tests.simulation.survival import JobPromise, Promises
from tests.simulation.virtual_loop import VirtualLoop
from tests.simulation.world import World

from manyhands.master import journal

#: Virtual seconds after the last outcome within which everything must have come to rest.
REST_LIMIT = 600.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to. `seconds`: virtual, from the first worker's start to the last task's end; `finished`: the
    same for each job, by its client's name and number.
    """

    seconds: float
    finished: dict[tuple[str, int], float]
    digest: str
    counts: dict[str, int]
    faults: dict[str, int]


class SimulationFailed(AssertionError):
    """A property did not hold; the text tells the seed, the story and how to see it again."""


class Simulation:
    """Build it inside the running loop."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.world = world = World(scenario)
        self._loop = asyncio.get_running_loop()
        self.workers: dict[str, SimulatedWorker] = {}
        self.clients: dict[str, SimulatedClient] = {}
        self._network = Network(scenario.link, Random(scenario.seed), world.story.tell)
        self._network.jitter = Random(scenario.seed)
        self.master = SimulatedMaster(scenario, world, self._network, self._promises)
        #: What went wrong, by kind.
        self.faults: dict[str, int] = {}
        self._begun_at = self._loop.time()
        self._last_fault_at = 0.0
        self._incarnations: dict[str, int] = {}

    def _promises(self) -> Promises:
        jobs: dict[tuple[str, int], JobPromise] = {}
        for client in self.clients.values():
            jobs |= client.promises()
        living = [worker for worker in self.workers.values() if not worker.gone]
        return Promises(jobs, {worker.name: worker.unacknowledged() for worker in living})

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
        counts = self.world.ledger.counts | {
            "lives": self.master.lives,
            "replays": self.master.replays,
            "told again": sum(client.told_again for client in self.clients.values()),
        }
        return Outcome(finished_at - self._begun_at, finished, self.world.story.digest(), counts, self.faults)

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
            party = self.world.begin_party(client.name)
            self.clients[client.name] = party.run(SimulatedClient, client, self.world, self._network, party)
        for fault in self.scenario.faults:
            self._loop.call_later(fault.at, self._strike, fault)
            self._last_fault_at = self._loop.time() + fault.at
        try:
            async with asyncio.timeout(self.scenario.limit):
                for client in self.clients.values():
                    await client.finished.wait()
                await asyncio.sleep(self._last_fault_at - self._loop.time())
        except TimeoutError:
            self._complain_of_hang()
        await self._rest()

    def _join(self, plan: WorkerPlan) -> None:
        number = self._incarnations[plan.name] = self._incarnations.get(plan.name, 0) + 1
        party = self.world.begin_party(plan.name if number == 1 else f"{plan.name}.{number}")
        self.workers[plan.name] = party.run(SimulatedWorker, plan, self.world, self._network, party)

    def _strike(self, fault: FaultPlan) -> None:
        world, network, master = self.world, self._network, self.master
        world.story.tell("fault: %s", fault)
        name, seconds = fault.name, fault.seconds
        worker = self.workers.get(name)
        if worker is not None and worker.gone:
            worker = None
        match fault.kind:
            case "break":
                network.break_link(name)
            case "partition":
                network.partition(name, seconds)
            case "mute":
                network.mute(name)
            case "stall":
                network.stall(name, seconds)
            case "kill" if worker is not None:
                worker.kill()
            case "leave" if worker is not None:
                world.spawn(worker.leave(seconds), worker.party)
            case "restart" if worker is not None:
                worker.kill()
                self._loop.call_later(seconds, self._join, worker.plan)
            case "client dies" if not self.clients[name].left:
                self.clients[name].kill()
            case "crash" if master.party is not None:
                master.crash_at(fault.moment, seconds)
            case "power" if name == "master" and master.party is not None:
                master.crash(seconds, silently=True)
            case "power" if worker is not None:
                worker.kill(silently=True)
            case "power" if name in self.clients and not self.clients[name].left:
                self.clients[name].kill(silently=True)
            case "stop":
                self._stop(self._party_of(name), seconds)
            case "disk full" if master.disk is not None:
                world.may_refuse = True
                master.disk.fill(seconds)
            case "disk slow" if master.disk is not None:
                master.disk.slow_down(seconds)
            case "clock" if master.disk is not None:
                world.ledger.clock_was_set = True
                master.disk.set_clock(seconds)
            case _:
                return  # whom it was meant for is gone
        self.faults[fault.kind] = self.faults.get(fault.kind, 0) + 1

    def _party_of(self, name: str) -> Party | None:
        if name == "master":
            return self.master.party
        return self.workers[name].party if name in self.workers else self.clients[name].party

    def _stop(self, party: Party | None, seconds: float) -> None:
        if party is not None:
            party.stop()
            self._loop.call_later(seconds, party.go_on)

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
        if self.master.disk is not None:
            self.master.disk.mend()
        until = self._loop.time() + REST_LIMIT
        while (unrest := self._unrest()) is not None:
            if self._loop.time() > until:
                raise Violation(f"no rest {REST_LIMIT} s after the end: {unrest}")
            await asyncio.sleep(0.25)
        self._check_rest()
        await self._empty()

    def _unrest(self) -> str | None:
        """What keeps the world from rest, if anything."""
        if self.master.party is None:
            return "there is no master"
        present = sum(worker.plan.slots for worker in self.workers.values() if not worker.gone)
        engine, scheduler = self.master.life.engine, self.master.scheduler
        if scheduler.slots != present:
            return f"the master counts {scheduler.slots} slots, there are {present}"
        for worker in self.workers.values():
            if not worker.gone and (unrest := worker.unrest()) is not None:
                return f"{worker.name}: {unrest}"
        for peer in engine.peers.values():
            if not peer.session.is_idle:
                return f"{peer} has not acknowledged everything"
            if peer.pump is None:
                return f"{peer} is not connected"
        for client in self.clients.values():
            if not client.left and client.dialer.pending_bytes:
                return f"{client.plan.name} waits for acknowledgements"
        if scheduler.next_deadline() is not None:
            return "the scheduler waits for a deadline"
        if (disk := self.master.disk) is not None and (rows := disk.work_left()):
            return f"the journal holds {rows}"
        return None

    def _check_rest(self) -> None:
        self.world.ledger.check_rest()
        for client in self.clients.values():
            client.check_rest(self.scenario.config.scheduler.max_crashes)
        engine, scheduler = self.master.life.engine, self.master.scheduler
        scheduler.check_invariants()
        if list(scheduler.jobs) or engine.records:
            raise Violation("the master holds a job at rest")
        for number, worker in scheduler.workers.items():
            if worker.free_slots != worker.slots or worker.leases or worker.deque or worker.revokes:
                raise Violation(f"worker {number} is not free at rest: {worker.leases} {worker.deque} {worker.revokes}")
        for peer in engine.peers.values():
            peer.session.check_invariants()

    async def _empty(self) -> None:
        """When all clients have left, the journal has nothing of theirs."""
        disk = self.master.disk
        if disk is None:
            return
        for client in self.clients.values():
            if not client.left:
                self.world.spawn(client.leave(), client.party)
        until = self._loop.time() + REST_LIMIT
        while left := disk.work_left() | disk.row_counts("clients"):
            if self._loop.time() > until:
                raise Violation(f"all clients have left, and the journal holds {left}")
            await asyncio.sleep(0.25)


class _ErrorsFail(logging.Handler):
    """An error that the master only logs ends the simulation as well."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.ERROR)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("nothing more can be written down") and self._world.may_refuse:
            return
        error = record.exc_info[1] if record.exc_info else None
        self._world.fail(error or Violation(record.getMessage()))


def simulate(scenario: Scenario) -> Outcome:
    """Run a scenario. Raises SimulationFailed."""
    loop = VirtualLoop()
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
        with (
            patch("os.urandom", Random(scenario.seed).randbytes),  # the names of sessions
            patch.multiple(journal, DONE_ROWS=scenario.done_rows, SWEEP_AFTER=scenario.sweep_after),
        ):
            return loop.run_until_complete(main())
    except Exception as error:
        raise SimulationFailed(_report(scenario, simulation, error)) from error
    finally:
        if handler is not None:
            log.removeHandler(handler)
        log.propagate = propagates
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
