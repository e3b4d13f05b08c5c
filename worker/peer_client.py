"""Gets data from other workers: from who shows the certificate that the master has told."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections import OrderedDict
from collections.abc import Awaitable
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
#: Peers whose certificates are remembered; beyond them the one that was met longest ago is forgotten.
PEERS_MAX = 1000


class PeerClient:
    """The way to all peers."""

    def __init__(self, *, is_secret: bool, stall_timeout: float = STALL_TIMEOUT) -> None:
        """is_secret: no peer is talked to in plain text."""
        self._is_secret = is_secret
        self._stall_timeout = stall_timeout
        self._met: OrderedDict[tuple[str, bytes], Trust] = OrderedDict()

    async def open(self, source: pb.Source) -> PeerExchange:
        """To be entered. Raises SourceLost if who is there is not who the master means; then nothing was sent."""
        trust = await self._trust(source.address, source.certificate)
        return PeerExchange(open_aio_channel(source.address, trust), source.ticket, self._stall_timeout)

    async def _trust(self, address: str, certificate: bytes) -> Trust | None:
        if not certificate:
            if self._is_secret:
                raise SourceLost("it shows no certificate")
            return None
        trust = self._met.pop((address, certificate), None)
        if trust is None:
            host, _, port = address.rpartition(":")
            try:
                shown = await fetch_certificate(host, int(port), CONNECT_TIMEOUT)
            except (OSError, PinFault) as error:
                raise SourceLost(str(error)) from error
            if not hmac.compare_digest(fingerprint(shown), certificate):
                raise SourceLost("its certificate is not the one that the master told")
            trust = Trust(shown, SERVER_NAME)
        self._met[address, certificate] = trust
        if len(self._met) > PEERS_MAX:
            self._met.popitem(last=False)
        return trust


class PeerExchange:
    """One transfer: a connection, and a call on it that shows the ticket."""

    def __init__(self, channel: grpc.aio.Channel, ticket: bytes, stall_timeout: float) -> None:
        self._channel = channel
        self._call: Any = pb_grpc.PeerStub(channel).Pull()
        self._ticket = ticket
        self._stall_timeout = stall_timeout
        self._is_connected = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._call.cancel()
        await self._channel.close()

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
