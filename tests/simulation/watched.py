"""The shipped scheduler and engine, with the ledger looking over their shoulders."""

from __future__ import annotations

from collections.abc import Sequence

from tests.simulation.story import Violation
from tests.simulation.world import World

from manyhands.master import commands as cmd
from manyhands.master import events as ev
from manyhands.master.engine import Engine
from manyhands.master.limits import OTHERS
from manyhands.master.peers import Peer
from manyhands.master.scheduler import Scheduler
from manyhands.protos import manyhands_pb2 as pb


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
            if isinstance(event, ev.JobOpened | ev.JobRecovered):
                self._note_job(event.job)
            if isinstance(event, ev.JobRecovered):
                self._world.survival.recovered(event, now)
            else:
                self._world.ledger.event(event, now)
            commands = self._checked(self._scheduler.handle(event, now), now)
            if isinstance(event, ev.CancelRequested):
                self._world.ledger.check_cancelled(event)
            return commands

    def plan(self, now: float) -> list[cmd.Command]:
        with self._world.guard():
            commands = self._checked(self._scheduler.plan(now), now)
            self._world.ledger.check_times(now)
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
        assert record.client is not None
        plans = {client.name: client.jobs for client in self._world.scenario.clients}
        self._world.plans[job] = record.client.name, record.number, plans[record.client.name][record.number - 1]


class WatchedEngine:
    """The shipped engine as the sessions see it; what it raises, and protocol faults, end the simulation."""

    def __init__(self, engine: Engine, world: World) -> None:
        self._engine = engine
        self._world = world

    def joined(self, peer: Peer) -> None:
        self._world.ledger.names[peer.number] = peer.name
        with self._world.guard():
            self._engine.joined(peer)

    def left(self, peer: Peer, reason: str) -> None:
        if self._world.is_over:
            return
        with self._world.guard():
            if "fault" in reason or "error" in reason:
                raise Violation(f"{peer} was thrown out: {reason}")
            self._engine.left(peer, reason)

    def received(self, peer: Peer, bodies: Sequence[pb.Body]) -> None:
        with self._world.guard():
            self._engine.received(peer, bodies)
            if self._world.is_check_due():
                peer.session.check_invariants()
                self._check_counted()

    def _check_counted(self) -> None:
        """What counts for clients is what is here: blocks with open tasks, and those that wait for definitions."""
        engine = self._engine
        engine.ledger.check_invariants()
        counted = engine.ledger._jobs
        if set(counted) != set(engine.records):
            raise Violation(f"jobs {set(counted) ^ set(engine.records)} count, or are here, but not both")
        for job in engine.scheduler.jobs:
            here = {block.first for block in job.blocks._blocks if block is not None}
            inbox = (waiting.body for waiting in engine.records[job.number].inbox)
            here |= {body.block.first for body in inbox if body.HasField("block")}
            if set(counted[job.number][1]) - {OTHERS} != here:
                raise Violation(f"blocks at {set(counted[job.number][1]) ^ here} count, or are here, but not both")
