"""The master: sessions, engine and what it listens on put together, started and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from manyhands.master.config import MasterConfig
from manyhands.master.door import Door, Keyring, Open
from manyhands.master.journal import Journal
from manyhands.master.journal_file import JournalFile
from manyhands.master.life import Life
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire import socket_link
from manyhands.wire.certificate import ServerIdentity
from manyhands.wire.connection_limits import ConnectionLimits
from manyhands.wire.host_store import HostStore
from manyhands.wire.links import Link
from manyhands.wire.local import LocalEnd
from manyhands.wire.same_host import SameHostServer

if TYPE_CHECKING:
    from manyhands.master.grpc_server import GrpcServer


log = logging.getLogger("manyhands.master")


class Master:
    """One master. Create it inside a running loop."""

    def __init__(
        self,
        config: MasterConfig = MasterConfig(),  # noqa: B008 - frozen
        data_dir: Path | None = None,
        on_broken: Callable[[Exception], None] = lambda _: None,
        keyring: Keyring | None = None,
    ) -> None:
        """With `data_dir` it keeps a journal there, and goes on where an earlier life left off. Raises JournalFault.

        keyring: who may come in; without one, everybody who reaches it.
        on_broken: told when the journal fails for good, after which nothing can be promised.
        """
        door = Door(config, keyring or Open())
        self._file: JournalFile | None = None
        if data_dir is None:
            self.cluster = os.urandom(16)
            epoch = int.from_bytes(os.urandom(6), "big")
            life = Life(config, Random(), epoch, self.cluster, None, door, _join_store(self.cluster))
        else:
            file = self._file = JournalFile(data_dir)
            self.cluster = file.identity
            journal = Journal(file, on_broken=on_broken)
            life = Life(config, Random(), file.epoch, self.cluster, journal, door, _join_store(self.cluster, data_dir))
            self._restore(life, file)
        self.engine, self._sessions, self._journal = life.engine, life.sessions, life.journal
        self._heartbeat_timeout = config.heartbeat_timeout
        self._grpc: GrpcServer | None = None
        self._same_host = SameHostServer(self._accept)
        self._socket: asyncio.Server | None = None
        self._local: set[asyncio.Task[None]] = set()

    @staticmethod
    def _restore(life: Life, file: JournalFile) -> None:
        kept = file.take_kept()
        if file.dropped_frames:
            log.warning(
                "%d pages of an unfinished commit were dropped: nobody had been promised them", file.dropped_frames
            )
        if kept.jobs:
            log.warning("going on with %d jobs from the journal", len(kept.jobs))
        life.restore(kept)

    async def listen(
        self,
        address: str,
        *,
        tcp_only: bool = False,
        identity: ServerIdentity | None = None,
        on_bound: Callable[[int], None] = lambda _: None,
    ) -> int:
        """Serve at "host:port" (port 0: any); without `identity`, in plain text. Return the port. Raises AddressInUse.

        on_bound(port): the port is ours; nobody has been served yet.
        Unless `tcp_only`, processes of this user on this machine that dial the address are served a shorter way.
        """
        from manyhands.master.grpc_server import GrpcServer

        limits = ConnectionLimits(silence_timeout=self._heartbeat_timeout)
        self._grpc = GrpcServer(self._sessions, self.engine, limits)
        port = await self._grpc.start(address, identity, on_bound)
        if not tcp_only:
            await self._same_host.start(address.rpartition(":")[0], port)
        return port

    async def listen_locally(self, path: str) -> None:
        """Serve at a Unix socket, for one user on this machine."""
        self._socket = await socket_link.listen(path, self._accept)

    def join(self, hello: pb.Hello, end: LocalEnd) -> pb.Welcome:
        """For a worker in this process; see LocalUplink."""
        return self._sessions.join(hello, end)

    def check_grants(self) -> None:
        """The tokens may have changed: whoever has lost his has to leave."""
        self._sessions.check_grants()

    def _accept(self, link: Link) -> None:
        serving = asyncio.create_task(self._sessions.accept(link), name="local-link")
        self._local.add(serving)
        serving.add_done_callback(self._local.discard)

    @property
    def running(self) -> int:
        """About how many tasks run on the workers."""
        return sum(min(worker.leased, worker.slots) for worker in self.engine.scheduler.workers.values())

    async def drain(self, timeout: float) -> None:
        """Hand out nothing more; wait at most `timeout` seconds until what runs has come to its clients."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        self.engine.drain()
        self._sessions.drain()
        clients = self._sessions.of_role(pb.ROLE_CLIENT)
        while loop.time() < deadline and (
            any(worker.leased for worker in self.engine.scheduler.workers.values())
            or any(client.pump is not None and not client.session.is_idle for client in clients)
        ):
            await asyncio.sleep(0.01)

    async def close(self, grace: float = 1.0) -> None:
        """End all connections and stop serving."""
        self._same_host.close()
        if self._socket is not None:
            self._socket.close()
        await self._sessions.close()
        if self._grpc is not None:
            await self._grpc.stop(grace)
        if self._local:
            await asyncio.wait(self._local, timeout=grace)
        self.engine.data.close()
        if self._journal is not None and self._file is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._journal.synced(), grace)
            self._file.close()


def _join_store(cluster: bytes, data_dir: Path | None = None) -> HostStore | None:
    """The store of this host; None if there cannot be one: everything but `put` works without."""
    try:
        return HostStore.join(cluster, kept=None if data_dir is None else data_dir / "data")
    except OSError as error:
        log.warning("no data can be kept: %s", error)
        return None
