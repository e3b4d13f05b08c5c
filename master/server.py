"""The master: sessions, engine and gRPC server put together, started and stopped."""

from __future__ import annotations

import asyncio
import os
from random import Random

import grpc.aio

from manyhands.master.config import MasterConfig
from manyhands.master.engine import Engine
from manyhands.master.servicer import Servicer
from manyhands.master.sessions import Sessions
from manyhands.protos import manyhands_pb2_grpc as pb_grpc
from manyhands.wire.links import SERVER_OPTIONS, Link, MemoryLink


class AddressInUse(OSError):
    """The master cannot listen where it was told to."""


class Master:
    """One master. Create it inside a running loop."""

    def __init__(self, config: MasterConfig = MasterConfig(), epoch: int | None = None) -> None:  # noqa: B008 - frozen
        """`epoch` numbers this master's life; without a data directory to count in, it is random."""
        self._sessions = Sessions(config, int.from_bytes(os.urandom(6), "big") if epoch is None else epoch)
        self.engine = Engine(config, Random())
        self._sessions.events = self.engine
        self._server: grpc.aio.Server | None = None
        self._local: set[asyncio.Task[None]] = set()

    async def listen(self, address: str) -> int:
        """Serve at "host:port" (port 0: any) or "unix:/path"; return the port. Raises AddressInUse."""
        server = grpc.aio.server(options=SERVER_OPTIONS)
        pb_grpc.add_MasterServicer_to_server(Servicer(self._sessions, self.engine), server)
        try:
            port = server.add_insecure_port(address)
        except RuntimeError as error:
            raise AddressInUse(f"cannot listen on {address}: is another master running there?") from error
        if not port:
            raise AddressInUse(f"cannot listen on {address}: is another master running there?")
        await server.start()
        self._server = server
        return port

    async def link(self) -> Link:
        """A connection for a worker in this process."""
        ours, theirs = MemoryLink.pair()
        serving = asyncio.create_task(self._sessions.accept(ours), name="memory-link")
        self._local.add(serving)
        serving.add_done_callback(self._local.discard)
        return theirs

    async def close(self, grace: float = 1.0) -> None:
        """End all connections and stop serving."""
        await self._sessions.close()
        if self._server is not None:
            await self._server.stop(grace)
        if self._local:
            await asyncio.wait(self._local, timeout=grace)
