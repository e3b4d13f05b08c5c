"""Links over gRPC: how masters, workers and clients on different machines talk."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from google.protobuf.message import DecodeError

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.grpc_core import grpc, pb_grpc
from manyhands.wire.links import LinkLost
from manyhands.wire.pinning import Trust

#: For every channel and server. Why each: docs/architecture.md, "gRPC settings".
CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.enable_http_proxy", 0),  # a proxy variable in the environment breaks even loopback
    ("grpc.use_local_subchannel_pool", 1),  # otherwise a new channel inherits the old one's backoff
    ("grpc.max_receive_message_length", 4 << 20),
    ("grpc.max_send_message_length", 4 << 20),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)
SERVER_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.so_reuseport", 0),  # otherwise a second master on the port starts, silently
    ("grpc.max_send_message_length", 4 << 20),
    ("grpc.keepalive_permit_without_calls", 1),
    # Strictly below the client's interval, or its pings count as abuse.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
)
#: What reading from, or writing to, a call raises in its server once it has ended.
CALL_ENDED = (grpc.aio.AioRpcError, grpc.RpcError, grpc.aio.UsageError, grpc.aio.InternalError)


def reason_of(error: grpc.RpcError) -> str:
    """What gRPC says, without its account of the addresses it tried."""
    text = error.details() or str(error.code())
    return text.rpartition("Failed to connect to remote host: ")[2]


class _GrpcLink(ABC):
    """What both ends share."""

    @abstractmethod
    async def read(self) -> pb.Frame | None:
        """See Link."""

    async def read_all(self, on_frame: Callable[[pb.Frame], None]) -> None:
        """See Link."""
        while (frame := await self.read()) is not None:
            on_frame(frame)


class DialledLink(_GrpcLink):
    """The end that dialled a master over gRPC."""

    address = ""
    certificate: bytes | None = None

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._call: Any = pb_grpc.MasterStub(channel).Connect()
        self._closed = False
        self._closing = asyncio.Event()
        self._connected = False
        self.reason = "the master closed the connection"

    async def read(self) -> pb.Frame | None:
        """See Link."""
        try:
            frame = await self._call.read()
        except grpc.aio.AioRpcError as error:
            self.reason = reason_of(error)
            return None
        except asyncio.CancelledError:
            # gRPC reports a call that `close` cancelled in the same way as our own task's cancellation.
            if self._closed:
                return None
            raise
        return None if frame is grpc.aio.EOF else frame

    async def write(self, frame: pb.Frame) -> None:
        """See Link."""
        try:
            if not self._connected:
                await self._wait_connected()
            await self._call.write(frame)
        except grpc.aio.AioRpcError as error:
            raise LinkLost(reason_of(error)) from error
        except (asyncio.InvalidStateError, grpc.aio.UsageError) as error:
            raise LinkLost(str(error) or "the connection was closed") from error
        except asyncio.CancelledError:
            if self._closed or self._call.cancelled():
                raise LinkLost("the connection was closed") from None
            raise

    async def _wait_connected(self) -> None:
        """GRPC does not wake a write that waits for its connection when the call is cancelled meanwhile."""
        connecting = asyncio.ensure_future(self._call.wait_for_connection())
        closing = asyncio.ensure_future(self._closing.wait())
        await asyncio.wait((connecting, closing), return_when=asyncio.FIRST_COMPLETED)
        closing.cancel()
        if not connecting.done():
            connecting.cancel()
            raise LinkLost("no answer")
        connecting.result()
        self._connected = True

    def refuse(self, refusal: pb.Refusal) -> None:
        """See Link. Who dialled has no way but to hang up."""

    async def close(self) -> None:
        """See Link."""
        if self._closed:
            return
        self._closed = True
        self._closing.set()
        self._call.cancel()
        await self._channel.close()


async def dial(address: str, trust: Trust | None = None) -> DialledLink:
    """Begin a connection to the master at "host:port"; without `trust`, in plain text.

    Nothing is awaited here: whether the master is there, and can be trusted, shows in the first read or write.
    """
    return DialledLink(open_aio_channel(address, trust))


def open_aio_channel(address: str, trust: Trust | None) -> grpc.aio.Channel:
    """A channel to the server at "host:port"; without `trust`, in plain text."""
    if trust is None:
        return grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
    return grpc.aio.secure_channel(address, _credentials(trust), options=_options(trust))


def open_channel(address: str, trust: Trust | None = None) -> grpc.Channel:
    """A channel for single calls that block, to the master at "host:port"; without `trust`, in plain text."""
    if trust is None:
        return grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
    return grpc.secure_channel(address, _credentials(trust), options=_options(trust))


def _credentials(trust: Trust) -> grpc.ChannelCredentials:
    own = trust.identity
    return grpc.ssl_channel_credentials(
        trust.root_pem, own.key_pem if own is not None else None, own.certificate_pem if own is not None else None
    )


def _options(trust: Trust) -> tuple[tuple[str, int | str], ...]:
    if trust.server_name is None:
        return CHANNEL_OPTIONS
    return (*CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", trust.server_name))


class AcceptedLink(_GrpcLink):
    """The master's end of a gRPC connection: lives inside the RPC's handler."""

    def __init__(self, context: Any) -> None:  # grpc.aio.ServicerContext, which has no usable stubs
        self.reason = "the connection was lost"
        self._context = context
        self.address = host_of(context.peer())
        self._over = asyncio.Event()
        #: Why the call is to end with a status that says so.
        self.refusal: pb.Refusal | None = None

    @property
    def certificate(self) -> bytes | None:
        """What the peer showed, PEM, and gRPC has verified: only a server that was given a client CA asks for it."""
        shown: tuple[bytes, ...] = self._context.auth_context().get("x509_pem_cert", ())
        return shown[0] if shown else None

    async def read(self) -> pb.Frame | None:
        """See Link."""
        try:
            frame = await self._context.read()
        except CALL_ENDED:
            return None
        except DecodeError as error:
            self.reason = f"a frame could not be read: {error}"
            self.refuse(pb.Refusal(code=pb.Refusal.CODE_INVALID, sentence=self.reason))
            return None
        return None if frame is grpc.aio.EOF else frame

    async def write(self, frame: pb.Frame) -> None:
        """See Link."""
        if self._over.is_set():
            raise LinkLost("the connection was closed")
        if frame.HasField("refusal"):
            self.refusal = frame.refusal
        try:
            await self._context.write(frame)
        except CALL_ENDED as error:
            raise LinkLost(str(error) or "the connection was closed") from error

    def refuse(self, refusal: pb.Refusal) -> None:
        """See Link: it is the call's status."""
        self.refusal = refusal

    async def close(self) -> None:
        """Let the handler return, which ends the call."""
        self._over.set()

    async def wait_closed(self) -> None:
        """For the handler: returns once `close` was called."""
        await self._over.wait()


def host_of(peer: str) -> str:
    """Of what gRPC calls a peer, such as "ipv4:192.0.2.7:40000" or "ipv6:%5B::1%5D:40000", the address alone."""
    return unquote(peer).partition(":")[2].rpartition(":")[0].strip("[]")
