"""Gets data from other workers: from who shows the certificate that the master has told."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.grpc_core import grpc, pb_grpc
from manyhands.wire.grpc_links import open_aio_channel, reason_of
from manyhands.wire.pinning import SERVER_NAME, PinFault, Trust, fetch_certificate, fingerprint
from manyhands.worker.exchange import SourceLost

#: Seconds that a peer may take to show its certificate, and then to send each part.
CONNECT_TIMEOUT = 5.0
STALL_TIMEOUT = 15.0
#: Why a call has ended comes soon after the sign that it has.
_LAST_WORDS_TIMEOUT = 1.0
#: Peers to which a connection is kept; beyond them the one that was used longest ago is closed.
PEERS_MAX = 64


@dataclass(slots=True)
class _Peer:
    """One that has shown the right certificate."""

    channel: grpc.aio.Channel
    transfers: int = 0
    is_kept: bool = True

    async def close_unused(self) -> None:
        """Nothing while a transfer goes on, or may be begun."""
        if not self.transfers and not self.is_kept:
            await self.channel.close()


class PeerClient:
    """The way to all peers. Transfers from one share a connection, until one of them fails."""

    def __init__(self, *, is_secret: bool, stall_timeout: float = STALL_TIMEOUT) -> None:
        """is_secret: no peer is talked to in plain text."""
        self._is_secret = is_secret
        self._stall_timeout = stall_timeout
        #: By address and certificate; the one used last is the last.
        self._peers: OrderedDict[tuple[str, bytes], _Peer] = OrderedDict()

    async def open(self, source: pb.Source) -> PeerExchange:
        """To be entered at once. Raises SourceLost if who is there is not who the master means; he is told nothing."""
        key = source.address, source.certificate
        if key not in self._peers:
            trust = await self._trust(*key)
            if key not in self._peers:  # or another transfer was faster
                self._peers[key] = _Peer(open_aio_channel(source.address, trust))
        self._peers.move_to_end(key)
        if len(self._peers) > PEERS_MAX:
            await self._drop(next(iter(self._peers)))
        return PeerExchange(self._peers[key], source.ticket, self._stall_timeout, partial(self._drop, key))

    async def _trust(self, address: str, certificate: bytes) -> Trust | None:
        if not certificate:
            if self._is_secret:
                raise SourceLost("it shows no certificate")
            return None
        host, _, port = address.rpartition(":")
        try:
            shown = await fetch_certificate(host, int(port), CONNECT_TIMEOUT)
        except (OSError, PinFault) as error:
            raise SourceLost(str(error)) from error
        if not hmac.compare_digest(fingerprint(shown), certificate):
            raise SourceLost("its certificate is not the one that the master told")
        return Trust(shown, SERVER_NAME)

    async def _drop(self, key: tuple[str, bytes]) -> None:
        peer = self._peers.pop(key, None)
        if peer is not None:
            peer.is_kept = False
            await peer.close_unused()

    async def close(self) -> None:
        """Once no transfer goes on."""
        for key in list(self._peers):
            await self._drop(key)


class PeerExchange:
    """One transfer: a call that shows the ticket. on_failed: what to do about the connection then."""

    def __init__(
        self, peer: _Peer, ticket: bytes, stall_timeout: float, on_failed: Callable[[], Awaitable[None]]
    ) -> None:
        self._peer = peer
        self._call: Any = pb_grpc.PeerStub(peer.channel).Pull()
        self._ticket = ticket
        self._stall_timeout = stall_timeout
        self._on_failed = on_failed
        self._is_connected = False

    async def __aenter__(self) -> Self:
        self._peer.transfers += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._call.cancel()
        self._peer.transfers -= 1
        if isinstance(error, SourceLost):
            await self._on_failed()
        await self._peer.close_unused()

    async def ask(self, fetch: pb.Fetch) -> None:
        """See Exchange."""
        request = pb.PullRequest(fetch=fetch)
        if not self._is_connected:
            await self._connect()
            request.ticket = self._ticket
        await self._within_time(self._call.write(request))

    async def answer(self) -> pb.Part:
        """See Exchange."""
        part = await self._within_time(self._call.read())
        if part is grpc.aio.EOF:
            raise SourceLost("it ended the transfer")
        assert isinstance(part, pb.Part)
        return part

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await self._call.wait_for_connection()
        except TimeoutError:
            raise SourceLost(f"no answer within {CONNECT_TIMEOUT:.0f} s") from None
        except grpc.aio.AioRpcError as error:
            raise SourceLost(reason_of(error)) from error
        self._is_connected = True

    async def _within_time(self, step: Awaitable[Any]) -> Any:
        """The step goes on, if it must, until the call is cancelled: cancelled by itself it would leak in gRPC."""
        try:
            async with asyncio.timeout(self._stall_timeout):
                return await asyncio.shield(step)
        except TimeoutError:
            raise SourceLost(f"nothing came from it for {self._stall_timeout:g} s") from None
        except (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError) as error:
            raise SourceLost(await self._why(error)) from error
        except asyncio.CancelledError:
            # So gRPC also reports a call that the other side has cancelled.
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            raise SourceLost("it cancelled the transfer") from None

    async def _why(self, error: Exception) -> str:
        """What the other side said at the end; of that, a write that fails says nothing."""
        said = ""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_TIMEOUT):
                said = await self._call.details()
        return said or (reason_of(error) if isinstance(error, grpc.aio.AioRpcError) else "it ended the transfer")
