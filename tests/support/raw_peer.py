"""A worker or client that says exactly what a test wants, in a session of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Self

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.handshake import make_hello
from manyhands.wire.joining import Way
from manyhands.wire.links import Link, LinkLost


class RawPeer:
    """Frames go out as they are given; bodies that come are kept, and never acknowledged."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.bodies: list[pb.Body] = []
        self.answer: pb.Frame | None = None  # to the first frame
        self.has_ended = False
        self._sent = self._acknowledged = 0
        self._changed = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def join(cls, way: Way, role: pb.Role, session: bytes | None = None) -> Self:
        """Welcomed, as a worker with a slot or as a client. Raises ConnectionError."""
        peer = cls(await way.open_link())
        hello = make_hello(role, name="raw", slots=int(role == pb.ROLE_WORKER))
        hello.session = session or os.urandom(16)
        hello.secret = way.credential.secret
        await peer.write(pb.Frame(hello=hello))
        await peer.until(lambda: peer.answer or peer.has_ended)
        if peer.answer is None or not peer.answer.HasField("welcome"):
            raise ConnectionError(f"not welcome: {peer.answer}")
        return peer

    async def _read(self) -> None:
        while (frame := await self.link.read()) is not None:
            self.answer = self.answer or frame
            self._acknowledged = max(self._acknowledged, frame.acknowledged)
            self.bodies += frame.bodies
            self._changed.set()
        self.has_ended = True
        self._changed.set()

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until `holds()`, which is asked whenever something has come."""
        async with asyncio.timeout(20):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    async def write(self, frame: pb.Frame) -> None:
        """As it is. That the master has hung up is no error: it may."""
        try:
            await self.link.write(frame)
        except LinkLost:
            self.has_ended = True

    async def say(self, *bodies: pb.Body, frame: pb.Frame | None = None) -> None:
        """In the next frame of the session."""
        self._sent += 1
        frame = frame or pb.Frame(bodies=bodies)
        frame.sequence = self._sent
        await self.write(frame)

    async def dealt_with(self) -> None:
        """Wait until the master has acknowledged everything, or has hung up."""
        await self.until(lambda: self.has_ended or self._acknowledged >= self._sent)

    async def close(self) -> None:
        await self.link.close()
        await self._reading
