"""The master's gRPC face: converts calls to links and lookups; decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from manyhands.master.access import Denied
from manyhands.master.door import TooMany
from manyhands.master.engine import Engine
from manyhands.master.sessions import Sessions
from manyhands.master.status import snapshot
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire import grpc_ports
from manyhands.wire.certificate import ServerIdentity
from manyhands.wire.connection_limits import ConnectionLimits
from manyhands.wire.grpc_core import grpc, pb_grpc
from manyhands.wire.grpc_links import AcceptedLink

#: With which status a call ends that was refused.
_STATUS = {
    pb.Refusal.CODE_VERSION: grpc.StatusCode.FAILED_PRECONDITION,
    pb.Refusal.CODE_UNKNOWN_SESSION: grpc.StatusCode.NOT_FOUND,
    pb.Refusal.CODE_INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    pb.Refusal.CODE_SHUTTING_DOWN: grpc.StatusCode.UNAVAILABLE,
    pb.Refusal.CODE_ACCESS: grpc.StatusCode.UNAUTHENTICATED,
    pb.Refusal.CODE_NOT_ALLOWED: grpc.StatusCode.PERMISSION_DENIED,
    pb.Refusal.CODE_TOO_MANY: grpc.StatusCode.RESOURCE_EXHAUSTED,
}


class GrpcServer:
    """What serves one address."""

    def __init__(
        self,
        sessions: Sessions,
        engine: Engine,
        limits: ConnectionLimits = ConnectionLimits(),  # noqa: B008 - frozen
    ) -> None:
        self._server = grpc_ports.new_server(limits)
        pb_grpc.add_MasterServicer_to_server(Servicer(sessions, engine), self._server)

    async def start(
        self,
        address: str,
        identity: ServerIdentity | None = None,
        on_bound: Callable[[int], None] = lambda _: None,
    ) -> int:
        """See `grpc_ports.start`."""
        return await grpc_ports.start(self._server, address, identity, on_bound)

    async def stop(self, grace: float) -> None:
        """Stop serving; open calls may take `grace` seconds to end."""
        await self._server.stop(grace)


class Servicer(pb_grpc.MasterServicer):
    """See protos/manyhands.proto."""

    def __init__(self, sessions: Sessions, engine: Engine) -> None:
        self._sessions = sessions
        self._engine = engine
        self._serving: set[asyncio.Task[None]] = set()
        self._started_at = asyncio.get_running_loop().time()

    async def Connect(self, request_iterator: Any, context: Any) -> None:
        """One worker's or client's stream."""
        link = AcceptedLink(context)
        serving = asyncio.create_task(self._sessions.accept(link), name="connection")
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)
        # A pending read must not be cancelled (that leaks in gRPC): returning ends the call, and that the read.
        await link.wait_closed()
        if link.refusal is not None:
            await context.abort(_STATUS.get(link.refusal.code, grpc.StatusCode.UNKNOWN), link.refusal.sentence)

    async def GetStatus(self, request: pb.StatusRequest, context: Any) -> pb.StatusReply:
        """For `manyhands status`: everybody with a token may look."""
        link = AcceptedLink(context)
        try:
            with self._sessions.door.waiting(link.address):
                await self._sessions.door.grant(request.secret, link.address, link.certificate, None)
        except Denied as denied:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(denied))
        except TooMany as crowd:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(crowd))
        return snapshot(self._engine, asyncio.get_running_loop().time(), self._started_at)
