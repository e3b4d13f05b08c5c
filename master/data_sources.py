"""Where data are, and how they get to who needs them: carries out what the transfer planner decides."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable, Mapping
from typing import Protocol

from manyhands.master.data import DataRegistry, Datum
from manyhands.master.peers import Peer
from manyhands.master.pulling import Pulling
from manyhands.master.transfer_commands import (
    Command,
    NobodyHas,
    PullToMaster,
    SendAdmit,
    SendHere,
    SendLost,
    SendSource,
)
from manyhands.master.transfer_sources import MASTER
from manyhands.master.transfers import TransferPlanner
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.data_flow import DATA_FLOW
from manyhands.wire.host_store import HostStore
from manyhands.wire.needs import Need
from manyhands.wire.pull import serve

log = logging.getLogger("manyhands.master")

TICKET_BYTES = 32


class Keeper(Protocol):
    """Who decides what becomes of a datum; see DataKeeper."""

    def in_store(self, datum: Datum) -> None: ...
    def lose(self, datum: Datum, reason: str) -> None: ...
    def on_available(self, id: bytes) -> None: ...
    def may_fetch(self, peer: Peer, id: bytes) -> bool: ...


class DataSources:
    """`peers` by number. All methods belong to the loop's thread."""

    def __init__(
        self, peers: Mapping[int, Peer], store: HostStore | None, registry: DataRegistry, keeper: Keeper
    ) -> None:
        self._peers = peers
        self._store = store
        self._registry = registry
        self._keeper = keeper
        self._planner = TransferPlanner(lambda: os.urandom(TICKET_BYTES))
        self._pulling = None if store is None else Pulling(store, self._brought, self._not_brought)
        #: Peers by the store that they have joined.
        self._members: dict[str, set[int]] = {}
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    # ------------------------------------------------------------ who is there

    def join_store(self, peer: Peer, body: pb.Body) -> None:
        """A peer tells which store it uses; after a restart of ours maybe twice."""
        message = body.join_store
        if peer.store != message.store:
            self._leave_store(peer)
        peer.store = message.store
        self._members.setdefault(peer.store, set()).add(peer.number)
        known = [datum for id in message.ids if (datum := self._registry.get(id)) is not None]
        if peer.role == pb.ROLE_WORKER:
            ids = [datum.id for datum in known]
            self._do(self._planner.joined(peer.number, peer.store, message.address, message.certificate, ids))
        for datum in known:
            self.stored(datum, peer.store)

    def left(self, peer: Peer) -> None:
        """A worker or client is gone."""
        if self._pulling is not None:
            self._pulling.left(peer)
        self._leave_store(peer)

    def _leave_store(self, peer: Peer) -> None:
        """The data of a store go with the last of its members."""
        members = self._members.get(peer.store)
        if members is None or peer.number not in members:
            return
        members.discard(peer.number)
        if peer.role == pb.ROLE_WORKER:
            self._do(self._planner.left(peer.number))
        if not members and not self._is_ours(peer.store):
            del self._members[peer.store]
            gone = [datum for datum in self._registry.all() if peer.store in datum.stores]
            for datum in gone:
                datum.stores.discard(peer.store)
                self._do(self._planner.lacks(peer.store, datum.id))
            for datum in gone:  # only now, as they may be needed to compute one another
                if not datum.is_available:
                    unknown = "" if datum.recipe is not None else ", and how it was computed is not remembered"
                    self._keeper.lose(datum, f"it was with {peer} alone, which is gone{unknown}")

    def is_here(self, datum: Datum) -> bool:
        """Whether it is in our own store."""
        return any(map(self._is_ours, datum.stores))

    def _is_ours(self, store: str) -> bool:
        return self._store is not None and store == self._store.identity

    # ------------------------------------------------------------ where what is

    def known(self, datum: Datum) -> None:
        """There is, or will be, such a datum."""
        self._planner.known(datum.id, datum.size)

    def stored(self, datum: Datum, store: str) -> None:
        """A store has it."""
        assert store  # or it would be taken for the master's
        was_available = datum.is_available
        datum.stores.add(store)
        self._do(self._planner.stored(store, datum.id))
        if not was_available:
            self._keeper.on_available(datum.id)

    def kept(self, datum: Datum) -> None:
        """The master has it for good."""
        self._do(self._planner.stored(MASTER, datum.id))

    def lost(self, datum: Datum) -> None:
        """It is gone for good."""
        self._do(self._planner.lost(datum.id, datum.lost))

    def gone(self, datum: Datum) -> None:
        """Nobody needs it any more."""
        self._do(self._planner.dropped(datum.id))
        if self._pulling is not None:
            self._pulling.end(datum.id)
        for store in datum.stores:
            member = min(self._members.get(store, ()), default=None)
            if member is not None and not self._is_ours(store):
                self._peers[member].send(pb.Body(forget=pb.Forget(ids=[datum.id])), DATA_FLOW)

    # ------------------------------------------------------------ bringing it here

    def bring(self, datum: Datum, peer: Peer) -> None:
        """The master is to have it, from this peer."""
        assert self._pulling is not None
        self._pulling.begin(datum, peer)

    def bring_from_anywhere(self, datum: Datum) -> None:
        """The master is to have it."""
        for store in sorted(datum.stores):
            if self._is_ours(store):
                self._keeper.in_store(datum)
                return
            member = min(self._members.get(store, ()), default=None)
            if member is not None and self._pulling is not None:
                self._pulling.begin(datum, self._peers[member])
                return

    def _brought(self, id: bytes, source: Peer) -> None:
        datum = self._registry.get(id)
        if datum is not None:
            self._keeper.in_store(datum)
            self.stored(datum, source.store)  # a client's, too: it is to forget it in the end

    def _not_brought(self, id: bytes, source: Peer, reason: str) -> None:
        datum = self._registry.get(id)
        if datum is None:
            return
        datum.stores.discard(source.store)
        self._do(self._planner.lacks(source.store, id))
        if datum.stores:
            self.bring_from_anywhere(datum)
        elif not datum.is_kept:
            self._keeper.lose(datum, reason)

    # ------------------------------------------------------------ what workers ask and tell

    def locate(self, worker: Peer, body: pb.Body) -> None:
        """A worker's store lacks these."""
        for message in body.locate.needs:
            need = Need.of(message)
            datum = self._registry.get(need.id)
            if not worker.store or (datum is not None and datum.lost):
                reason = datum.lost if datum is not None else "this worker has joined no store"
                self._do([SendLost(worker.number, need, reason)])
            else:
                self._do(self._planner.locate(worker.number, need))

    def data_here(self, worker: Peer, body: pb.Body) -> None:
        """A worker's store has these now."""
        for message in body.data_here.needs:
            need = Need.of(message)
            if worker.store:
                self._do(self._planner.here(worker.number, need))
                datum = self._registry.get(need.id)
                if datum is not None and need.is_whole:
                    self.stored(datum, worker.store)

    def source_failed(self, worker: Peer, body: pb.Body) -> None:
        """A worker could not get something from where it was told to."""
        message = body.source_failed
        need = Need.of(message.need)
        log.warning(
            "%s could not fetch %s from %s: %s", worker, need.id.hex(), message.address or "here", message.reason
        )
        if worker.store and message.given_up:
            self._do(self._planner.gave_up(worker.number, need))
        elif worker.store:
            self._do(self._planner.source_failed(worker.number, need, message.address, self._loop.time()))

    def _do(self, commands: Iterable[Command]) -> None:
        for command in commands:
            match command:
                case SendSource():
                    source = pb.Source(
                        need=command.need.message(),
                        size=command.size,
                        address=command.address,
                        certificate=command.certificate,
                        ticket=command.ticket,
                    )
                    self._send(command.worker, pb.Body(source=source))
                case SendHere():
                    self._send(command.worker, pb.Body(source=pb.Source(need=command.need.message(), is_here=True)))
                case SendLost():
                    source = pb.Source(need=command.need.message(), lost=command.reason)
                    self._send(command.worker, pb.Body(source=source))
                case SendAdmit():
                    self._send(command.worker, pb.Body(admit=pb.Admit(ticket=command.ticket, id=command.id)))
                case PullToMaster():
                    datum = self._registry.get(command.id)
                    if datum is not None:
                        self.bring(datum, self._peers[command.worker])
                case NobodyHas():
                    datum = self._registry.get(command.id)
                    if datum is not None and datum.is_kept:
                        self._keeper.lose(datum, "it is gone from the master's store")
                    # Otherwise it was said to be lost, or is being put, or computed anew, and will be stored.
        self._look_ahead()

    def _send(self, worker: int, body: pb.Body) -> None:
        peer = self._peers.get(worker)
        if peer is not None:  # otherwise it has just left
            peer.send(body, DATA_FLOW)

    def _look_ahead(self) -> None:
        due = self._planner.next_deadline()
        if due is None or (self._timer is not None and self._timer_at <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due  # what uvloop makes of an instant that has come already cannot be asked for it
        self._timer = self._loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._do(self._planner.tick(self._loop.time()))

    # ------------------------------------------------------------ bytes

    def fetch(self, peer: Peer, body: pb.Body) -> None:
        """A peer wants part of a datum that it was told of. Raises ProtocolError."""
        message = body.fetch
        peer.asked(message.length)
        if self._store is None or not self._keeper.may_fetch(peer, message.id):
            part = pb.Part(id=message.id, offset=message.offset, missing=True)
        else:
            part = serve(message, self._store)
        peer.send(pb.Body(part=part), DATA_FLOW)

    def part(self, peer: Peer, body: pb.Body) -> None:
        """Part of what we have asked for. Raises ProtocolError."""
        if self._pulling is not None:
            self._pulling.part(peer, body.part)
