"""A real agent with real slots, talking in memory to a master that the test plays."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from array import array
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from functools import partial
from typing import Any

import cloudpickle
import pytest

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.blocks import pack_ends, unpack_ends
from manyhands.wire.dialer import Dialer
from manyhands.wire.links import MemoryLink
from manyhands.wire.pump import Pump
from manyhands.wire.session import Session
from manyhands.worker.agent import Agent


class PlayedMaster:
    """Sends what the test says and keeps what the worker answers, per job."""

    def __init__(self) -> None:
        self.bodies: list[pb.Body] = []
        self.results: dict[tuple[int, int], bytes] = {}
        self.failures: dict[tuple[int, int], pb.Failure] = {}
        self.crashes: list[pb.Crash] = []
        self.returned: dict[int, pb.Returned] = {}
        self.seen: Counter[tuple[int, int]] = Counter()
        self.on_crash: Callable[[pb.Crash], None] = lambda _: None
        self.hello: pb.Hello | None = None
        self._session = Session()
        self._pump: Pump | None = None
        self._serving: asyncio.Task[str] | None = None
        self._blobs: dict[bytes, bytes] = {}
        self._next_lease = 1

    async def open_link(self) -> MemoryLink:
        ours, theirs = MemoryLink.pair()
        self._serving = asyncio.create_task(self._serve(ours))
        return theirs

    async def _serve(self, link: MemoryLink) -> str:
        frame = await link.read()
        assert frame is not None
        self.hello = frame.hello
        if frame.hello.resume and frame.hello.session != self.session_id:
            refusal = pb.Refusal(code=pb.Refusal.CODE_UNKNOWN_SESSION, sentence="a new master")
            await link.write(pb.Frame(refusal=refusal))
            return "refused"
        self.session_id = frame.hello.session
        welcome = pb.Welcome(
            epoch=1,
            received=self._session.received,
            resumed=frame.hello.resume,
            heartbeat_interval=5.0,
            heartbeat_timeout=20.0,
        )
        await link.write(pb.Frame(welcome=welcome))
        self._session.resume(frame.hello.received)
        self._pump = Pump(self._session, link, self._on_bodies, 5.0, 20.0)
        return await self._pump.run()

    session_id = b""

    async def forget(self) -> None:
        """Become a master that knows nobody: the session is lost."""
        self.session_id = b"?"
        self._session = Session()
        assert self._pump is not None
        await self._pump.end("forgotten")

    def send(self, body: pb.Body) -> None:
        self._session.send(body)
        if self._pump is not None:
            self._pump.wake()

    def _on_bodies(self, bodies: Sequence[pb.Body]) -> None:
        for body in bodies:
            match body.WhichOneof("kind"):
                case "results":
                    r = body.results
                    start = r.base
                    for k, end in enumerate(unpack_ends(r.ends)):
                        key = r.job, r.first + k
                        self.results[key] = r.payload[start - r.base : end - r.base]
                        self.seen[key] += 1
                        start = end
                    assert start - r.base == len(r.payload)
                case "failure":
                    key = body.failure.job, body.failure.index
                    self.failures[key] = body.failure
                    self.seen[key] += 1
                case "crash":
                    self.crashes.append(body.crash)
                    self.on_crash(body.crash)
                case "returned":
                    assert body.returned.revoke not in self.returned
                    self.returned[body.returned.revoke] = body.returned
                case "want":
                    for hash in body.want.hashes:
                        self.send(pb.Body(define=pb.Define(hash=hash, blob=self._blobs[hash])))
                case _:
                    self.bodies.append(body)

    # ------------------------------------------------------------ what tests do

    def define(self, function: Any) -> bytes:
        """The blob is sent when the worker wants it."""
        blob = cloudpickle.dumps(function)
        hash = hashlib.blake2b(blob, digest_size=16).digest()
        self._blobs[hash] = blob
        return hash

    def dispatch(
        self,
        function: Any,
        items: Iterable[Any],
        *,
        job: int = 1,
        first: int = 0,
        call: Any = pb.CALL_ITEM,
        retry_on: Any = None,
        attempt: int = 0,
        priority: int = 0,
    ) -> int:
        """Send one dispatch; return its lease."""
        payload = bytearray()
        ends = array("I")
        for item in items:
            payload += cloudpickle.dumps(item)
            ends.append(len(payload))
        piece = pb.Piece(first=first, ends=pack_ends(ends), payload=bytes(payload), call=call, attempt=attempt)
        if function is not None:
            piece.function = self.define(function)
        lease = self._next_lease
        self._next_lease += 1
        message = pb.Dispatch(lease=lease, job=job, priority=priority, pieces=[piece])
        if retry_on is not None:
            message.retry_on = self.define(retry_on)
        self.send(pb.Body(dispatch=message))
        return lease

    def values(self, job: int = 1) -> dict[int, Any]:
        return {index: cloudpickle.loads(data) for (j, index), data in sorted(self.results.items()) if j == job}

    def finished(self, job: int = 1) -> int:
        return sum(j == job for j, _ in self.seen)


async def wait_until(condition: Callable[[], Any], what: Callable[[], Any] = lambda: "", timeout: float = 20.0) -> None:
    """Wait for a condition; fail with what was last seen."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"still not so after {timeout} s; last seen: {what()}")
        await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def running(slots: int = 2, name: str = "w") -> AsyncIterator[tuple[PlayedMaster, Agent]]:
    master = PlayedMaster()
    agent = Agent(partial(Dialer, master.open_link), name=name, slots=slots)
    run = asyncio.create_task(agent.run())
    try:
        yield master, agent
    finally:
        await agent.stop()
        await asyncio.wait_for(run, 10)


@pytest.fixture
def worker() -> Any:
    """`async with worker(slots=2) as (master, agent)`."""
    return running
