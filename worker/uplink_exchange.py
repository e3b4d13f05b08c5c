"""Getting data from the master, on the session that there is with it anyway: every question is answered, once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from manyhands.protos import manyhands_pb2 as pb


class Uplink:
    """The way to the master. send: to it."""

    def __init__(self, send: Callable[[pb.Body], None]) -> None:
        self._send = send
        #: By id and offset: who has asked for how many bytes from there on.
        self._asked: dict[tuple[bytes, int], list[tuple[int, UplinkExchange]]] = {}

    def open(self) -> UplinkExchange:
        """For one transfer."""
        return UplinkExchange(self)

    def on_part(self, part: pb.Part) -> None:
        """The master has answered. Nobody may have use for it: who had asked may have given up."""
        key = part.id, part.offset
        for length, exchange in self._asked.get(key, ()):
            if part.missing or length == len(part.data):
                self._forget(key, length, exchange)
                exchange.parts.put_nowait(part)
                return

    def ask(self, fetch: pb.Fetch, exchange: UplinkExchange) -> None:
        """For exchanges."""
        self._asked.setdefault((fetch.id, fetch.offset), []).append((fetch.length, exchange))
        self._send(pb.Body(fetch=fetch))

    def leave(self, exchange: UplinkExchange) -> None:
        """For exchanges: it waits for nothing any more."""
        for key, asked in list(self._asked.items()):
            for length, other in list(asked):
                if other is exchange:
                    self._forget(key, length, exchange)

    def _forget(self, key: tuple[bytes, int], length: int, exchange: UplinkExchange) -> None:
        self._asked[key].remove((length, exchange))
        if not self._asked[key]:
            del self._asked[key]


class UplinkExchange:
    """See Exchange."""

    def __init__(self, uplink: Uplink) -> None:
        self._uplink = uplink
        self.parts: asyncio.Queue[pb.Part] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._uplink.leave(self)

    async def ask(self, fetch: pb.Fetch) -> None:
        """See Exchange."""
        self._uplink.ask(fetch, self)

    async def answer(self) -> pb.Part:
        """See Exchange."""
        return await self.parts.get()
