"""Connections that are silent, slow or many, against a real server: gRPC honours each of our limits."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from tests.support.grpc_answering import answer, serving

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire import certificate
from manyhands.wire.certificate import ServerIdentity
from manyhands.wire.connection_limits import ConnectionLimits
from manyhands.wire.eventloop import loop_factory
from manyhands.wire.grpc_core import grpc, pb_grpc
from manyhands.wire.grpc_links import dial, open_channel
from manyhands.wire.links import LinkLost
from manyhands.wire.pinning import SERVER_NAME, Trust

OURS = ServerIdentity(*certificate.make())
TRUST = Trust(OURS.certificate_pem, SERVER_NAME)

#: How every HTTP/2 connection begins: the client's preface and its settings, of which it has none.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
PING = bytes([0, 0, 8, 6, 0, 0, 0, 0, 0]) + bytes(8)
#: Long enough for a busy machine; where a limit works, a fraction of it is used.
PATIENCE = 10.0


@pytest.fixture(params=[OURS, None], ids=["tls", "plain"])
def identity(request: pytest.FixtureRequest) -> ServerIdentity | None:
    return request.param


def trust_in(identity: ServerIdentity | None) -> Trust | None:
    return None if identity is None else TRUST


def run(test: Callable[[], Awaitable[Any]]) -> None:
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(test())  # type: ignore[arg-type]


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), PATIENCE)


def secure(opened: socket.socket, identity: ServerIdentity | None) -> socket.socket:
    """Over TLS if the server speaks it."""
    if identity is None:
        return opened
    context = ssl.create_default_context(cadata=identity.certificate_pem.decode())
    context.set_alpn_protocols(["h2"])
    return context.wrap_socket(opened, server_hostname=SERVER_NAME)


def read_to_end(opened: socket.socket) -> bytes:
    """All that comes until the server hangs up. Raises TimeoutError if it does not."""
    received = b""
    with contextlib.suppress(ConnectionError, ssl.SSLEOFError):
        while data := opened.recv(65536):
            received += data
    return received


@contextlib.contextmanager
def timed() -> Iterator[list[float]]:
    """How long the block took, afterwards."""
    taken: list[float] = []
    began = time.monotonic()
    yield taken
    taken.append(time.monotonic() - began)


@pytest.mark.parametrize("stage", ["says nothing", "agrees on TLS and says nothing", "drips"])
def test_who_does_not_finish_the_handshake_is_hung_up_on(identity: ServerIdentity | None, stage: str) -> None:
    def attack(port: int) -> None:
        with connect(port) as opened, timed() as taken:
            if stage == "agrees on TLS and says nothing":
                with secure(opened, identity) as secured:
                    read_to_end(secured)
            elif stage == "says nothing":
                read_to_end(opened)
            else:  # a byte now and then, each of them welcome
                opened.settimeout(0.02)
                start = PREFACE if identity is None else bytes([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]) + bytes(512)
                with contextlib.suppress(ConnectionError):
                    for byte in start[:-1]:
                        opened.send(bytes([byte]))
                        with contextlib.suppress(TimeoutError):
                            if not opened.recv(65536):
                                break
                    else:
                        pytest.fail("it listened to the end")
        assert 0.1 < taken[0] < PATIENCE

    async def scenario() -> None:
        async with serving(identity, ConnectionLimits(handshake_timeout=0.2)) as (port, _):
            await asyncio.to_thread(attack, port)
            assert await answer(port, trust_in(identity)) == 7

    run(scenario)


def test_who_opens_no_call_is_hung_up_on(identity: ServerIdentity | None) -> None:
    def attack(port: int) -> None:
        with secure(connect(port), identity) as opened, timed() as taken:
            opened.sendall(PREFACE)
            assert read_to_end(opened)
        assert 0.1 < taken[0] < PATIENCE

    async def scenario() -> None:
        async with serving(identity, ConnectionLimits(idle_timeout=0.2)) as (port, _):
            await asyncio.to_thread(attack, port)

    run(scenario)


def test_who_holds_a_call_may_be_silent_for_long(identity: ServerIdentity | None) -> None:
    async def scenario() -> None:
        limits = ConnectionLimits(handshake_timeout=0.1, idle_timeout=0.1)
        async with serving(identity, limits) as (port, _):
            link = await dial(f"127.0.0.1:{port}", trust_in(identity))
            for number in (1, 2):
                await link.write(pb.Frame(sequence=number))
                frame = await link.read()
                assert frame is not None
                assert frame.sequence == number
                await asyncio.sleep(0.6)  # six times what either limit allows
            await link.close()

    run(scenario)


def test_more_connections_are_refused_and_those_that_stand_go_on(identity: ServerIdentity | None) -> None:
    def fill(port: int, opened: contextlib.ExitStack) -> None:
        for _ in range(8):  # one of four is taken
            opened.enter_context(connect(port))

    async def scenario() -> None:
        async with serving(identity, ConnectionLimits(connections=4)) as (port, _):
            link = await dial(f"127.0.0.1:{port}", trust_in(identity))
            await link.write(pb.Frame(sequence=1))
            assert await link.read() is not None
            with contextlib.ExitStack() as opened:
                await asyncio.to_thread(fill, port, opened)
                with pytest.raises(LinkLost):
                    await answer(port, trust_in(identity))
                await link.write(pb.Frame(sequence=2))
                frame = await link.read()
                assert frame is not None
                assert frame.sequence == 2
            async with asyncio.timeout(PATIENCE):  # the server has yet to notice that they went
                while True:
                    try:
                        assert await answer(port, trust_in(identity)) == 7
                        break
                    except LinkLost:
                        await asyncio.sleep(0.02)
            await link.close()

    run(scenario)


def test_more_calls_on_a_connection_wait_for_one_to_end() -> None:
    async def scenario() -> None:
        async with serving(OURS, ConnectionLimits(streams=2)) as (port, sessions):
            channel = grpc.aio.secure_channel(
                f"127.0.0.1:{port}",
                grpc.ssl_channel_credentials(OURS.certificate_pem),
                options=(("grpc.ssl_target_name_override", SERVER_NAME),),
            )
            calls: list[Any] = [pb_grpc.MasterStub(channel).Connect() for _ in range(3)]

            async def ask(call: Any) -> Any:
                await call.write(pb.Frame(sequence=1))
                await call.read()
                return call

            asking = {asyncio.create_task(ask(call)) for call in calls}
            answered: set[asyncio.Task[Any]] = set()
            async with asyncio.timeout(PATIENCE):
                while len(answered) < 2:
                    await asyncio.sleep(0.005)
                    answered = {each for each in asking if each.done()}
                (waiting,) = asking - answered
                assert len(sessions.certificates) == 2
                answered.pop().result().cancel()
                await waiting
            await channel.close()

    run(scenario)


def test_long_headers_are_refused() -> None:
    def ask(port: int, size: int) -> grpc.StatusCode:
        with open_channel(f"127.0.0.1:{port}", TRUST) as channel:
            call = pb_grpc.MasterStub(channel).Connect(iter(()), metadata=(("x-filler", "x" * size),), timeout=PATIENCE)
            with contextlib.suppress(grpc.RpcError):
                list(call)
            return call.code()

    async def scenario() -> None:
        async with serving(OURS) as (port, _):
            assert await asyncio.to_thread(ask, port, 3000) == grpc.StatusCode.OK
            assert await asyncio.to_thread(ask, port, 4096) == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert await asyncio.to_thread(ask, port, 1 << 20) == grpc.StatusCode.RESOURCE_EXHAUSTED

    run(scenario)


def test_who_floods_with_pings_is_hung_up_on(identity: ServerIdentity | None) -> None:
    def attack(port: int) -> None:
        with secure(connect(port), identity) as opened:
            with contextlib.suppress(ConnectionError):
                opened.sendall(PREFACE + 100 * PING)
            assert b"too_many_pings" in read_to_end(opened)

    async def scenario() -> None:
        async with serving(identity) as (port, _):
            await asyncio.to_thread(attack, port)
            assert await answer(port, trust_in(identity)) == 7

    run(scenario)
