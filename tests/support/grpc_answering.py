"""A real gRPC server with nobody behind it but who answers each frame: for tests of connections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from manyhands.master.grpc_server import GrpcServer
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.certificate import ServerIdentity
from manyhands.wire.connection_limits import ConnectionLimits
from manyhands.wire.grpc_links import AcceptedLink, dial
from manyhands.wire.links import LinkLost
from manyhands.wire.pinning import Trust


class Answering:
    """In the place of the master's sessions: sends back what each link brings, and keeps what certificate it had."""

    def __init__(self) -> None:
        self.certificates: list[bytes | None] = []

    async def accept(self, link: AcceptedLink) -> None:
        self.certificates.append(link.certificate)
        while (frame := await link.read()) is not None:
            await link.write(frame)
        await link.close()


@asynccontextmanager
async def serving(
    identity: ServerIdentity | None,
    limits: ConnectionLimits = ConnectionLimits(),  # noqa: B008 - frozen
) -> AsyncIterator[tuple[int, Answering]]:
    """The port it serves, and who answers there."""
    sessions = Answering()
    server = GrpcServer(cast("Any", sessions), cast("Any", None), limits)
    port = await server.start("127.0.0.1:0", identity)
    try:
        yield port, sessions
    finally:
        await server.stop(0)


async def answer(port: int, trust: Trust | None) -> int:
    """What comes back of a frame numbered 7, over a link of its own. Raises LinkLost."""
    link = await dial(f"127.0.0.1:{port}", trust)
    try:
        await link.write(pb.Frame(sequence=7))
        frame = await link.read()
        if frame is None:
            raise LinkLost(link.reason)
        return frame.sequence
    finally:
        await link.close()
