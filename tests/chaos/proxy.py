"""A TCP proxy whose connections suffer on demand: reset, half-closed, stalled, swallowed, delayed, throttled."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_CHUNK_BYTES: Final = 64 << 10
#: Chunks read and not yet delivered, per direction: beyond that the sender feels the pause.
_QUEUED_CHUNKS: Final = 16


@dataclass(frozen=True, slots=True, eq=False)
class Weather:
    """What a link's connections go through while it lasts. direction: "up" (to the master), "down" or "both"."""

    direction: str
    stalled: bool = False
    #: Seconds that each byte arrives later.
    delay: float = 0.0
    #: Bytes a second, or as many as come.
    rate: float | None = None


class Link:
    """One peer's way to the master: a port of its own. Several kinds of weather may last at once."""

    def __init__(self, name: str, upstream: Callable[[], tuple[str, int]]) -> None:
        self.name = name
        self._upstream = upstream
        self._weather: set[Weather] = set()
        self._changed = asyncio.Event()
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None
        #: Whether new connections are accepted and then never hear anything.
        self._swallowing = 0
        self.port = 0

    async def open(self) -> None:
        """Listen on a free port of this machine."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_CHUNK_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for connection in list(self._connections):
            connection.reset()
        while self._connections:
            await asyncio.sleep(0.001)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(self, reader, writer)
        self._connections.add(connection)
        try:
            await connection.serve(self._upstream(), swallow=bool(self._swallowing))
        finally:
            self._connections.discard(connection)

    # ------------------------------------------------------------ faults

    @property
    def is_used(self) -> bool:
        """Whether there is a connection right now that works."""
        return any(connection.is_whole for connection in self._connections)

    def begin(self, weather: Weather) -> None:
        self._weather.add(weather)
        self._change()

    def end(self, weather: Weather) -> None:
        self._weather.discard(weather)
        self._change()

    def reset(self) -> None:
        """Both ends of every connection get a RST."""
        for connection in list(self._connections):
            connection.reset()

    def half_close(self, direction: str) -> None:
        """Send an end of file one way (or each way), and go on delivering the other."""
        for connection in self._connections:
            connection.half_close(direction)

    def begin_swallowing(self) -> None:
        """From now on nothing arrives any more, in either direction, on connections old or new; nobody is told."""
        self._swallowing += 1
        for connection in self._connections:
            connection.swallow()

    def end_swallowing(self) -> None:
        """New connections work again. Those of before stay dead, as behind a router that has forgotten them."""
        self._swallowing -= 1

    def _change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def pass_through(self, direction: str, arrived: float, size: int) -> None:
        """Return when `size` bytes that arrived then may be delivered."""
        loop = asyncio.get_running_loop()
        while True:
            here = [each for each in self._weather if each.direction in {direction, "both"}]
            due = arrived + max((each.delay for each in here), default=0.0)
            if any(each.stalled for each in here):
                await self._changed.wait()
            elif (left := due - loop.time()) > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), left)
            else:
                break
        rate = min((each.rate for each in here if each.rate is not None), default=None)
        if rate is not None:
            await asyncio.sleep(size / rate)


class _Connection:
    """One accepted connection and the one to the master that belongs to it."""

    def __init__(self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._link = link
        self._reader = reader
        self._writers = {"down": writer}  # by the direction whose bytes go there
        self._ended_ways: set[str] = set()
        self._swallowed = False
        self._serving: asyncio.Task[None] | None = None

    @property
    def is_whole(self) -> bool:
        return len(self._writers) == 2 and not self._swallowed and not self._ended_ways

    async def serve(self, upstream: tuple[str, int], *, swallow: bool) -> None:
        """Until both directions have ended, or the connection was reset."""
        self._serving = asyncio.current_task()
        self._swallowed = swallow
        readers = {"up": self._reader}
        try:
            if not swallow:
                readers["down"], self._writers["up"] = await asyncio.open_connection(*upstream, limit=_CHUNK_BYTES)
            async with asyncio.TaskGroup() as group:
                for direction, reader in readers.items():
                    queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_QUEUED_CHUNKS)
                    group.create_task(self._read(reader, queue))
                    group.create_task(self._deliver(direction, queue))
        except* (OSError, asyncio.CancelledError):
            pass  # the master is not there, one end is gone, or `reset` was called
        finally:
            for writer in self._writers.values():
                _reset(writer)

    def reset(self) -> None:
        assert self._serving is not None
        self._serving.cancel()

    def half_close(self, direction: str) -> None:
        for way in self._writers:
            if direction in {way, "both"}:
                self._end_way(way)

    def _end_way(self, way: str) -> None:
        self._ended_ways.add(way)
        writer = self._writers[way]
        if not writer.is_closing():
            writer.write_eof()

    def swallow(self) -> None:
        self._swallowed = True

    async def _read(self, reader: asyncio.StreamReader, queue: asyncio.Queue[tuple[float, bytes]]) -> None:
        loop = asyncio.get_running_loop()
        data = b"."
        while data:
            try:
                data = await reader.read(_CHUNK_BYTES)
            except OSError:
                if not self._swallowed:
                    raise
                data = b""  # the other end must not hear of it
            await queue.put((loop.time(), data))

    async def _deliver(self, direction: str, queue: asyncio.Queue[tuple[float, bytes]]) -> None:
        data = b"."
        while data:
            arrived, data = await queue.get()
            await self._link.pass_through(direction, arrived, len(data))
            if self._swallowed or direction in self._ended_ways:
                continue
            writer = self._writers[direction]
            if data:
                writer.write(data)
                await writer.drain()
            else:
                self._end_way(direction)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a RST, unless it has been closed."""
    if not writer.is_closing():
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()
