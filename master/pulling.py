"""Pulling data to the master: from clients that have put them, from workers with whom they stayed."""

from __future__ import annotations

from collections.abc import Callable

from manyhands.master.data import Datum
from manyhands.master.peers import Peer
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.host_store import HostStore
from manyhands.wire.store_writer import Writer

#: Bytes asked for at a time, and how many times ahead of what has come.
RANGE_BYTES, RANGES_AHEAD = 1 << 20, 4
#: See data_keeper.
DATA_FLOW = 0


class _Pull:
    """A datum on its way from one peer."""

    def __init__(self, datum: Datum, source: Peer, writer: Writer) -> None:
        self.id, self.size = datum.id, datum.size
        self.source = source
        self.writer = writer
        self.asked = self.come = 0


class Pulling:
    """One master's. `on_end(id)`: it is in the store; `on_lost(id)`: its source does not have it, or is gone."""

    def __init__(
        self,
        store: HostStore | None,
        on_end: Callable[[bytes], None],
        on_lost: Callable[[bytes], None],
    ) -> None:
        self._store = store
        self._on_end = on_end
        self._on_lost = on_lost
        self._pulls: dict[bytes, _Pull] = {}

    def begin(self, datum: Datum, source: Peer) -> None:
        """Get it from there, unless it is on its way already."""
        if datum.id not in self._pulls and self._store is not None:
            pull = self._pulls[datum.id] = _Pull(datum, source, self._store.writer(datum.id, datum.size))
            self._ask(pull)

    def _ask(self, pull: _Pull) -> None:
        while pull.asked < pull.size and pull.asked - pull.come < RANGE_BYTES * RANGES_AHEAD:
            length = min(RANGE_BYTES, pull.size - pull.asked)
            pull.source.send(pb.Body(fetch=pb.Fetch(id=pull.id, offset=pull.asked, length=length)), DATA_FLOW)
            pull.asked += length

    def part(self, peer: Peer, message: pb.Part) -> None:
        """Some of it has come: in the order in which it was asked for."""
        pull = self._pulls.get(message.id)
        if pull is None or pull.source is not peer or message.offset != pull.come:
            return  # of one that was given up
        if message.missing or not message.data:
            self.end(pull.id)
            self._on_lost(pull.id)
            return
        pull.writer.write(message.offset, message.data)
        pull.come += len(message.data)
        if pull.come < pull.size:
            self._ask(pull)
            return
        del self._pulls[pull.id]
        pull.writer.commit()
        self._on_end(pull.id)

    def end(self, id: bytes) -> None:
        """Nobody needs it any more."""
        pull = self._pulls.pop(id, None)
        if pull is not None:
            pull.writer.abandon()

    def left(self, peer: Peer) -> None:
        """A source is gone."""
        for pull in [pull for pull in self._pulls.values() if pull.source is peer]:
            self.end(pull.id)
            self._on_lost(pull.id)
