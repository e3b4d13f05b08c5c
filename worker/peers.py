"""The other workers: what this one serves them, where, and how it gets what they serve."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.endpoints import host_toward
from manyhands.wire.pull import Readable
from manyhands.worker.exchange import Exchange

if TYPE_CHECKING:
    from manyhands.worker.peer_client import PeerClient
    from manyhands.worker.peer_server import PeerServer

#: What a worker that is told by which name others reach it listens at: that need be no address of its own.
_EVERYWHERE = "[::]"


class MasterWay(Protocol):
    """How the master is reached: a Way."""

    address: str
    is_network: bool

    @property
    def is_secret(self) -> bool: ...


class Peers:
    """Nothing is opened, nor gRPC loaded, before it is needed: nobody but the master's own host reaches it otherwise.

    address, certificate: what the master is to tell others; empty: this worker serves nobody.
    """

    def __init__(
        self,
        way: MasterWay,
        *,
        serves: bool = True,
        host: str = "",
        port: int = 0,
    ) -> None:
        """host: where others reach this worker, if not at the address from which it reaches the master.

        port: 0 means any. serves: whether it serves others at all.
        """
        self._way = way
        self._serves = serves
        self._host = host
        self._port = port
        self._server: PeerServer | None = None
        self._client: PeerClient | None = None
        self.address = ""
        self.certificate = b""

    async def start(self, store: Readable) -> None:
        """Serve what is in the store, if others can come: a worker beside its master leaves that to it. Raises OSError.

        Nothing if it does already.
        """
        if not self._serves or not self._way.is_network or self._server is not None:
            return
        from manyhands.worker.peer_server import PeerServer

        server = PeerServer(store)
        host = self._host or await asyncio.to_thread(host_toward, self._way.address)
        listen_host = _EVERYWHERE if self._host else host
        await server.start(host, self._port, is_secret=self._way.is_secret, listen_host=listen_host)
        self._server = server
        self.address, self.certificate = server.address, server.certificate

    def admit(self, admit: pb.Admit) -> None:
        """Whoever shows that ticket may have that datum."""
        if self._server is not None:
            self._server.admit(admit.ticket, admit.id)

    async def open(self, source: pb.Source) -> Exchange:
        """See Transferring."""
        if self._client is None:
            from manyhands.worker.peer_client import PeerClient

            self._client = PeerClient(is_secret=self._way.is_secret)
        return await self._client.open(source)

    async def stop(self) -> None:
        """Serve nobody any more, and be served by nobody; no transfer goes on."""
        server, self._server = self._server, None
        client, self._client = self._client, None
        if client is not None:
            await client.close()
        self.address, self.certificate = "", b""
        if server is not None:
            await server.stop()
