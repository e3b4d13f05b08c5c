"""Brings data to this host's store, each from where the master says, and tells how that ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.needs import Need
from manyhands.wire.pull import NotThere, Pull
from manyhands.wire.session import ProtocolError
from manyhands.worker.exchange import Exchange, SourceLost
from manyhands.worker.uplink_exchange import Uplink


class Writer(Protocol):
    """A file of the store that is being written. Whatever is called may wait for a disk, and raise OSError."""

    def write(self, offset: int, data: bytes) -> None: ...
    def commit(self) -> None: ...
    def abandon(self) -> None: ...


class Store(Protocol):
    """Where data are brought to: a HostStore."""

    def writer(self, id: bytes, size: int, *, slice_offset: int | None = None) -> Writer: ...


@dataclass(slots=True)
class _Begun:
    """What has come of a need so far. Where one source fails the next one goes on."""

    pull: Pull
    #: Makes the file.
    open: Callable[[], Writer]
    writer: Writer | None = None

    async def take_all(self, exchange: Exchange) -> None:
        """What is missing, from one source. Raises SourceLost, NotThere, ProtocolError, OSError."""
        if self.writer is None:
            await _in_thread(self._open)
        assert self.writer is not None
        while True:
            for fetch in self.pull.fetches():
                await exchange.ask(fetch)
            if self.pull.is_done:
                return
            part = await exchange.answer()
            if self.pull.on_part(part):
                await _in_thread(partial(self.writer.write, part.offset - self.pull.begin, part.data))

    def _open(self) -> None:
        self.writer = self.open()

    async def commit(self) -> None:
        """All is there. Raises OSError."""
        assert self.writer is not None
        await _in_thread(self.writer.commit)

    def abandon(self) -> None:
        """Remove what there is."""
        if self.writer is not None:
            self.writer.abandon()


class Transferring:
    """All transfers to this worker. All methods belong to the loop's thread.

    send: to the master, which hears of each source that it told: DataHere or SourceFailed.
    on_here(need): the store has it now. on_lost(need, reason): there is no room for it.
    open_peer: the way to another worker; raises SourceLost. None: this worker knows none.
    """

    def __init__(
        self,
        store: Store,
        send: Callable[[pb.Body], None],
        on_here: Callable[[Need], None],
        on_lost: Callable[[Need, str], None],
        open_peer: Callable[[pb.Source], Awaitable[Exchange]] | None = None,
    ) -> None:
        self._store = store
        self._send = send
        self._on_here = on_here
        self._on_lost = on_lost
        self._open_peer = open_peer
        self._uplink = Uplink(send)
        self._running: dict[Need, asyncio.Task[None]] = {}
        self._begun: dict[Need, _Begun] = {}
        #: Cancelled, and about to clean up.
        self._ending: set[asyncio.Task[None]] = set()

    def begin(self, source: pb.Source) -> None:
        """Get it from there, needed or not: the master waits to hear how that ends. Raises ProtocolError."""
        need = Need.of(source.need)
        if need in self._running:
            return
        begun = self._begun.get(need)
        if begun is None:
            pull = Pull(need, source.size)
            offset = None if need.is_whole else need.offset
            open_file = partial(self._store.writer, need.id, pull.end - pull.begin, slice_offset=offset)
            begun = self._begun[need] = _Begun(pull, open_file)
        self._running[need] = asyncio.create_task(self._bring(need, begun, source), name="transfer")

    def on_part(self, part: pb.Part) -> None:
        """The master has answered a Fetch."""
        self._uplink.on_part(part)

    def forget(self, ids: Iterable[bytes]) -> None:
        """Nobody needs these any more."""
        forgotten = set(ids)
        for need in [need for need in self._begun if need.id in forgotten]:
            if need in self._running:
                self._failed(need, "", "it is not needed any more", given_up=True)
            self._cancel(need)

    def restart(self) -> None:
        """The session is another, whose master knows nothing of what it had told."""
        for need in list(self._begun):
            self._cancel(need)

    async def close(self) -> None:
        """End them all, and remove what they have begun."""
        self.restart()
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _cancel(self, need: Need) -> None:
        begun = self._begun.pop(need)
        running = self._running.pop(need, None)
        if running is None:
            begun.abandon()
        else:
            self._ending.add(running)
            running.add_done_callback(self._ending.discard)
            # Only now: what it does in a thread ends first.
            running.add_done_callback(lambda _: begun.abandon())
            running.cancel()

    async def _bring(self, need: Need, begun: _Begun, source: pb.Source) -> None:
        try:
            async with await self._open(source) as exchange:
                await begun.take_all(exchange)
            await begun.commit()
        except OSError as error:
            reason = f"this worker's host has no room for it: {error}"
            self._forget(need).abandon()
            self._failed(need, source.address, reason, given_up=True)
            self._on_lost(need, reason)
        except (SourceLost, NotThere, ProtocolError) as error:
            begun.pull.restart()
            del self._running[need]
            self._failed(need, source.address, str(error))
        else:
            self._forget(need)
            self._send(pb.Body(data_here=pb.DataHere(needs=[source.need])))
            self._on_here(need)

    async def _open(self, source: pb.Source) -> Exchange:
        if not source.address:
            return self._uplink.open()
        if self._open_peer is None:
            raise SourceLost("this worker reaches no others")
        return await self._open_peer(source)

    def _forget(self, need: Need) -> _Begun:
        del self._running[need]
        return self._begun.pop(need)

    def _failed(self, need: Need, address: str, reason: str, *, given_up: bool = False) -> None:
        failed = pb.SourceFailed(need=need.message(), address=address, reason=reason, given_up=given_up)
        self._send(pb.Body(source_failed=failed))


async def _in_thread(step: Callable[[], None]) -> None:
    """Until `step` is over, even if whoever waits is cancelled: it uses what is closed next."""
    running = asyncio.get_running_loop().run_in_executor(None, step)
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait((running,))
        raise
