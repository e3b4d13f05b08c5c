"""The master: sessions, engine and what it listens on put together, started and stopped."""

from __future__ import annotations

import asyncio
import os
from random import Random
from typing import TYPE_CHECKING

from manyhands.master.config import MasterConfig
from manyhands.master.engine import Engine
from manyhands.master.sessions import Sessions
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire import socket_link
from manyhands.wire.links import Link
from manyhands.wire.local import LocalEnd
from manyhands.wire.same_host import SameHostServer

if TYPE_CHECKING:
    from manyhands.master.grpc_server import GrpcServer


class Master:
    """One master. Create it inside a running loop."""

    def __init__(self, config: MasterConfig = MasterConfig(), epoch: int | None = None) -> None:  # noqa: B008 - frozen
        """`epoch` numbers this master's life; without a data directory to count in, it is random."""
        self._sessions = Sessions(config, int.from_bytes(os.urandom(6), "big") if epoch is None else epoch)
        self.engine = Engine(config, Random())
        self._sessions.events = self.engine
        self._grpc: GrpcServer | None = None
        self._same_host = SameHostServer(self._accept)
        self._socket: asyncio.Server | None = None
        self._local: set[asyncio.Task[None]] = set()

    async def listen(self, address: str, *, tcp_only: bool = False) -> int:
        """Serve at "host:port" (port 0: any); return the port. Raises AddressInUse.

        Unless `tcp_only`, processes of this user on this machine that dial the address are served a shorter way.
        """
        from manyhands.master.grpc_server import GrpcServer

        self._grpc = GrpcServer(self._sessions, self.engine)
        port = await self._grpc.start(address)
        if not tcp_only:
            await self._same_host.start(address.rpartition(":")[0], port)
        return port

    async def listen_locally(self, path: str) -> None:
        """Serve at a Unix socket, for one user on this machine."""
        self._socket = await socket_link.listen(path, self._accept)

    def join(self, hello: pb.Hello, end: LocalEnd) -> None:
        """For a worker in this process; see LocalUplink."""
        self._sessions.join(hello, end)

    def _accept(self, link: Link) -> None:
        serving = asyncio.create_task(self._sessions.accept(link), name="local-link")
        self._local.add(serving)
        serving.add_done_callback(self._local.discard)

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
