"""The master's process: the shipped life of a master, begun, stopped, killed and begun again on one disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from random import Random

from tests.simulation.network import Network
from tests.simulation.party import Party
from tests.simulation.replay import check_replay, state_of
from tests.simulation.scenario import Scenario
from tests.simulation.simulated_disk import Moment, SimulatedDisk
from tests.simulation.survival import Promises
from tests.simulation.watched import WatchedEngine, WatchedScheduler
from tests.simulation.world import World

from manyhands.master.journal import Journal
from manyhands.master.life import Life
from manyhands.wire.links import Link


class SimulatedMaster:
    """`life` is the living one, or the last. Without a disk there is only one. `promises` asks everybody."""

    def __init__(self, scenario: Scenario, world: World, network: Network, promises: Callable[[], Promises]) -> None:
        self._scenario = scenario
        self._world = world
        self._network = network
        self._promises = promises
        self._loop = asyncio.get_running_loop()
        rng = Random(scenario.seed)
        self._rng = Random(rng.random())
        self._checks = Random(rng.random())
        self.disk = SimulatedDisk(Random(rng.random()), world.story) if scenario.journal else None
        if self.disk is not None:
            self.disk.on_commit = self._on_commit
        self.party: Party | None = None
        self.life: Life
        self.lives = 0
        #: Comparisons of what the journal holds with what the master knows.
        self.replays = 0
        network.listener = self
        self.begin()

    def begin(self) -> None:
        """A life begins."""
        self.lives += 1
        party = self._world.begin_party(f"master, life {self.lives}")
        with self._world.guard():
            party.run(self._live)
        self.party = party
        self._network.listener_begins()

    def _live(self) -> None:
        world, config, disk = self._world, self._scenario.config, self.disk
        rng = Random(self._rng.random())
        if disk is None:
            self.life = Life(config, rng, self.lives, b"simulated %d" % self.lives)
            self._watch()
            return
        identity, epoch, kept = disk.begin()
        world.story.tell("life %d of the master begins", epoch)
        self.life = Life(config, rng, epoch, identity, Journal(disk, on_broken=world.fail))
        self._watch()
        world.survival.master_begins(kept, self._promises())
        self.life.restore(kept)
        world.survival.master_lives(kept)

    def _watch(self) -> None:
        engine = self.life.engine
        self.scheduler = engine.scheduler
        engine.scheduler = WatchedScheduler(engine.scheduler, self._world, engine)  # type: ignore[assignment]
        self.life.sessions.events = WatchedEngine(engine, self._world)

    def accept(self, link: Link) -> None:
        """As the master's party: somebody dials."""
        self._world.spawn(self.life.sessions.accept(link))

    # ------------------------------------------------------------ what goes wrong

    def crash_at(self, moment: Moment, downtime: float) -> None:
        """Killed now or around the next commit; see `crash`."""
        if moment == "now" or self.disk is None:
            self.crash(downtime)
        else:
            self.disk.crash_at(moment, partial(self.crash, downtime))

    def crash(self, downtime: float, *, silently: bool = False) -> None:
        """Killed at once, or its host is; another life begins after `downtime` seconds."""
        party, self.party = self.party, None
        if party is None:
            return
        self._world.story.tell("the master is killed")
        party.kill()
        self._network.listener_ended(silently=silently)
        with self._world.guard():
            self._world.ledger.master_died()
            if self.disk is None:
                self._world.survival.master_forgot()
            else:
                self.disk.cut_off()
        self._loop.call_later(downtime, self.begin, context=self._world.context)

    # ------------------------------------------------------------ replay equals live state

    def _on_commit(self) -> Callable[[], None] | None:
        if self._checks.random() >= self._scenario.replay_share:
            return None
        state = state_of(self.life)

        def check() -> None:
            self.replays += 1
            assert self.disk is not None
            with self._world.guard():
                clock_was_set = self._world.ledger.clock_was_set
                check_replay(self.disk, self._scenario.config, state, clock_was_set=clock_was_set)

        return check
