"""A simulated worker: the shipped agent's core and dialer, on simulated links and slots."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from tests.simulation.ledger import reported
from tests.simulation.network import Network
from tests.simulation.party import Party
from tests.simulation.scenario import Fate, WorkerPlan
from tests.simulation.simulated_slot import SimulatedSlot, Turn
from tests.simulation.story import Violation
from tests.simulation.world import World

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.dialer import Dialer
from manyhands.wire.spans import SpanSet
from manyhands.worker.commands import (
    Command,
    Complain,
    DropData,
    DropUnreported,
    Feed,
    Interrupt,
    Kill,
    Measure,
    Send,
    SendCut,
    SendDefinition,
    SetLimit,
    Spawn,
    Transfer,
)
from manyhands.worker.core import AgentCore
from manyhands.worker.reporting import REPORTS
from manyhands.worker.reports import Report
from manyhands.worker.slot_state import Sight

#: Reports kept for a later session.
LATE_BODIES = 20

UNSEEN = Sight(0, busy=False, since=0.0)


class SimulatedWorker:
    """See `worker/agent.py`, whose place this takes: there real processes, here simulated ones. Build it as its party,
    whose name it has: another each time, also where one takes another's place.
    """

    def __init__(self, plan: WorkerPlan, world: World, network: Network, party: Party) -> None:
        self.plan = plan
        self.name = party.name
        self.party = party
        self._world = world
        self._network = network
        self._loop = asyncio.get_running_loop()
        self._slots: list[SimulatedSlot | None] = [None] * plan.slots
        self._last_sight = [UNSEEN] * plan.slots
        self.core = AgentCore(plan.slots, self._look, lambda _: False, name=self.name)
        self.dialer = Dialer(
            network.opener(plan.name),
            lambda: world.hello(pb.ROLE_WORKER, self.name, plan.slots),
            self._on_bodies,
            lambda _: None,
            self._on_session_lost,
            carry=REPORTS,
            jitter=network.jitter,
        )
        self._recent: deque[pb.Body] = deque(maxlen=LATE_BODIES)
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._known: dict[int, set[bytes]] = {}
        self.gone = False
        self._drained: asyncio.Event | None = None
        self._do(self.core.start(self._loop.time()))
        world.spawn(self.dialer.run())

    # ------------------------------------------------------------ its end

    async def leave(self, drain_timeout: float) -> None:
        """As its party: finish what runs and say goodbye: see Agent.drain and Agent.stop."""
        if self.core.has_work:
            self._drained = asyncio.Event()
            with self._world.guard():
                self._do(self.core.drain(self._loop.time()))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._drained.wait(), drain_timeout)
        if self.gone:
            return
        self.dialer.leave("the worker was stopped")
        if self.dialer.is_connected and await self.dialer.flush(1.0):
            self._world.ledger.left.add(self.name)
        self.gone = True
        self._world.ledger.unheard.pop(self.name, None)
        for slot in self._slots:
            if slot is not None:
                slot.stop()
        if self._timer is not None:
            self._timer.cancel()
        await self.dialer.close()

    def kill(self, *, silently: bool = False) -> None:
        """The whole worker is gone, unsent words and all; `silently`: and so is its host."""
        self.gone = True
        self._world.ledger.unheard.pop(self.name, None)
        self.party.kill()
        if silently:
            self._network.host_ended(self.plan.name)
        else:
            self._network.process_ended(self.plan.name)

    def unacknowledged(self) -> set[tuple[int, int]]:
        """What it has reported and the master has not acknowledged, as (lease, task)."""
        reports: set[tuple[int, int]] = set()
        for body in self.dialer._session.unacknowledged():
            reports |= reported(body)
        return reports

    def unrest(self) -> str | None:
        """What it still does or holds."""
        if any(slot is not None and slot.is_busy for slot in self._slots):
            return "a slot is busy"
        if self.core.outstanding or self.core.unstarted:
            return f"{self.core.outstanding} tasks in slots and {self.core.unstarted} in the queue"
        return None if not self.dialer.pending_bytes else f"{self.dialer.pending_bytes} bytes are unacknowledged"

    # ------------------------------------------------------------ what happens

    def _look(self, number: int) -> Sight:
        slot = self._slots[number]
        return self._last_sight[number] if slot is None else slot.sight()

    def _on_bodies(self, bodies: Sequence[pb.Body]) -> None:
        with self._world.guard():
            self._do(self.core.received(bodies, self._loop.time()))

    def _on_session_lost(self, reason: str, known: bool) -> None:
        with self._world.guard():
            self._world.story.tell("%s has lost its session: %s", self.name, reason)
            if "does not know this session" not in reason:
                raise Violation(f"{self.name} met a protocol fault: {reason}")
            if self.plan.late_results:  # old ones, too: the master may have had them before
                for body in self._recent:
                    self.dialer.send(body)
            self._recent.clear()
            if not known:
                self._world.ledger.unheard.pop(self.name, None)
            now = self._loop.time()
            self._do(self.core.reattach(now) if known else self.core.reset(now))

    def _on_reports(self, number: int, slot: SimulatedSlot, reports: list[Report]) -> None:
        if self.gone or self._slots[number] is not slot:
            return
        with self._world.guard():
            self._do(self.core.reported(number, reports, self._loop.time()))

    def _on_death(self, number: int, slot: SimulatedSlot, exit_code: int) -> None:
        # After what it wrote, which is on its way in the same manner.
        self._loop.call_soon(self._bury, number, slot, exit_code)

    def _bury(self, number: int, slot: SimulatedSlot, exit_code: int) -> None:
        if self.gone or self._slots[number] is not slot:
            return
        with self._world.guard():
            self._world.story.tell("%s: slot %d dies", self.name, number)
            for job, index in slot.unsent_tasks:
                self._world.ledger.forget_start(job, index)
            self._last_sight[number] = slot.sight()
            self._slots[number] = None
            self._do(self.core.died(number, exit_code, "last words", self._loop.time()))

    def _interrupt(self, number: int, slot: SimulatedSlot | None, position: int) -> None:
        if self.gone or slot is None or self._slots[number] is not slot:
            return
        with self._world.guard():
            slot.interrupt(position)

    def _on_timer(self) -> None:
        self._timer = None
        with self._world.guard():
            self._do(self.core.tick(self._loop.time()))

    def _run(self, feed: Feed, index: int, item: bytes) -> tuple[Fate, Turn]:
        """A slot starts a task."""
        with self._world.guard():
            lease = feed.piece.lease
            fate, turn = self._world.begin_task(self.name, lease, index, feed.piece.attempt, item)
            if self.plan.slowness != 1.0:
                fate = replace(fate, seconds=fate.seconds * self.plan.slowness)
            return fate, turn

    # ------------------------------------------------------------ what is decided

    def _do(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Send(body):
                    if self.plan.late_results and not (body.HasField("returned") or body.HasField("held")):
                        self._recent.append(body)
                    self._world.ledger.reports(self.name, body)
                    if body.HasField("held"):
                        self._check_held(body.held)
                    self.dialer.send(body)
                case Spawn(number):
                    self._spawn(number)
                case SetLimit(number, limit):
                    if (slot := self._slots[number]) is not None:
                        slot.set_limit(limit)
                    self.core.limit_set(number, limit, self._loop.time())
                case SendDefinition(number, hash):
                    self._known[number].add(hash)
                case Feed() | SendCut():
                    slot = self._slots[command.slot]
                    assert slot is not None
                    if isinstance(command, Feed):
                        missing = set(command.piece.needs) - self._known[command.slot]
                        assert not missing, "fed without its definition"
                    slot.write(command)
                case Interrupt(number, position):
                    # A signal arrives in its own time.
                    self._loop.call_soon(self._interrupt, number, self._slots[number], position)
                case Measure() | Transfer() | DropData():
                    raise AssertionError("no job of the simulation has a limit of memory, or data")
                case DropUnreported():
                    pass  # there is nothing
                case Kill(number):
                    self._world.story.tell("%s kills slot %d", self.name, number)
                    self._world.ledger.counts["kills"] += 1
                    slot = self._slots[number]
                    assert slot is not None
                    slot.kill(self.core._roster.slots[number].killed)
                case Complain(sentence):
                    self._world.story.tell("%s complains: %s", self.name, sentence)
        if self._world.is_check_due():
            self.core.check_invariants()
        if self._drained is not None:
            if self.core.unstarted:
                raise Violation(f"{self.name} drains, and keeps {self.core.unstarted} tasks that have not started")
            if not self.core.has_work:
                self._drained.set()
        deadline = self.core.next_deadline()
        if deadline is not None and (self._timer is None or deadline < self._timer_at):
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = deadline
            self._timer = self._loop.call_at(deadline, self._on_timer)

    def _check_held(self, held: pb.Held) -> None:
        """What slots run must be among what the master is told."""
        told = {each.lease: SpanSet((span.lo, span.hi) for span in each.ranges) for each in held.leases}
        for slot in self._slots:
            if slot is not None and (running := slot.running_task) is not None:
                lease, index = running
                if not lease.dead and index not in told.get(lease.number, ()):
                    raise Violation(f"{self.name} runs it and does not say so", lease.job, index)

    def _spawn(self, number: int) -> None:
        self._known[number] = set()
        slot = SimulatedSlot(
            self._run,
            lambda reports: self._on_reports(number, slot, reports),
            lambda exit_code: self._on_death(number, slot, exit_code),
            self.plan.late_words,
        )
        self._slots[number] = slot
