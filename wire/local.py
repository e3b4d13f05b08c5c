"""A worker inside the master's own process: bodies are handed over, with nothing to number, acknowledge or resume."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.session import Flow

#: Takes in a worker: its hello, and the master's end.
Join = Callable[[pb.Hello, "LocalEnd"], pb.Welcome]


class LocalEnd:
    """One of two ends. What is sent within one turn of the loop arrives together, in the next one, as it is:
    a message belongs to the receiver then.

    on_bodies(bodies): content, in order. on_end(error): the other side closed, or `on_bodies` raised.
    """

    on_bodies: Callable[[Sequence[pb.Body]], None]
    on_end: Callable[[Exception | None], None]

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._other: LocalEnd | None = None
        self._sent: list[pb.Body] = []

    @classmethod
    def pair(cls) -> tuple[LocalEnd, LocalEnd]:
        """Both ends."""
        one, other = cls(), cls()
        one._other, other._other = other, one
        return one, other

    @property
    def is_idle(self) -> bool:
        """Whether everything sent has been taken."""
        return not self._sent

    def send(self, body: pb.Body) -> None:
        """Hand `body` over; dropped if the other side is gone."""
        self._sent.append(body)
        if len(self._sent) == 1:
            self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        sent, self._sent = self._sent, []
        other = self._other
        if other is None:
            return
        try:
            other.on_bodies(sent)
        except Exception as error:  # noqa: BLE001 - of either side's engine, and for both to hear
            self._end(error)
            other._end(error)  # noqa: SLF001 - the other end of the same thing

    def _end(self, error: Exception | None) -> None:
        if self._other is not None:
            self._other = None
            self.on_end(error)

    def close(self) -> None:
        """End both sides; what was sent before is handed over first."""
        other = self._other
        if other is not None:
            if self._sent:
                self._hand_over()
            self._other = None
            other._end(None)  # noqa: SLF001 - likewise


class LocalUplink:
    """The worker's way to its master, in place of a `Dialer`."""

    def __init__(
        self,
        join: Join,
        make_hello: Callable[[], pb.Hello],
        on_bodies: Callable[[Sequence[pb.Body]], None],
        on_welcome: Callable[[pb.Welcome], None],
        on_session_lost: Callable[[str, bool], None],
        on_link_lost: Callable[[str], None],
        carry: frozenset[str] = frozenset(),
    ) -> None:
        self._join = join
        self._make_hello = make_hello
        self._on_welcome = on_welcome
        self._end, self._masters = LocalEnd.pair()
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._end.on_bodies = on_bodies
        self._end.on_end = self._on_end
        self.is_connected = False

    def _on_end(self, error: Exception | None) -> None:
        self.is_connected = False
        if not self._ended.done():
            if error is None:
                self._ended.set_result(None)
            else:
                self._ended.set_exception(error)

    def send(self, body: pb.Body, flow: Flow = None) -> None:
        """Hand `body` to the master."""
        self._end.send(body)

    def leave(self, reason: str) -> None:
        """Say goodbye to the master."""
        self.send(pb.Body(close_session=pb.CloseSession(reason=reason)))

    async def run(self) -> None:
        """Be the master's worker until either side ends. Raises what either side's engine raised."""
        if not self._ended.done():
            hello = self._make_hello()
            hello.session = os.urandom(16)
            welcome = self._join(hello, self._masters)
            self.is_connected = True
            self._on_welcome(welcome)
        await self._ended

    async def flush(self, timeout: float) -> bool:
        """Let the master take what was sent."""
        await asyncio.sleep(0)
        return self._end.is_idle

    async def close(self) -> None:
        """End `run`."""
        self._end.close()
        self._on_end(None)
