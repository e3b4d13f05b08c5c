"""Pulling data to the master: from clients that have put them, from workers with whom they stayed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from manyhands.master.data import Datum
from manyhands.master.peers import Peer
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.data_flow import DATA_FLOW
from manyhands.wire.host_store import HostStore
from manyhands.wire.needs import Need
from manyhands.wire.pull import NotThere, Pull
from manyhands.wire.store_writer import Writer


@dataclass(slots=True)
class _Coming:
    """A datum on its way from one peer."""

    pull: Pull
    source: Peer
    writer: Writer


class Pulling:
    """One master's. `on_end(id, source)`: it is in the store; `on_failed(id, source, reason)`: not from there."""

    def __init__(
        self,
        store: HostStore,
        on_end: Callable[[bytes, Peer], None],
        on_failed: Callable[[bytes, Peer, str], None],
    ) -> None:
        self._store = store
        self._on_end = on_end
        self._on_failed = on_failed
        self._coming: dict[bytes, _Coming] = {}

    def begin(self, datum: Datum, source: Peer) -> None:
        """Get it from there, unless it is on its way already."""
        if datum.id in self._coming:
            return
        try:
            writer = self._store.writer(datum.id, datum.size)
        except OSError as error:
            self._on_failed(datum.id, source, f"the master has no room for it: {error}")
            return
        coming = self._coming[datum.id] = _Coming(Pull(Need(datum.id), datum.size), source, writer)
        self._go_on(datum.id, coming)

    def _go_on(self, id: bytes, coming: _Coming) -> None:
        for fetch in coming.pull.fetches():
            coming.source.send(pb.Body(fetch=fetch), DATA_FLOW)
        if coming.pull.is_done:
            del self._coming[id]
            coming.writer.commit()
            self._on_end(id, coming.source)

    def part(self, peer: Peer, message: pb.Part) -> None:
        """Some of it has come. Raises ProtocolError."""
        coming = self._coming.get(message.id)
        if coming is None or coming.source is not peer:
            return  # of one that was given up
        try:
            if coming.pull.on_part(message):
                coming.writer.write(message.offset, message.data)
        except NotThere as missing:
            self.end(message.id)
            self._on_failed(message.id, peer, f"{peer} was asked for it: {missing}")
            return
        self._go_on(message.id, coming)

    def end(self, id: bytes) -> None:
        """Nobody needs it any more."""
        coming = self._coming.pop(id, None)
        if coming is not None:
            coming.writer.abandon()

    def left(self, peer: Peer) -> None:
        """A source is gone."""
        for id in [id for id, coming in self._coming.items() if coming.source is peer]:
            self.end(id)
            self._on_failed(id, peer, f"it was being fetched from {peer}, which is gone")
