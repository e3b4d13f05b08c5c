"""One session under attack: a hello, a few whole messages, then inputs with something wrong, until it ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests.fuzz import blocks, frames
from tests.fuzz.mutation import mutate
from tests.fuzz.plausible import PlausibleClient, PlausibleWorker, Player
from tests.fuzz.tally import BLOCK, CLIENT, FRAME, HELLO, WORKER, Tally

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.grpc_links import DialledLink
from manyhands.wire.handshake import make_hello
from manyhands.wire.links import Link, LinkLost

#: An input that has no answer for so long, in seconds, has none.
PATIENCE = 20.0

#: More does not fit into a frame on any link.
FRAME_BYTES = 3 << 20

#: What a link over gRPC says if there was no status.
HUNG_UP = "the master closed the connection"

#: Inputs of one session, and whole messages that lead up to them, at most.
INPUTS, CONTEXT = 60, 6


@dataclass(frozen=True, slots=True)
class Nature:
    """What kind of master it is that is attacked.

    secrets: of the tokens that let a client and a worker in; empty: it asks for none. is_shared: others' work is on it,
    so no attacker takes part in that. may_change: whether an input may go out at all.
    """

    client_secret: str = ""
    worker_secret: str = ""
    is_shared: bool = False
    may_change: Callable[[pb.Body], bool] = lambda _: True


class Attack:
    """One session. `last`: what was sent last, for the record of a crash."""

    def __init__(self, seed: str, nature: Nature, tally: Tally) -> None:
        self.seed = seed
        self.last = ""
        self.rng = Random(seed)
        self._nature = nature
        self.tally = tally
        self._is_worker = self.rng.random() < 0.5
        self._player: Player = PlausibleWorker(self.rng) if self._is_worker else PlausibleClient(self.rng)
        self._link: Link
        self._sequence = 0
        self._received = 0
        self._acknowledged = 0
        self._welcome = self._is_over = False
        self._refusal = ""
        self._news = asyncio.Event()
        self._twins: list[asyncio.Task[None]] = []
        #: The hello that it was welcomed with.
        self._said = pb.Hello()
        #: Opens another connection, where others may come in with the same session.
        self.open_twin: Callable[[], Link] | None = None

    async def run(self, link: Link) -> None:
        """The session's whole life; closes the link."""
        self._link = link
        reading = asyncio.create_task(link.read_all(self._on_frame))
        reading.add_done_callback(self._on_end)
        self.tally.sessions += 1
        try:
            with contextlib.suppress(LinkLost):
                if await self._shake_hands():
                    await self._play()
        finally:
            await link.close()
            await asyncio.gather(reading, *self._twins)

    # ------------------------------------------------------------ what the master says

    def _on_frame(self, frame: pb.Frame) -> None:
        self._news.set()
        if frame.sequence == self._received + 1:
            self._received += 1
            for body in frame.bodies:
                self._player.heard(body)
        self._acknowledged = max(self._acknowledged, frame.acknowledged)
        if frame.HasField("welcome"):
            self._welcome = True
        elif frame.HasField("refusal"):
            self._refusal = pb.Refusal.Code.Name(frame.refusal.code)

    def _on_end(self, reading: asyncio.Task[None]) -> None:
        self._is_over = True
        if isinstance(self._link, DialledLink) and self._link.reason != HUNG_UP:
            self._refusal = self._refusal or "a status of gRPC"
        self._news.set()

    async def _until(self, holds: Callable[[], bool]) -> bool:
        """Wait for that, or the end; whether it came to either."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not (holds() or self._is_over):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return False
        return True

    async def settled(self) -> bool:
        """What was sent has been dealt with; False if there is no sign of it."""
        return await self._until(lambda: bool(self._refusal) or self._acknowledged >= self._sequence)

    # ------------------------------------------------------------ what it sends

    def _hello(self) -> pb.Hello:
        role = pb.ROLE_WORKER if self._is_worker else pb.ROLE_CLIENT
        hello = make_hello(role, f"attacker {self.seed}", 2 if self._is_worker else 0)
        hello.session = self.rng.randbytes(16)
        hello.secret = self._nature.worker_secret if self._is_worker else self._nature.client_secret
        # Whoever says so is sent nothing before it has told what it holds.
        hello.holds = self._is_worker and (self._nature.is_shared or self.rng.random() < 0.1)
        return hello

    async def _shake_hands(self) -> bool:
        hello = self._hello()
        is_wrong = self.rng.random() < 0.05
        if is_wrong:
            self.last = f"hello.{mutate(hello, self.rng)}"
        if self._nature.is_shared and hello.role == pb.ROLE_WORKER:
            hello.holds = True
        self._said.CopyFrom(hello)
        await self._link.write(pb.Frame(hello=hello))
        answered = await self._until(lambda: self._welcome or bool(self._refusal))
        if is_wrong:
            self._count(HELLO, answered=answered)
        elif self._refusal == "CODE_TOO_MANY":
            self.tally.statuses[self._refusal] += 1
        elif not self._welcome:
            self.tally.crashes.append(
                f"session {self.seed}: a whole hello was not welcomed: {self._refusal or 'nothing'}"
            )
        return self._welcome

    async def twin(self, link: Link) -> None:
        """Somebody dials with this session's hello again, at any moment of it."""
        await asyncio.sleep(0)
        try:
            hello = pb.Hello()
            hello.CopyFrom(self._said)
            hello.resume, hello.received = self.rng.choice(((False, 0), (True, 0), (True, 1), (True, 1 << 63)))
            hello.role = self.rng.choice((hello.role, pb.ROLE_CLIENT))
            await link.write(pb.Frame(hello=hello))
            for _ in range(self.rng.randrange(4)):
                await asyncio.sleep(0)
            await link.write(pb.Frame(sequence=1, bodies=[self._player.next()]))
            await asyncio.sleep(0.01)
        except LinkLost:
            pass
        finally:
            await link.close()

    async def _play(self) -> None:
        rng = self.rng
        if isinstance(self._player, PlausibleWorker) and not self._nature.is_shared and rng.random() < 0.1:
            await self._input(WORKER, self._player.held())
        for _ in range(rng.randrange(1, CONTEXT)):
            await self._say(self._player.next())
            self.tally.context += 1
        for _ in range(rng.randrange(1, INPUTS)):
            if self._is_over or self._refusal:
                return
            if self.open_twin is not None and rng.random() < 0.01:
                self._twins.append(asyncio.create_task(self.twin(self.open_twin())))
            await self._next_input()
        if rng.random() < 0.9 and not self._is_over:
            await self._say(pb.Body(close_session=pb.CloseSession(reason="done")))
            await self._until(lambda: self._acknowledged >= self._sequence)

    async def _next_input(self) -> None:
        rng = self.rng
        body = self._player.next()
        chance = rng.random()
        if chance < 0.1:
            await self._wrong_frame(body)
        elif body.HasField("block") and chance < 0.5:
            self.last = f"block {blocks.make_wrong(body.block, rng)}"
            await self._send(body, BLOCK)
        else:
            await self._input(WORKER if self._is_worker else CLIENT, body)

    async def _input(self, kind: str, body: pb.Body) -> None:
        self.last = mutate(body, self.rng)
        if not self._nature.may_change(body) or body.ByteSize() > FRAME_BYTES:
            return
        await self._send(body, kind)

    async def _send(self, body: pb.Body, kind: str) -> None:
        await self._say(body)
        self._count(kind, answered=await self.settled())

    async def _wrong_frame(self, body: pb.Body) -> None:
        """The frame, and a whole one behind it, whose acknowledgement shows that it did no harm."""
        frame = pb.Frame(sequence=self._sequence + 1, acknowledged=self._received, bodies=[body])
        how = frames.make_wrong(frame, self.rng)
        self.last = f"frame {how}"
        if frame.sequence == self._sequence + 1:
            self._sequence += 1
        await self.write(frame)
        with contextlib.suppress(LinkLost):
            await self._say(pb.Body(define=self._definition()) if not self._is_worker else pb.Body(want=pb.Want()))
        self._count(FRAME, answered=await self.settled())

    def _definition(self) -> pb.Define:
        body = PlausibleClient(self.rng)._define()
        return body.define

    async def write(self, frame: pb.Frame) -> None:
        """Raises LinkLost."""
        await self._link.write(frame)

    async def _say(self, body: pb.Body) -> None:
        self._sequence += 1
        await self.write(pb.Frame(sequence=self._sequence, acknowledged=self._received, bodies=[body]))

    def _count(self, kind: str, *, answered: bool) -> None:
        if not answered:
            outcome = "silent"
        elif self._refusal:
            outcome = "refused"
            self.tally.statuses[self._refusal] += 1
        else:
            outcome = "closed" if self._is_over else "accepted"
        self.tally.inputs[kind, outcome] += 1
        if outcome == "silent":
            self.tally.crashes.append(f"session {self.seed}: no answer in {PATIENCE:g} s to {self.last}")
