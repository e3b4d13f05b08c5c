"""Serves data to other workers: to who shows a ticket that the master has announced."""

from __future__ import annotations

import asyncio
from typing import Any

from google.protobuf.message import DecodeError

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire import certificate, grpc_ports
from manyhands.wire.certificate import ServerIdentity
from manyhands.wire.connection_limits import ConnectionLimits
from manyhands.wire.endpoints import host_port
from manyhands.wire.grpc_core import grpc, pb_grpc
from manyhands.wire.grpc_links import CALL_ENDED, host_of
from manyhands.wire.pull import Readable, serve
from manyhands.wire.session import ProtocolError
from manyhands.wire.throttle import Throttle
from manyhands.worker.tickets import Tickets

#: Seconds between two words of whoever is served.
IDLE_TIMEOUT = 30.0
#: Who comes before the master's word of his ticket waits so many seconds for it, and only so many may.
ADMIT_DELAY = 2.0
EARLY_MAX = 64

#: Seconds that those who are connected may take to see that it is over.
_STOP_TIMEOUT = 0.5
#: No request is longer: a ticket, an id, two numbers.
_REQUEST_BYTES = 1024
_LIMITS = ConnectionLimits(connections=256)
#: With which status a call ends, and why.
_Refusal = tuple[grpc.StatusCode, str]


class PeerServer:
    """What one worker serves. Create it inside a running loop.

    address, certificate: for the master to tell others; certificate: its hash, empty in plain text.
    """

    def __init__(self, store: Readable, limits: ConnectionLimits = _LIMITS, admit_delay: float = ADMIT_DELAY) -> None:
        self._tickets = Tickets()
        self._servicer = _Servicer(store, self._tickets, admit_delay)
        self._server = grpc_ports.new_server(limits, _REQUEST_BYTES)
        pb_grpc.add_PeerServicer_to_server(self._servicer, self._server)
        self.address = ""
        self.certificate = b""

    async def start(self, host: str, port: int, *, is_secret: bool, listen_host: str = "") -> None:
        """Serve at `host`, or, where it has another address there, at `listen_host`; port 0: any.

        is_secret: in TLS 1.3, by a certificate that is made now. Raises AddressInUse.
        """
        identity = None
        if is_secret:
            identity = ServerIdentity(*await asyncio.to_thread(certificate.make))
            self.certificate = certificate.fingerprint(identity.certificate_pem)
        port = await grpc_ports.start(self._server, host_port(listen_host or host, port), identity)
        self.address = host_port(host, port)

    def admit(self, ticket: bytes, id: bytes) -> None:
        """Whoever shows `ticket` may have the datum."""
        self._tickets.admit(ticket, id, asyncio.get_running_loop().time())
        self._servicer.admitted(ticket)

    async def stop(self) -> None:
        """Whoever is being served hears that it is over; if he hears nothing any more, gRPC would wait long for him."""
        stopping = asyncio.ensure_future(self._server.stop(0))
        await asyncio.wait((stopping,), timeout=_STOP_TIMEOUT)
        stopping.cancel()
        await self._servicer.stop()


class _Servicer(pb_grpc.PeerServicer):
    """See protos/manyhands.proto."""

    def __init__(self, store: Readable, tickets: Tickets, admit_delay: float) -> None:
        self._store = store
        self._tickets = tickets
        self._admit_delay = admit_delay
        self._throttle = Throttle()
        self._early: dict[bytes, asyncio.Future[None]] = {}
        self._serving: dict[asyncio.Task[_Refusal | None], asyncio.Event] = {}

    def admitted(self, ticket: bytes) -> None:
        """The master's word of a ticket has come."""
        waiting = self._early.get(ticket)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    async def Pull(self, request_iterator: Any, context: Any) -> None:
        """One transfer."""
        over = asyncio.Event()
        serving = asyncio.create_task(self._serve(_Call(context, over)), name="peer-transfer")
        self._serving[serving] = over
        serving.add_done_callback(self._ended)
        # A pending read must not be cancelled (that leaks in gRPC): returning ends the call, and that the read.
        await over.wait()
        if not serving.done():
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, f"nothing was asked for within {IDLE_TIMEOUT:.0f} s")
        refusal = serving.result()
        if refusal is not None:
            await context.abort(*refusal)

    def _ended(self, serving: asyncio.Task[_Refusal | None]) -> None:
        self._serving.pop(serving).set()

    async def stop(self) -> None:
        """End what goes on, once the server has stopped, and no call is read from any more."""
        for serving in self._serving:
            serving.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, call: _Call) -> _Refusal | None:
        """Until the other side has enough, or is refused."""
        request = await call.read()
        if request is None:
            return None
        id = await self._admit(request.ticket, call.host)
        if id is None:
            return grpc.StatusCode.UNAUTHENTICATED, "the ticket is unknown, used or too old"
        while request is not None:
            if request.fetch.id != id:
                return grpc.StatusCode.PERMISSION_DENIED, "the ticket is for another datum"
            try:
                part = await asyncio.to_thread(serve, request.fetch, self._store)
            except ProtocolError as error:
                return grpc.StatusCode.INVALID_ARGUMENT, str(error)
            except OSError as error:
                return grpc.StatusCode.INTERNAL, f"it cannot be read: {error}"
            if not await call.write(part):
                return None
            request = await call.read()
        return None

    async def _admit(self, ticket: bytes, host: str) -> bytes | None:
        """The datum that `ticket` is good for; None after a while."""
        loop = asyncio.get_running_loop()
        id = self._tickets.redeem(ticket, loop.time())
        if id is None and len(self._early) < EARLY_MAX and ticket not in self._early:
            early = self._early[ticket] = loop.create_future()
            await asyncio.wait((early,), timeout=self._admit_delay)
            del self._early[ticket]
            id = self._tickets.redeem(ticket, loop.time())
        if id is None:
            await asyncio.sleep(self._throttle.failed(host, loop.time()))
        return id


class _Call:
    """One call, of which nothing is left but to return once it is `over`."""

    def __init__(self, context: Any, over: asyncio.Event) -> None:  # grpc.aio.ServicerContext has no usable stubs
        self._context = context
        self._over = over
        self.host = host_of(context.peer())

    async def read(self) -> pb.PullRequest | None:
        """What is asked for next; None at the end. Whoever takes too long for that has come to it."""
        overdue = asyncio.get_running_loop().call_later(IDLE_TIMEOUT, self._over.set)
        try:
            request = await self._context.read()
        except (*CALL_ENDED, DecodeError):
            return None
        finally:
            overdue.cancel()
        return None if request is grpc.aio.EOF else request

    async def write(self, part: pb.Part) -> bool:
        """Whether there still is somebody to take it."""
        try:
            await self._context.write(part)
        except CALL_ENDED:
            return False
        return True
