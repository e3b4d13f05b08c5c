"""A client without the library's manners: it speaks the protocol itself, sends what it likes, and reads nothing."""

from __future__ import annotations

import asyncio
import os
import pickle
import threading
from array import array
from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Self

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.blocks import pack_ends
from manyhands.wire.eventloop import loop_factory
from manyhands.wire.handshake import make_hello
from manyhands.wire.joining import Way
from manyhands.wire.links import Link, LinkLost
from manyhands.wire.session import FRAME_BYTES


class RudeClient:
    """One connection, over gRPC or a Unix socket as the master offers it, in a thread of its own."""

    def __init__(self, address: str, name: str, *, heartbeat: float = 1.0) -> None:
        """Joins as a client. Every `heartbeat` seconds it says that it lives; it never acknowledges anything."""
        self._loop = loop_factory()()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._sequence = 0
        self._job = 0
        #: Set once the master has ended the connection, or refused us.
        self.dropped = threading.Event()
        self._writing = asyncio.Lock()
        self._link: Link = self._run(self._join(address, name))
        self._beating = asyncio.run_coroutine_threadsafe(self._beat(heartbeat), self._loop)

    def _run(self, coroutine: Coroutine[Any, Any, Any], timeout: float = 60.0) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout)

    async def _join(self, address: str, name: str) -> Link:
        way = Way(address, "client")
        link = await way.open_link()
        hello = make_hello(pb.ROLE_CLIENT, name)
        hello.session = os.urandom(16)
        hello.secret = way.credential.secret
        await link.write(pb.Frame(hello=hello))
        welcome = await link.read()
        assert welcome is not None
        assert welcome.HasField("welcome"), welcome
        return link

    async def _write(self, frame: pb.Frame) -> None:
        async with self._writing:
            await self._link.write(frame)

    async def _beat(self, interval: float) -> None:
        try:
            while True:
                await self._write(pb.Frame())
                await asyncio.sleep(interval)
        except LinkLost:
            self.dropped.set()

    def say(self, *bodies: pb.Body) -> None:
        """Send these in one frame, whether or not there is room. Raises LinkLost."""
        self._sequence += 1
        self._run(self._write(pb.Frame(sequence=self._sequence, bodies=bodies)))

    def say_in_parts(self, body: pb.Body) -> None:
        """Send one that no frame can hold. Raises LinkLost."""
        data = body.SerializeToString()
        for offset in range(0, len(data), FRAME_BYTES):
            part = data[offset : offset + FRAME_BYTES]
            fragment = pb.Fragment(id=1, data=part, last=offset + FRAME_BYTES >= len(data))
            self._sequence += 1
            self._run(self._write(pb.Frame(sequence=self._sequence, fragment=fragment)))

    def open_job(self, **options: Any) -> int:
        """Begin another job; its number."""
        self._job += 1
        self.say(pb.Body(open_job=pb.OpenJob(job=self._job, **options)))
        return self._job

    def block(self, job: int, first: int, calls: Sequence[tuple[Callable[..., Any], tuple[Any, ...]]]) -> pb.Body:
        """A block of calls of builtin functions."""
        items = [pickle.dumps((function, args, {})) for function, args in calls]
        ends = array("I")
        for item in items:
            ends.append((ends[-1] if ends else 0) + len(item))
        block = pb.Block(job=job, first=first, ends=pack_ends(ends), payload=b"".join(items), call=pb.CALL_APPLY)
        return pb.Body(block=block)

    def close(self) -> None:
        """Be gone, without a word."""
        self._beating.cancel()
        self._run(self._link.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        self.close()
