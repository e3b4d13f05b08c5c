"""The agent's shell around its host's store: joins it, tells slots of it, brings and removes data. Decides nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Protocol, assert_never

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.host_store import HostStore
from manyhands.wire.needs import Need
from manyhands.wire.pull import serve
from manyhands.worker import slot_frames as frames
from manyhands.worker.commands import DropData, DropUnreported, Transfer
from manyhands.worker.peers import Peers
from manyhands.worker.slot_frames import PREFIX_BYTES, Buffer
from manyhands.worker.transferring import Transferring


class StorageEvents(Protocol):
    """Who is told, on the loop's thread."""

    def on_entered(self) -> None:
        """There is another store than before: slots are to be told, before anything in it counts as there."""
        ...

    def on_joined(self, message: pb.JoinStore | None) -> None:
        """The store to tell the master of is there; None: there is none."""
        ...

    def on_here(self, need: Need) -> None:
        """A transfer has ended, and the master knows."""
        ...

    def on_lost(self, need: Need, reason: str) -> None:
        """A transfer cannot be: there is no room."""
        ...

    def on_dropped(self, ids: Sequence[bytes]) -> None:
        """See DropData."""
        ...

    def on_broken(self, error: BaseException) -> None:
        """An error of ours."""
        ...

    def complain(self, sentence: str) -> None:
        """To whoever runs this worker."""
        ...


class Storage:
    """What may wait for a disk is done in a thread of its own, in order.

    send: to the master. peers: the other workers; None: they are not reached, and do not reach this one. folder: where
    on disk lies what does not fit into memory; limit_bytes: how much does.
    """

    def __init__(
        self,
        events: StorageEvents,
        send: Callable[[pb.Body], None],
        peers: Peers | None,
        folder: Path | None,
        limit_bytes: int | None,
    ) -> None:
        self._events = events
        self._send = send
        self._peers = peers
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._thread = ThreadPoolExecutor(1, "manyhands-store")
        self._joining = asyncio.Lock()
        self._running: set[asyncio.Future[None]] = set()
        self._sessions_lost = 0
        self._cluster = b""
        self._store: HostStore | None = None
        self._transfers: Transferring | None = None
        self._prefixes: dict[int, bytes] = {}

    # ------------------------------------------------------------ the store

    def join(self, cluster: bytes) -> None:
        """Use the store of that cluster from now on, and no other; `on_joined` follows, unless the session is lost."""
        self._watch(asyncio.ensure_future(self._join(cluster, self._sessions_lost)))

    async def _join(self, cluster: bytes, session: int) -> None:
        async with self._joining:
            if session != self._sessions_lost:
                return
            message: pb.JoinStore | None = None
            try:
                if self._store is None or cluster != self._cluster:
                    await self._leave()
                    await self._enter(cluster)
                if self._store is not None:
                    message = pb.JoinStore(store=self._store.identity, ids=await self._in_thread(self._store.ids))
                    await self._meet_peers(self._store, message)
            except OSError as error:
                self._events.complain(f"tasks that refer to data will fail: {error}")
            if session == self._sessions_lost:
                self._events.on_joined(message)

    async def _enter(self, cluster: bytes) -> None:
        join = partial(HostStore.join, cluster, disk=self._folder, limit_bytes=self._limit_bytes)
        self._store = await self._in_thread(join)
        self._cluster = cluster
        events = self._events
        open_peer = self._peers.open if self._peers is not None else None
        self._transfers = Transferring(self._store, self._send, events.on_here, events.on_lost, open_peer)
        events.on_entered()

    async def _meet_peers(self, store: HostStore, message: pb.JoinStore) -> None:
        if self._peers is None:
            return
        try:
            await self._peers.start(store)
        except OSError as error:
            self._events.complain(f"other workers get data of this one through the master: {error}")
        message.address, message.certificate = self._peers.address, self._peers.certificate

    async def _leave(self) -> None:
        transfers, self._transfers = self._transfers, None
        store, self._store = self._store, None
        if transfers is not None:
            await transfers.close()
        if self._peers is not None:
            await self._peers.stop()
        if store is not None:
            await self._in_thread(store.close)

    async def close(self) -> None:
        """Leave the store; the last one that uses it removes it."""
        self._sessions_lost += 1
        async with self._joining:
            await self._leave()
        self._thread.shutdown(wait=False)

    def on_session_lost(self) -> None:
        """Whoever knew what was transferred has forgotten it."""
        self._sessions_lost += 1
        if self._transfers is not None:
            self._transfers.restart()

    def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Awaitable[Any]:
        return asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    def _watch(self, running: asyncio.Future[None]) -> None:
        self._running.add(running)
        running.add_done_callback(self._on_end)

    def _on_end(self, ended: asyncio.Future[None]) -> None:
        self._running.discard(ended)
        if not ended.cancelled() and (error := ended.exception()) is not None:
            self._events.on_broken(error)

    # ------------------------------------------------------------ data

    def has(self, need: Need) -> bool:
        """Whether it is in the store."""
        if self._store is None:
            return False
        return need.id in self._store if need.is_whole else self._store.has(*need)

    def takes(self, body: pb.Body) -> bool:
        """Whether what the master says is for the store alone, and has been dealt with."""
        match body.WhichOneof("kind"):
            case "part":
                if self._transfers is not None:
                    self._transfers.on_part(body.part)
            case "fetch":
                self._watch(asyncio.ensure_future(self._serve(body.fetch)))
            case "admit":
                if self._peers is not None:
                    self._peers.admit(body.admit)
            case _:
                return False
        return True

    async def _serve(self, fetch: pb.Fetch) -> None:
        """The master wants what only this host has."""
        part = pb.Part(id=fetch.id, offset=fetch.offset, missing=True)
        if self._store is not None:
            part = await self._in_thread(serve, fetch, self._store)
        self._send(pb.Body(part=part))

    def do(self, command: Transfer | DropData | DropUnreported) -> None:
        """Begin to carry it out."""
        match command:
            case Transfer():
                if self._transfers is not None:
                    self._transfers.begin(command.source)
            case DropData():
                if self._transfers is not None:
                    self._transfers.forget(command.ids)
                self._watch(asyncio.ensure_future(self._drop(command.ids)))
            case DropUnreported():
                prefix = self._prefixes.pop(command.slot, b"")
                self._watch(asyncio.ensure_future(self._in_thread(_drop_unreported, self._store, prefix, command.last)))
            case _:
                assert_never(command)

    async def _drop(self, ids: Sequence[bytes]) -> None:
        await self._in_thread(_drop, self._store, ids)
        self._events.on_dropped(ids)

    def frames_for(self, slot: int) -> list[Buffer]:
        """What a process of this slot is to be told of the store, if there is one."""
        if self._store is None:
            return []
        prefix = self._prefixes[slot] = os.urandom(PREFIX_BYTES)
        return frames.write_store(prefix, str(self._store.path))


def _drop(store: HostStore | None, ids: Iterable[bytes]) -> None:
    if store is not None:
        with suppress(FileNotFoundError):  # it was left meanwhile, and is gone
            store.drop(*ids)


def _drop_unreported(store: HostStore | None, prefix: bytes, last: bytes) -> None:
    if store is None or not prefix:
        return
    first = int.from_bytes(last[PREFIX_BYTES:], "big") + 1 if last.startswith(prefix) else 0
    with suppress(FileNotFoundError):  # likewise
        store.remove_unfinished()
        for number in count(first):
            id = prefix + number.to_bytes(8, "big")
            if id not in store:
                break
            store.drop(id)
