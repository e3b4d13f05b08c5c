"""Attacks on a master's life in this very process: its sessions, its engine and its journal, over links in memory.

Nothing but the transports is missing, so most of the volume goes here: hostile clients and workers are served side by
side, everything the scheduler knows of itself is checked again and again, whole clients and workers are served in
between, and the journal is read back as after a crash.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
import time
import traceback
from random import Random
from typing import Any

from tests.fuzz.attack import Attack, Nature
from tests.fuzz.memory_store import LifeStore, MemoryStore
from tests.fuzz.plausible import ITEM
from tests.fuzz.tally import Tally
from tests.support.builders import packed

from manyhands.master.config import MasterConfig
from manyhands.master.journal import Journal
from manyhands.master.life import Life
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.eventloop import loop_factory
from manyhands.wire.handshake import make_hello
from manyhands.wire.links import MemoryLink

#: Sessions at a time, sessions until the next whole client and worker are served, and such rounds until the next life.
AT_ONCE, ROUND, ROUNDS_OF_A_LIFE = 12, 1000, 3

#: Whoever breaks off is not waited for: the next round begins without him.
CONFIG = MasterConfig(
    heartbeat_interval=30.0,
    heartbeat_timeout=90.0,
    reconnect_timeout=0.0,
    client_timeout=0.2,
    client_end_timeout=0.2,
    reattach_timeout=0.0,
)

#: Seconds that a whole job may take.
PROBE_TIMEOUT = 30.0


#: Seconds of the processor that the master may spend on one message: all others wait meanwhile.
STALL = 1.0


class _InProcess(Attack):
    """What is written has been dealt with as soon as the loop has come round."""

    #: The longest that a message took, in seconds of the processor, and which.
    slowest = 0.0, ""

    async def write(self, frame: pb.Frame) -> None:
        begun = time.process_time()
        await super().write(frame)
        took = time.process_time() - begun
        if took > _InProcess.slowest[0]:
            _InProcess.slowest = took, f"{self.seed}: {self.last}"
        if took > STALL:
            self.tally.crashes.append(f"session {self.seed}: the master was busy for {took:.1f} s with {self.last}")

    async def settled(self) -> bool:
        for _ in range(4):
            await asyncio.sleep(0)
        return True


class _Faults(logging.Handler):
    """What the master logs as an error of its own."""

    def __init__(self, on_fault: Any) -> None:
        super().__init__(logging.ERROR)
        self._on_fault = on_fault
        self.setFormatter(logging.Formatter())

    def emit(self, record: logging.LogRecord) -> None:
        self._on_fault(self.format(record))


class LifeUnderAttack:
    """Build it inside a running loop."""

    def __init__(self, seed: str) -> None:
        self.tally = Tally()
        self._seed = seed
        self._rng = Random(seed)
        self._store = MemoryStore()
        self._attacks: dict[str, Attack] = {}
        self._sessions = 0
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self._fault(_told(context)))
        self._handler = _Faults(self._fault)
        logger = logging.getLogger("manyhands")
        logger.addHandler(self._handler)
        logger.propagate = False
        self._begin_life()

    def _fault(self, text: str) -> None:
        recent = "; ".join(f"{seed}: {attack.last}" for seed, attack in self._attacks.items())
        self.tally.crashes.append(f"{text}\nsessions under way, with what they sent last: {recent}")

    def _begin_life(self) -> None:
        identity, epoch, kept = self._store.begin()
        self._life_store = LifeStore(self._store)
        journal = Journal(self._life_store, on_broken=lambda error: self._fault(f"the journal broke: {error!r}"))
        self.life = Life(CONFIG, Random(self._rng.random()), epoch, identity, journal)
        self.life.restore(kept)
        self._serving: set[asyncio.Task[None]] = set()

    def open_link(self) -> MemoryLink:
        """A connection to the master."""
        ours, theirs = MemoryLink.pair()
        serving = asyncio.create_task(self.life.sessions.accept(theirs), name="connection")
        self._serving.add(serving)
        serving.add_done_callback(self._served)
        return ours

    def _served(self, serving: asyncio.Task[None]) -> None:
        self._serving.discard(serving)
        if not serving.cancelled() and (error := serving.exception()) is not None:
            self._fault("".join(traceback.format_exception(error)))

    # ------------------------------------------------------------ attacks

    async def run(self, seconds: float, inputs: int) -> None:
        """Until either is reached, or something has gone wrong."""
        end = time.monotonic() + seconds
        rounds = 0
        while time.monotonic() < end and self.tally.total < inputs and not self.tally.crashes:
            await self._round(end)
            await self._probe()
            rounds += 1
            if rounds % ROUNDS_OF_A_LIFE == 0:
                await self._next_life()

    async def _round(self, end: float) -> None:
        limit = self._sessions + ROUND

        async def attacker() -> None:
            while self._sessions < limit and not self.tally.crashes and time.monotonic() < end:
                self._sessions += 1
                await self._attack(f"{self._seed}/{self._sessions}")

        await asyncio.gather(*(attacker() for _ in range(AT_ONCE)))
        await asyncio.sleep(CONFIG.client_end_timeout + 0.1)

    async def _attack(self, seed: str) -> None:
        attack = self._attacks[seed] = _InProcess(seed, Nature(), self.tally)
        attack.open_twin = self.open_link
        try:
            await attack.run(self.open_link())
            if self._sessions % 10 == 0:
                self.life.engine.scheduler.check_invariants()
        except Exception:
            self._fault(traceback.format_exc())
        finally:
            del self._attacks[seed]

    # ------------------------------------------------------------ in between

    async def _probe(self) -> None:
        """A whole client's job on a whole worker."""
        try:
            async with asyncio.timeout(PROBE_TIMEOUT):
                await self._whole_job()
            self.tally.probes += 1
            self.life.engine.scheduler.check_invariants()
        except Exception:
            self._fault(f"a whole client was not served: {traceback.format_exc()}")

    async def _whole_job(self) -> None:
        client, worker = self.open_link(), self.open_link()
        await _welcomed(worker, pb.ROLE_WORKER, self._rng)
        await _welcomed(client, pb.ROLE_CLIENT, self._rng)
        ends, payload = packed([ITEM] * 20)
        block = pb.Block(job=1, ends=ends, payload=payload, call=pb.CALL_APPLY)
        bodies = [
            pb.Body(open_job=pb.OpenJob(job=1, priority=1000)),
            pb.Body(block=block),
            pb.Body(seal_job=pb.SealJob(job=1, total=20)),
        ]
        await client.write(pb.Frame(sequence=1, bodies=bodies))
        working = asyncio.create_task(_work(worker))
        try:
            done: set[int] = set()
            while len(done) < 20:
                frame = await client.read()
                assert frame is not None, "the connection of a whole client was closed"
                for body in frame.bodies:
                    assert not body.HasField("failure"), body
                    first = body.results.first
                    done.update(range(first, first + len(body.results.ends) // 4))
            await client.write(pb.Frame(sequence=2, bodies=[pb.Body(close_session=pb.CloseSession())]))
        finally:
            working.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await working
            await client.close()
            await worker.close()

    async def _next_life(self) -> None:
        """The master is killed, and another one goes on from the journal."""
        old = self.life
        assert old.journal is not None
        await old.journal.synced()
        try:
            await old.sessions.close()
            if self._serving:
                await asyncio.wait(self._serving)
            self._life_store.is_over = True
            self._begin_life()
            self.life.engine.scheduler.check_invariants()
        except Exception:
            self._fault(f"no other life could go on from the journal: {traceback.format_exc()}")
        self.tally.restarts += 1

    async def close(self) -> None:
        await self.life.sessions.close()
        if self._serving:
            await asyncio.wait(self._serving)
        self._life_store.is_over = True
        logging.getLogger("manyhands").removeHandler(self._handler)


async def _welcomed(link: MemoryLink, role: pb.Role, rng: Random) -> None:
    hello = make_hello(role, "whole", 2)
    hello.session = rng.randbytes(16)
    await link.write(pb.Frame(hello=hello))
    frame = await link.read()
    assert frame is not None
    assert frame.HasField("welcome"), frame


async def _work(link: MemoryLink) -> None:
    """Run whatever comes, at once."""
    sequence = 0
    while (frame := await link.read()) is not None:
        for body in frame.bodies:
            for piece in body.dispatch.pieces:
                sequence += 1
                ends, payload = packed([b"r"] * (len(piece.ends) // 4))
                dispatch = body.dispatch
                results = pb.Results(
                    job=dispatch.job, lease=dispatch.lease, first=piece.first, ends=ends, payload=payload, seconds=1e-4
                )
                await link.write(pb.Frame(sequence=sequence, bodies=[pb.Body(results=results)]))


def _told(context: dict[str, Any]) -> str:
    error = context.get("exception")
    trace = "".join(traceback.format_exception(error)) if error is not None else ""
    return f"{context.get('message')}: {trace}"


def attack_life(seed: str, seconds: float, inputs: int = sys.maxsize) -> Tally:
    """Blocks until it is over."""

    async def story() -> Tally:
        under_attack = LifeUnderAttack(seed)
        try:
            await under_attack.run(seconds, inputs)
        finally:
            await under_attack.close()
        return under_attack.tally

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(story())


if __name__ == "__main__":
    print(json.dumps(attack_life(sys.argv[1], float(sys.argv[2]), int(sys.argv[3])).as_json()))
