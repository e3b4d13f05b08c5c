"""The master's part in the cluster's data: it keeps what was put, knows what stays with workers, and hands both out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from manyhands.master.data import DataRegistry, Datum
from manyhands.master.journal import Journal
from manyhands.master.peers import Peer
from manyhands.master.pulling import Pulling
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.host_store import DataMissing, HostStore
from manyhands.wire.session import ProtocolError

log = logging.getLogger("manyhands.master")

#: Clients' flow for data; see client.connection. Workers have jobs' numbers as flows, and none is 0 either.
DATA_FLOW = 0


class DataKeeper:
    """`peers` by number. All methods belong to the loop's thread.

    on_available: told of each datum that tasks may have waited for: it can be had, or is lost.
    """

    def __init__(self, peers: Mapping[int, Peer], store: HostStore | None, journal: Journal | None) -> None:
        """With a journal, `store` has a disk that outlives it. Without a store nothing can be put."""
        self._peers = peers
        self._store = store
        self._identity = store.identity if store is not None else ""
        self._journal = journal
        self._disk = ThreadPoolExecutor(1, "manyhands-data")
        self.registry = DataRegistry(self._on_gone)
        self.on_available: Callable[[bytes], None] = lambda _: None
        #: What each client holds, by id; who waits for what; who has joined which store.
        self._held: dict[int, dict[bytes, Datum]] = {}
        self._awaited: dict[bytes, set[int]] = {}
        self._located: dict[bytes, list[tuple[int, pb.DataNeed]]] = {}
        self._stores: dict[str, set[int]] = {self._identity: set()}
        self._pulling = Pulling(store, self._pulled, self._source_lost)
        self._loop = asyncio.get_running_loop()

    # ------------------------------------------------------------ who is there

    def join_store(self, peer: Peer, body: pb.Body) -> None:
        """A peer tells which store it uses."""
        message = body.join_store
        self._leave_store(peer)
        peer.store = message.store
        self._stores.setdefault(peer.store, set()).add(peer.number)
        for id in message.ids:
            datum = self.registry.get(id)
            if datum is not None:
                self._is_in(datum, peer.store)

    def left(self, peer: Peer) -> None:
        """A worker or client is gone: what it alone had, or needed, is, too."""
        self._held.pop(peer.number, None)
        for waiting in self._awaited.values():
            waiting.discard(peer.number)
        self._leave_store(peer)
        self._pulling.left(peer)

    def _leave_store(self, peer: Peer) -> None:
        members = self._stores.get(peer.store)
        if members is None or peer.number not in members:
            return
        members.discard(peer.number)
        if members or peer.store == self._identity:
            return
        del self._stores[peer.store]
        for datum in self.registry.all():
            if peer.store in datum.stores:
                datum.stores.discard(peer.store)
                if not datum.is_available:
                    self._lose(datum, f"it was on {peer.name} alone, which is gone")

    # ------------------------------------------------------------ what clients put and hold

    def put(self, client: Peer, body: pb.Body) -> None:
        """A client has a datum, and needs it to be kept."""
        message = body.put_data
        datum = self._add(client, message.id, message.size)
        self.hold(client, datum)
        if datum.is_kept:
            return
        if self._store is None:
            self._lose(datum, "this master has no place where data could be kept: see its log")
            return
        if message.content:
            self._store.put(message.id, [message.content])
        if message.content or client.store == self._identity:
            self._is_in(datum, self._identity)
            self._keep(datum)
        elif client.store:
            self._is_in(datum, client.store)
            self._pulling.begin(datum, client)
        else:
            raise ProtocolError(f"{client} has put {message.id.hex()}, and joined no store")

    def _add(self, peer: Peer, id: bytes, size: int) -> Datum:
        try:
            return self.registry.add(id, size)
        except ValueError as error:
            raise ProtocolError(f"{peer}: {error}") from error

    def hold(self, client: Peer, datum: Datum) -> None:
        """It is kept as long as the client's session, unless released."""
        held = self._held.setdefault(client.number, {})
        if datum.id not in held:
            held[datum.id] = datum
            if self._journal is not None:
                self._journal.data_held(client.hello.session, datum.id, datum.size)

    def release(self, client: Peer, body: pb.Body) -> None:
        """The client needs these no more."""
        held = self._held.get(client.number, {})
        for id in body.release_data.ids:
            if held.pop(id, None) is not None and self._journal is not None:
                self._journal.data_released(client.hello.session, id)

    def _on_gone(self, datum: Datum) -> None:
        """Nobody holds it."""
        self._pulling.end(datum.id)
        for store in datum.stores - {self._identity}:
            member = min(self._stores.get(store, ()), default=None)
            if member is not None:
                self._peers[member].send(pb.Body(forget=pb.Forget(ids=[datum.id])), DATA_FLOW)
        if self._store is not None:
            self._disk.submit(self._store.drop, datum.id)  # after what is being written of it

    # ------------------------------------------------------------ what blocks need

    def needed(self, ids: Iterable[bytes]) -> tuple[list[Datum], bytes | None]:
        """(the data of these names, the first of them that tasks have to wait for)."""
        found = []
        waits_for = None
        for id in ids:
            datum = self.registry.get(id)
            if datum is not None:
                found.append(datum)
            if waits_for is None and (datum is None or not (datum.is_available or datum.lost)):
                waits_for = id
        return found, waits_for

    # ------------------------------------------------------------ what results leave

    def left_behind(self, worker: Peer, client: Peer | None, stored: Iterable[pb.Stored]) -> list[Datum]:
        """Results of tasks are in the worker's store; `client` holds them from now on."""
        data = []
        for each in stored:
            datum = self._add(worker, each.id, each.size)
            self._is_in(datum, worker.store)
            if client is not None:
                self.hold(client, datum)
            data.append(datum)
        return data

    def forget(self, worker: Peer, stored: Iterable[pb.Stored]) -> None:
        """Results that came too late."""
        ids = [each.id for each in stored if self.registry.get(each.id) is None]
        if ids:
            worker.send(pb.Body(forget=pb.Forget(ids=ids)), DATA_FLOW)

    # ------------------------------------------------------------ becoming available

    def _is_in(self, datum: Datum, store: str) -> None:
        was_available = datum.is_available
        datum.stores.add(store)
        if not was_available:
            self.on_available(datum.id)

    def _keep(self, datum: Datum) -> None:
        """It is in our store; with a journal it must be on disk, too."""
        if self._journal is None or self._store is None:
            self._is_kept(datum)
            return
        writing = self._loop.run_in_executor(self._disk, self._store.persist, datum.id)
        writing.add_done_callback(partial(self._on_disk, datum.id))

    def _on_disk(self, id: bytes, writing: asyncio.Future[None]) -> None:
        datum = self.registry.get(id)
        error = writing.exception()
        if datum is None:
            return  # nobody needs it any more, and it may have gone in the middle
        if error is None:
            self._is_kept(datum)
        else:
            self._lose(datum, f"the master cannot keep it: {error}")

    def _is_kept(self, datum: Datum) -> None:
        datum.is_kept = True
        self._serve(datum)

    def _serve(self, datum: Datum) -> None:
        """What waited for the master to have it."""
        for number in self._awaited.pop(datum.id, ()):
            self._tell(self._peers[number], datum)
        for number, need in self._located.pop(datum.id, ()):
            if number in self._peers:
                self._answer(self._peers[number], need, datum)

    def _lose(self, datum: Datum, reason: str) -> None:
        datum.lost = reason
        log.warning("the datum %s is lost: %s", datum.id.hex(), reason)
        self._serve(datum)
        self.on_available(datum.id)

    # ------------------------------------------------------------ handing out

    def await_data(self, client: Peer, body: pb.Body) -> None:
        """A client wants to fetch these."""
        held = self._held.get(client.number, {})
        for id in body.await_data.ids:
            client.asked()
            datum = held.get(id)
            if datum is None:
                lost = "this client does not hold it"
                client.send(pb.Body(data_state=pb.DataState(id=id, lost=lost)), DATA_FLOW)
            elif datum.is_kept or datum.lost:
                self._tell(client, datum)
            else:
                self._awaited.setdefault(id, set()).add(client.number)
                self._want(datum)

    @staticmethod
    def _tell(client: Peer, datum: Datum) -> None:
        state = pb.DataState(id=datum.id, size=datum.size, is_kept=datum.is_kept, lost=datum.lost)
        client.send(pb.Body(data_state=state), DATA_FLOW)

    def fetch(self, peer: Peer, body: pb.Body) -> None:
        """A peer wants part of a datum that it was told of."""
        message = body.fetch
        part = pb.Part(id=message.id, offset=message.offset)
        peer.asked(message.length)
        try:
            is_client = peer.role == pb.ROLE_CLIENT
            if self._store is None or (is_client and message.id not in self._held.get(peer.number, {})):
                raise DataMissing(message.id)
            part.data = self._store.read(message.id, message.offset, message.length)
        except (DataMissing, ValueError, OSError) as error:
            log.info("%s asked for data that are not here: %s", peer, error)
            part.missing = True
        peer.send(pb.Body(part=part), DATA_FLOW)

    def part(self, peer: Peer, body: pb.Body) -> None:
        """Part of what we have asked for."""
        self._pulling.part(peer, body.part)

    def _want(self, datum: Datum) -> None:
        """The master is to have it."""
        for store in sorted(datum.stores):
            if store == self._identity:
                self._keep(datum)
                return
            for number in sorted(self._stores.get(store, ())):
                self._pulling.begin(datum, self._peers[number])
                return

    def _pulled(self, id: bytes) -> None:
        datum = self.registry.get(id)
        if datum is not None:
            self._is_in(datum, self._identity)
            self._keep(datum)

    def _source_lost(self, id: bytes) -> None:
        """Who was asked for it does not have it, or is gone."""
        datum = self.registry.get(id)
        if datum is not None and not datum.is_kept and not datum.lost:
            self._lose(datum, "who had it does not have it any more")

    # ------------------------------------------------------------ workers

    def locate(self, worker: Peer, body: pb.Body) -> None:
        """A worker's store lacks these."""
        for need in body.locate.needs:
            datum = self.registry.get(need.id)
            if datum is None:
                worker.send(pb.Body(source=pb.Source(need=need, lost="nobody holds it any more")), DATA_FLOW)
            elif datum.is_kept or datum.lost:
                self._answer(worker, need, datum)
            else:
                self._located.setdefault(need.id, []).append((worker.number, need))
                self._want(datum)

    @staticmethod
    def _answer(worker: Peer, need: pb.DataNeed, datum: Datum) -> None:
        worker.send(pb.Body(source=pb.Source(need=need, size=datum.size, lost=datum.lost)), DATA_FLOW)

    def data_here(self, worker: Peer, body: pb.Body) -> None:
        """A worker's store has these now."""
        for need in body.data_here.needs:
            datum = self.registry.get(need.id)
            if datum is not None and not need.length:
                self._is_in(datum, worker.store)

    def source_failed(self, worker: Peer, body: pb.Body) -> None:
        """A worker could not get something from where it was told to."""
        need = body.source_failed.need
        log.warning("%s could not fetch %s: %s", worker, need.id.hex(), body.source_failed.reason)
        datum = self.registry.get(need.id)
        if datum is not None:
            self._located.setdefault(need.id, []).append((worker.number, need))
            if datum.is_kept or datum.lost:
                self._serve(datum)
            else:
                self._want(datum)

    # ------------------------------------------------------------ after a restart

    def restore(self, kept: Iterable[tuple[bytes, bytes, int]], clients: Mapping[bytes, Peer]) -> None:
        """What clients held in an earlier life: (session, id, bytes); `clients` by session."""
        for session, id, size in kept:
            client = clients.get(session)
            if client is not None:
                datum = self.registry.add(id, size)
                self._held.setdefault(client.number, {})[id] = datum
                if self._store is not None and id in self._store:
                    datum.stores.add(self._identity)
                    self._keep(datum)
        if self._store is not None:
            self._store.keep_only([datum.id for datum in self.registry.all()])

    def close(self) -> None:
        """Nothing more will be kept or handed out."""
        self._disk.shutdown()
        if self._store is not None:
            self._store.close()
