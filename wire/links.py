"""Links: one connection that carries frames; the seam between a session and its transport."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

from manyhands.protos import manyhands_pb2 as pb


class LinkLost(Exception):
    """The connection is gone, or could not be made; the text says why."""


class Link(Protocol):
    """One connection. One reader and one writer at a time; reads are never cancelled."""

    @property
    def address(self) -> str:
        """Of an accepted connection: whence it comes, without the port; empty if from this user on this machine."""
        ...

    @property
    def certificate(self) -> bytes | None:
        """Of an accepted connection: what the other side has proved to be, in PEM."""
        ...

    async def read(self) -> pb.Frame | None:
        """The next frame, or None when the connection has ended, for whatever reason."""
        ...

    async def read_all(self, on_frame: Callable[[pb.Frame], None]) -> None:
        """Call `on_frame` with each further frame until the connection ends. Raises what that raises."""
        ...

    async def write(self, frame: pb.Frame) -> None:
        """Hand `frame` to the transport. Raises LinkLost."""
        ...

    def refuse(self, refusal: pb.Refusal) -> None:
        """Tell the other side why the connection is about to be closed, as far as there is a way; never waits."""
        ...

    async def close(self) -> None:
        """End the connection; a pending `read` then returns None."""
        ...

    @property
    def reason(self) -> str:
        """Why the connection ended, once `read` has returned None."""
        ...


OpenLink = Callable[[], Awaitable[Link]]


class Inbox:
    """The reading half of a link whose frames are pushed: a queue for one reader, as lean as the hot path wants it."""

    def __init__(self) -> None:
        self._frames: deque[pb.Frame] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._on_frame: Callable[[pb.Frame], None] | None = None
        self._ended = False

    def put(self, frame: pb.Frame) -> None:
        """For the transport: a frame has come."""
        if self._on_frame is None:
            self._frames.append(frame)
            self._wake()
        elif not self._ended:
            try:
                self._on_frame(frame)
            except Exception as error:  # noqa: BLE001 - for whoever awaits `get_all`
                self._ended = True
                assert self._reader is not None
                if not self._reader.done():
                    self._reader.set_exception(error)

    def end(self) -> None:
        """For the transport: none will come any more."""
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def get(self) -> pb.Frame | None:
        """The next frame; None after the last."""
        while not self._frames:
            if self._ended:
                return None
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        return self._frames.popleft()

    async def get_all(self, on_frame: Callable[[pb.Frame], None]) -> None:
        """Have `on_frame` called with each frame as it comes; return after the last. Raises what that raises."""
        while self._frames:
            on_frame(self._frames.popleft())
        if not self._ended:
            self._reader = asyncio.get_running_loop().create_future()
            self._on_frame = on_frame
            await self._reader


class MemoryLink:
    """One end of a connection inside a process: frames are handed over, not copied."""

    reason = "the connection was closed"
    address = ""
    certificate: bytes | None = None

    def __init__(self) -> None:
        self._inbox = Inbox()
        self._peer: MemoryLink | None = None
        self.read = self._inbox.get
        self.read_all = self._inbox.get_all

    @classmethod
    def pair(cls) -> tuple[MemoryLink, MemoryLink]:
        """Both ends of a new connection."""
        one, other = cls(), cls()
        one._peer, other._peer = other, one
        return one, other

    async def write(self, frame: pb.Frame) -> None:
        """See Link."""
        if self._peer is None:
            raise LinkLost(self.reason)
        self._peer._inbox.put(frame)  # noqa: SLF001 - the other end of the same thing

    def refuse(self, refusal: pb.Refusal) -> None:
        """See Link."""
        if self._peer is not None:
            self._peer._inbox.put(pb.Frame(refusal=refusal))  # noqa: SLF001 - likewise

    async def close(self) -> None:
        """See Link."""
        peer, self._peer = self._peer, None
        self._inbox.end()
        if peer is not None:
            await peer.close()
