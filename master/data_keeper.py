"""The master's part in the cluster's data: it keeps what was put, and knows who holds what."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from weakref import WeakValueDictionary

from manyhands.master.data import UNKNOWN_SIZE, DataRegistry, Datum
from manyhands.master.data_sources import DataSources
from manyhands.master.definitions import Definition
from manyhands.master.events import JobOptions
from manyhands.master.holdings import Holdings
from manyhands.master.journal import Journal
from manyhands.master.peers import Peer
from manyhands.master.recipes import Recipe, RecipeRoom, note
from manyhands.master.recomputing import Recomputing
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.blocks import Block
from manyhands.wire.data_flow import DATA_FLOW
from manyhands.wire.host_store import HostStore
from manyhands.wire.session import ProtocolError
from manyhands.wire.store_room import FULL

#: Which part of all room for data, in memory and on disk, those of one client may take.
CLIENT_SHARE = 0.5
#: Seconds until what the disk had no room for is written again.
FULL_RETRY = 1.0
#: In the journal, in place of a client's session: what tasks need, and no client holds any more.
_TASKS = b""

log = logging.getLogger("manyhands.master")


class DataKeeper:
    """`peers` by number. All methods belong to the loop's thread.

    tell_waiting: told of each datum that tasks may have waited for: it can be had, or is lost.
    """

    def __init__(
        self, peers: Mapping[int, Peer], store: HostStore | None, journal: Journal | None, recipe_bytes: int
    ) -> None:
        """recipe_bytes: the memory that recipes may take.

        With a journal, `store` has a folder that outlives it. Without a store nothing can be put.
        """
        self._peers = peers
        self._store = store
        self._journal = journal
        self._disk = ThreadPoolExecutor(1, "manyhands-data")
        self._loop = asyncio.get_running_loop()
        self.registry = DataRegistry(self._on_gone)
        self.sources = DataSources(peers, store, self.registry, self)
        self.tell_waiting: Callable[[bytes], None] = lambda _: None
        #: Set once.
        self.recomputing: Recomputing
        self._recipe_room = RecipeRoom(recipe_bytes)
        self._holdings = Holdings(0 if store is None else int(store.room_bytes() * CLIENT_SHARE))
        #: What clients have put, and workers left behind, of whom it is not known yet which store they use.
        self._unplaced: dict[int, dict[bytes, Datum]] = {}
        #: What clients' tasks need, and was not known when they said so.
        self._expected: dict[int, WeakValueDictionary[bytes, Datum]] = {}
        #: What tasks of an earlier life need, until those have been taken in again.
        self._restored: list[Datum] = []
        self._until_back: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._is_full = False  # the disk, when last written to

    def left(self, peer: Peer) -> None:
        """A worker or client is gone: what it alone had, or needed, is, too."""
        for datum in self._holdings.remove_all(peer.number):
            self._note(datum)
        expected = self._expected.pop(peer.number, None)
        untold = [] if expected is None else [datum for datum in expected.values() if datum.size == UNKNOWN_SIZE]
        for datum in (*untold, *self._unplaced.pop(peer.number, {}).values()):
            if not datum.is_available:
                self.lose(datum, f"it was with {peer} alone, which is gone")
        self.sources.left(peer)

    # ------------------------------------------------------------ what clients put and hold

    def put(self, client: Peer, body: pb.Body) -> None:
        """A client has a datum, and needs it to be kept."""
        message = body.put_data
        datum = self._add(client, message.id, message.size)
        self.hold(client, datum)
        if datum.is_kept:
            return
        if self._store is None:
            self.lose(datum, "this master has no place where data could be kept: see its log")
        elif fault := self._holdings.fault(client.number):
            self.lose(datum, fault)
        elif message.content:
            self._take(self._store, datum, message.content)
        elif client.store:
            self._place(self._store, client, datum)
        else:  # said again to a master that was restarted, ahead of which store that was
            self._unplaced.setdefault(client.number, {})[datum.id] = datum

    def joined_store(self, client: Peer, body: pb.Body) -> None:
        """A client tells which store it uses: what it has put is there."""
        self.sources.join_store(client, body)
        for datum in self._unplaced.pop(client.number, {}).values():
            if self._store is not None and not datum.is_available:
                self._place(self._store, client, datum)

    def worker_joined_store(self, worker: Peer, body: pb.Body) -> None:
        """A worker does: what it has left behind is there, also what came to be while it looked what there is."""
        self.sources.join_store(worker, body)
        for datum in self._unplaced.pop(worker.number, {}).values():
            if self.registry.get(datum.id) is datum:
                self.sources.stored(datum, worker.store)
            else:  # nobody has needed it for so long
                worker.send(pb.Body(forget=pb.Forget(ids=[datum.id])), DATA_FLOW)

    def _place(self, store: HostStore, client: Peer, datum: Datum) -> None:
        if client.store != store.identity:
            self.sources.bring(datum, client)
        elif datum.id in store:
            self.in_store(datum)
        else:
            self.lose(datum, f"it is not in the store of this host, where {client} should have put it")

    def _take(self, store: HostStore, datum: Datum, content: bytes) -> None:
        try:
            store.put(datum.id, [content])
        except OSError as error:
            self.lose(datum, f"the master has no room for it: {error}")
        else:
            self.in_store(datum)

    def _add(self, peer: Peer, id: bytes, size: int) -> Datum:
        try:
            return self._told_of(id, size)
        except ValueError as error:
            raise ProtocolError(f"{peer}: {error}") from error

    def _told_of(self, id: bytes, size: int) -> Datum:
        datum = self.registry.add(id, size)
        self.sources.known(datum)
        return datum

    def hold(self, client: Peer, datum: Datum) -> None:
        """It is kept as long as the client's session, unless released."""
        if self._holdings.add(client.number, datum) and self._journal is not None:
            self._journal.data_held(client.hello.session, datum.id, datum.size)

    def release(self, client: Peer, body: pb.Body) -> None:
        """The client needs these no more."""
        for id in body.release_data.ids:
            datum = self._holdings.remove(client.number, id)
            self._unplaced.get(client.number, {}).pop(id, None)
            if datum is not None:
                self._note(datum)
                if self._journal is not None:
                    self._journal.data_released(client.hello.session, id)

    def _note(self, datum: Datum) -> None:
        """A client holds it no more: as long as it is not gone, tasks need it, also after a restart."""
        if self._journal is not None and not datum.is_noted:
            datum.is_noted = True
            self._journal.data_held(_TASKS, datum.id, datum.size)

    def _on_gone(self, datum: Datum) -> None:
        """Nobody holds it."""
        if self._is_closed:
            return
        if self._journal is not None and datum.is_noted:
            self._journal.data_released(_TASKS, datum.id)
        if datum.is_coming:  # whoever else waited for it need not any more
            self._loop.call_soon(self.tell_waiting, datum.id)
        self.recomputing.gone(datum.id)
        self.sources.gone(datum)
        if self._store is not None:
            self._disk.submit(self._store.drop, datum.id)  # after what is being written of it

    # ------------------------------------------------------------ what blocks need

    def needed_by(self, block: pb.Block, client: Peer | None = None) -> tuple[Datum, ...]:
        """What its tasks need, which stays for as long as the caller holds it, though it may be yet to come."""
        data = tuple(self.registry.expect(need.id) for need in block.data)
        if client is not None:
            for datum in data:
                if datum.size == UNKNOWN_SIZE:
                    self._expected.setdefault(client.number, WeakValueDictionary())[datum.id] = datum
        return data

    # ------------------------------------------------------------ what results leave

    def left_behind(self, worker: Peer, client: Peer | None, stored: Iterable[pb.Stored]) -> list[Datum]:
        """Results of tasks are in the worker's store; `client` holds them from now on."""
        data = []
        for each in stored:
            datum = self._add(worker, each.id, each.size)
            if client is not None:
                self.hold(client, datum)
            self.is_with(worker, datum)
            data.append(datum)
        return data

    def is_with(self, worker: Peer, datum: Datum) -> None:
        """It is in the store of this worker, who may be about to say which one that is."""
        if worker.store:
            self.sources.stored(datum, worker.store)
        else:
            self._unplaced.setdefault(worker.number, {})[datum.id] = datum

    def note_recipe(
        self, datum: Datum, block: Block, index: int, options: JobOptions, held: tuple[Definition, ...]
    ) -> None:
        """The task at `index` of the block has computed it, for a job with these options and what they are made of."""
        note(datum, block, index, options, held, self._recipe_room)

    def revive(self, recipe: Recipe) -> Datum:
        """The datum of a recipe: somebody needs it (again)."""
        datum = self._told_of(recipe.id, recipe.size)
        datum.recipe = recipe
        return datum

    def forget(self, worker: Peer, stored: Iterable[pb.Stored]) -> None:
        """Results that came too late. What was computed twice under one name may be needed."""
        ids = [each.id for each in stored if self.registry.get(each.id) is None]
        if ids:
            worker.send(pb.Body(forget=pb.Forget(ids=ids)), DATA_FLOW)

    # ------------------------------------------------------------ becoming available

    def in_store(self, datum: Datum) -> None:
        """It is in our store; with a journal it must be on disk, too."""
        assert self._store is not None
        self.sources.stored(datum, self._store.identity)
        if self._journal is None:
            self._is_kept(datum)
        else:
            self._write_down(self._store, datum.id)

    def _write_down(self, store: HostStore, id: bytes) -> None:
        if not self._is_closed:
            writing = self._loop.run_in_executor(self._disk, store.persist, id)
            writing.add_done_callback(partial(self._on_disk, store, id))

    def _on_disk(self, store: HostStore, id: bytes, writing: asyncio.Future[None]) -> None:
        datum = self.registry.get(id)
        error = writing.exception()
        if datum is None:
            return  # nobody needs it any more, and it may have gone in the middle
        if error is None:
            self._tell_of_room(is_full=False, why="there is room again")
            self._is_kept(datum)
        elif isinstance(error, OSError) and error.errno in FULL:
            # Tasks can have it all the same. Who has put it keeps it, too, until it is here for good.
            self._tell_of_room(is_full=True, why=str(error))
            self._loop.call_later(FULL_RETRY, self._write_down, store, id)
        else:
            self.lose(datum, f"the master cannot keep it: {error}")

    def _tell_of_room(self, *, is_full: bool, why: str) -> None:
        if is_full != self._is_full:
            self._is_full = is_full
            log.warning("data %s the disk: %s", "wait to be written to" if is_full else "are written again to", why)

    def _is_kept(self, datum: Datum) -> None:
        datum.is_kept = True
        self.sources.kept(datum)
        self._tell_waiting(datum)

    def _tell_waiting(self, datum: Datum) -> None:
        for number in self._holdings.end_wait(datum):
            self._tell(self._peers[number], datum)

    def lose(self, datum: Datum, reason: str) -> None:
        """Nobody has it any more; unless it can be computed again, it is gone for good."""
        if datum.lost:
            return
        if datum.is_available or not self.recomputing.begin(datum, reason):
            self.lose_for_good(datum, reason)

    def lose_for_good(self, datum: Datum, reason: str) -> None:
        """Whoever waits for it is told."""
        datum.lost = reason
        log.warning("the datum %s is lost: %s", datum.id.hex(), reason)
        self.sources.lost(datum)
        self._tell_waiting(datum)
        self.on_available(datum.id)

    def on_available(self, id: bytes) -> None:
        """Tasks and clients may have waited for it: it can be had, or is lost."""
        datum = self.registry.get(id)
        if datum is not None and self._holdings.is_awaited(id) and not self.sources.is_here(datum):
            self.sources.bring_from_anywhere(datum)
        self.recomputing.changed(id)
        self.tell_waiting(id)

    # ------------------------------------------------------------ handing out

    def await_data(self, client: Peer, body: pb.Body) -> None:
        """A client wants to fetch these."""
        for id in body.await_data.ids:
            client.asked()
            datum = self._holdings.find(client.number, id)
            if datum is None:
                lost = "this client does not hold it"
                client.send(pb.Body(data_state=pb.DataState(id=id, lost=lost)), DATA_FLOW)
            elif datum.is_kept or datum.lost:
                self._tell(client, datum)
            elif self._store is None:
                lost = "this master has no place to which it could be brought: see its log"
                client.send(pb.Body(data_state=pb.DataState(id=id, lost=lost)), DATA_FLOW)
            else:
                self._holdings.wait(client.number, datum)
                self.sources.bring_from_anywhere(datum)

    @staticmethod
    def _tell(client: Peer, datum: Datum) -> None:
        state = pb.DataState(id=datum.id, size=datum.size, is_kept=datum.is_kept, lost=datum.lost)
        client.send(pb.Body(data_state=state), DATA_FLOW)

    def may_fetch(self, peer: Peer, id: bytes) -> bool:
        """Workers may have anything, clients what they hold."""
        return peer.role == pb.ROLE_WORKER or self._holdings.find(peer.number, id) is not None

    # ------------------------------------------------------------ after a restart

    def restore(self, kept: Iterable[tuple[bytes, bytes, int]], clients: Mapping[bytes, Peer]) -> None:
        """What clients held in an earlier life: (session, id, bytes); `clients` by session."""
        for session, id, size in kept:
            client = clients.get(session)
            if client is None and session != _TASKS:
                continue
            datum = self._told_of(id, size)
            if client is not None:
                self._holdings.add(client.number, datum)
            else:
                datum.is_noted = True
                self._restored.append(datum)
            if self._store is not None and id in self._store:
                self.in_store(datum)

    def known(self, id: bytes, size: int) -> Datum:
        """One that a driver kept in an earlier life: whoever has it will say so."""
        datum = self._told_of(id, size)
        if self._store is not None and id in self._store:
            self.sources.stored(datum, self._store.identity)
        return datum

    def restored(self, patience: float) -> None:
        """Whatever is of use still has been told; in so many seconds all who have any of it will have said so."""
        self._restored.clear()
        if self._store is not None:
            ids = [datum.id for datum in self.registry.all()]
            self._disk.submit(self._store.keep_only, ids)  # behind what is being written there
        self._until_back = self._loop.call_later(patience, self._all_back, patience)

    def _all_back(self, patience: float) -> None:
        """What nobody has a client may have put, whose master ended before it had all of it; it may come back still."""
        is_missing = False
        for datum in self.registry.all():
            if not datum.is_coming:
                continue
            if datum.size == UNKNOWN_SIZE:
                holders = [peer for peer in self._peers.values() if peer.role == pb.ROLE_CLIENT]
            else:
                holders = [self._peers[number] for number in self._holdings.holders(datum.id)]
            holder = next((peer for peer in holders if peer.store), None)
            if self._store is not None and holder is not None and datum.size != UNKNOWN_SIZE:
                self.sources.bring(datum, holder)
            elif any(peer.grace is not None for peer in holders):
                is_missing = True
            else:
                self.lose(datum, "whoever had it has not come back since the master was restarted")
        self._until_back = self._loop.call_later(patience, self._all_back, patience) if is_missing else None

    def close(self) -> None:
        """Nothing more will be kept or handed out."""
        self._is_closed = True
        if self._until_back is not None:
            self._until_back.cancel()
        self._disk.shutdown()
        if self._store is not None:
            self._store.close()
