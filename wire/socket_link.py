"""Links over a Unix socket: how processes of one user talk on one machine.

A frame is its length (4 bytes, little endian) and its serialized message. Half the way of a gRPC stream, and
a process without gRPC in it may be forked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from struct import Struct
from typing import Any, cast

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.links import Inbox, LinkLost

_LENGTH = Struct("<I")
#: No frame comes near it (see session.py); what claims more is no peer of ours.
_FRAME_BYTES_MAX = 4 << 20


class SocketLink(asyncio.Protocol):
    """Either end. See Link."""

    address = ""  # whoever accepts it has made sure that it is this user
    certificate: bytes | None = None

    def __init__(self, on_connected: Callable[[SocketLink], None] = lambda _: None) -> None:
        self._on_connected = on_connected
        self._inbox = Inbox()
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._room: asyncio.Future[None] | None = None  # while the other side reads too slowly
        self.read = self._inbox.get
        self.read_all = self._inbox.get_all
        self.reason = "the connection was closed"

    # ------------------------------------------------------------ the transport's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._on_connected(self)

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        start, size = 0, len(received)
        while size - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(received, start)
            if length > _FRAME_BYTES_MAX:
                self._give_up(f"a frame of {length} bytes was announced: the other side does not speak our protocol")
                return
            end = start + _LENGTH.size + length
            if end > size:
                break
            try:
                frame = pb.Frame.FromString(bytes(received[start + _LENGTH.size : end]))
            except Exception as error:  # noqa: BLE001 - protobuf's own, from a module that moves between versions
                self._give_up(f"a frame could not be read: {error}")
                return
            self._inbox.put(frame)
            start = end
        if start:
            del received[:start]

    def _give_up(self, reason: str) -> None:
        """The other side says what cannot be understood: tell it, and hang up."""
        self.reason = reason
        self.refuse(pb.Refusal(code=pb.Refusal.CODE_INVALID, sentence=reason))
        if self._transport is not None:
            self._transport.close()

    @property
    def socket(self) -> Any:
        """What asyncio shows of the socket, while connected."""
        assert self._transport is not None
        return self._transport.get_extra_info("socket")

    def abort(self, reason: str) -> None:
        """End the connection at once."""
        self.reason = reason
        assert self._transport is not None
        self._transport.abort()

    def eof_received(self) -> bool:
        return False  # the transport closes

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None:
            self.reason = str(error)
        self._transport = None
        self._inbox.end()
        self.resume_writing()

    def pause_writing(self) -> None:
        self._room = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self._room = None

    # ------------------------------------------------------------ the pump's calls

    async def write(self, frame: pb.Frame) -> None:
        """See Link."""
        if self._room is not None:
            await self._room
        if self._transport is None or self._transport.is_closing():
            raise LinkLost(self.reason)
        data = frame.SerializeToString()
        self._transport.write(_LENGTH.pack(len(data)) + data)

    def refuse(self, refusal: pb.Refusal) -> None:
        """See Link."""
        if self._transport is not None and not self._transport.is_closing():
            data = pb.Frame(refusal=refusal).SerializeToString()
            self._transport.write(_LENGTH.pack(len(data)) + data)

    async def close(self) -> None:
        """See Link. What was written before is still delivered."""
        if self._transport is not None:
            self._transport.close()
        self._inbox.end()
        self.resume_writing()


async def dial(path: str) -> SocketLink:
    """Connect to the socket at `path`. Raises LinkLost."""
    try:
        _, link = await asyncio.get_running_loop().create_unix_connection(SocketLink, path)
    except OSError as error:
        raise LinkLost(str(error)) from error
    return link


async def listen(path: str, on_connected: Callable[[SocketLink], None]) -> asyncio.Server:
    """Serve at `path`; each new connection is told to `on_connected`."""
    return await asyncio.get_running_loop().create_unix_server(lambda: SocketLink(on_connected), path)
