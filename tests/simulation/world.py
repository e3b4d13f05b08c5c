"""What all parts of a simulation share: the story, the ledger, the first failure, the fates of tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from functools import cache

from tests.simulation.items import item_of
from tests.simulation.ledger import Ledger
from tests.simulation.party import Party
from tests.simulation.records import TaskRecord
from tests.simulation.scenario import Fate, JobPlan, Scenario
from tests.simulation.simulated_slot import Turn
from tests.simulation.story import Story, Violation
from tests.simulation.survival import Survival

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.handshake import make_hello
from manyhands.worker.pieces import Lease


class _Guard:
    def __init__(self, fail: Callable[[BaseException], None]) -> None:
        self._fail = fail

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if error is not None and not isinstance(error, asyncio.CancelledError):
            self._fail(error)


class World:
    """Lives inside the running loop."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self._loop = asyncio.get_running_loop()
        #: Nobody's: for what happens to parties from outside.
        self.context = copy_context()
        self.story = Story(self._loop.time)
        self.ledger = Ledger(self.story, scenario.config.scheduler.max_crashes)
        #: Resolves with the first thing that went wrong.
        self.failed: asyncio.Future[BaseException] = self._loop.create_future()
        self._guard = _Guard(self.fail)
        #: The master's numbers for the jobs -> whose they are.
        self.plans: dict[int, tuple[str, int, JobPlan]] = {}
        #: There was no room for new work at some time.
        self.may_refuse = False
        self.survival = Survival(self.story, self.ledger, self.plans)
        self._runners: set[asyncio.Task[None]] = set()
        self._checks = 0
        self.is_over = False
        self._parties: list[Party] = []

    def is_check_due(self) -> bool:
        """Whether invariants are to be checked now: at every so many events."""
        self._checks += 1
        return self._checks % self.scenario.check_every == 0

    def fail(self, error: BaseException) -> None:
        """The first failure counts; others may be its consequences."""
        if not self.failed.done():
            self.failed.set_result(error)

    def guard(self) -> _Guard:
        """What is raised inside ends the simulation, whoever may catch it on the way."""
        return self._guard

    def spawn(self, runner: Coroutine[object, object, None], party: Party | None = None) -> asyncio.Task[None]:
        """Run something beside, as the current party or another; its failure is the simulation's."""
        running = self._loop.create_task(runner, context=party.context if party is not None else None)
        self._runners.add(running)
        running.add_done_callback(self._ended)
        return running

    def _ended(self, runner: asyncio.Task[None]) -> None:
        self._runners.discard(runner)
        if not runner.cancelled() and (error := runner.exception()) is not None:
            self.fail(error)

    def begin_party(self, name: str) -> Party:
        """A process begins."""
        party = Party(name)
        self._parties.append(party)
        return party

    async def stop(self) -> None:
        """End everything that runs beside; what is done on the way is of no account."""
        self.is_over = True
        for party in self._parties:
            if party.is_dead:
                party.bury()
                self._runners.difference_update(party.runners)
            else:
                party.go_on()
        runners = list(self._runners)
        for runner in runners:
            runner.cancel()
        await asyncio.gather(*runners, return_exceptions=True)

    def begin_task(self, worker: str, lease: Lease, index: int, attempt: int, item: bytes) -> tuple[Fate, Turn]:
        """A slot starts a task: how long it takes, and what it comes to this time."""
        job = lease.job
        client, number, plan = self.plans[job]
        record = self.ledger.starts(worker, lease.number, job, index, attempt)
        if item != item_of(client, number, index, len(item)):
            raise Violation(f"was given the item {item[:40]!r}", job, index)
        fate = plan.fates[index]
        # By what the master has counted, not by how often it ran: what is lost was never heard of.
        if record.crashes < fate.crashes:
            record.crashed += 1
            return fate, "crashes"
        if record.failures < fate.failures:
            record.failed += 1
            return fate, "fails finally" if fate.final else "fails"
        return fate, "succeeds"

    def records(self, client: str, number: int, index: int) -> list[TaskRecord]:
        """A client's task, once for each number that the master had for its job."""
        jobs = [job for job, (theirs, its, _) in self.plans.items() if (theirs, its) == (client, number)]
        tasks = [self.ledger.jobs[job].tasks for job in jobs]
        return [each[index] for each in tasks if index < len(each)]

    def hello(self, role: pb.Role, name: str, slots: int = 0) -> pb.Hello:
        """As `make_hello`, without asking this process's surroundings a thousand times."""
        hello = pb.Hello()
        hello.CopyFrom(_hello())
        hello.role, hello.name, hello.slots = role, name, slots
        return hello


@cache
def _hello() -> pb.Hello:
    hello = make_hello(pb.ROLE_WORKER)
    hello.libraries.clear()  # the master would look up its own to compare them
    return hello
