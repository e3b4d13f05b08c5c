"""Fetching a certificate: from a master, from others, from nobody; and what reaches others of a secret."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from tests.support.certificates import Authority
from tests.support.tls_listener import TlsListener

from manyhands.master.server import Master
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire import certificate
from manyhands.wire.certificate import ServerIdentity
from manyhands.wire.eventloop import loop_factory
from manyhands.wire.grpc_links import dial
from manyhands.wire.handshake import make_hello
from manyhands.wire.links import LinkLost
from manyhands.wire.pinning import NotTls, PinFault, Trust, fetch_certificate, fingerprint, pin
from manyhands.wire.tokens import Token, new_secret

OURS = ServerIdentity(*certificate.make())
THEIRS = ServerIdentity(*certificate.make())


@pytest.fixture(params=[loop_factory(), asyncio.SelectorEventLoop], ids=["ours", "plain"])
def run(request: pytest.FixtureRequest) -> Iterator[Callable[[Awaitable[Any]], Any]]:
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


@contextlib.contextmanager
def listening() -> Iterator[tuple[socket.socket, int]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener, listener.getsockname()[1]


def greet_as_mail(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example.org\r\n")
    writer.close()


async def fetch_from_master(identity: ServerIdentity | None) -> bytes:
    master = Master()
    port = await master.listen("127.0.0.1:0", tcp_only=True, identity=identity)
    try:
        return await fetch_certificate("127.0.0.1", port, 10.0)
    finally:
        await master.close(0)


def test_a_masters_certificate(run) -> None:
    assert run(fetch_from_master(OURS)) == OURS.certificate_pem


def test_a_master_that_asks_for_certificates_shows_its_own_before(run) -> None:
    asking = ServerIdentity(OURS.certificate_pem, OURS.key_pem, Authority().pem)
    assert run(fetch_from_master(asking)) == OURS.certificate_pem


def test_a_master_in_plain_text_is_told_from_nobody(run) -> None:
    with pytest.raises(NotTls, match=r"at 127\.0\.0\.1:\d+ does not speak TLS 1\.3 .*--insecure.*secret was not sent"):
        run(fetch_from_master(None))


def test_a_server_of_older_tls_is_not_talked_to(run) -> None:
    with TlsListener(THEIRS, maximum=ssl.TLSVersion.TLSv1_2) as listener:
        with pytest.raises(NotTls, match=r"TLS 1\.3"):
            run(fetch_certificate("127.0.0.1", listener.port, 10.0))
        assert not listener.received


def test_nobody_answers(run) -> None:
    with listening() as (_, port):
        pass
    with pytest.raises(ConnectionRefusedError, match="Connection refused"):
        run(fetch_certificate("127.0.0.1", port, 10.0))


def test_who_accepts_and_says_nothing_is_given_up(run) -> None:
    with listening() as (_, port), pytest.raises(TimeoutError, match="no answer within"):
        run(fetch_certificate("127.0.0.1", port, 0.05))


def test_who_hangs_up_is_nobody(run) -> None:
    """A forwarded port whose far end is down does so: it may be back soon."""

    async def scenario() -> None:
        server = await asyncio.start_server(lambda _, writer: writer.transport.abort(), "127.0.0.1", 0)
        try:
            await fetch_certificate("127.0.0.1", server.sockets[0].getsockname()[1], 10.0)
        finally:
            server.close()

    with pytest.raises(ConnectionError):
        run(scenario())


@pytest.mark.parametrize("first", ["refuses", "is silent", "is no TLS"])
def test_all_addresses_are_tried(first: str) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        greet = await asyncio.start_server(greet_as_mail, "127.0.0.1", 0)
        with listening() as (refusing, refused), listening() as (_, silent), TlsListener(THEIRS) as listener:
            refusing.close()
            ports = {"refuses": refused, "is silent": silent, "is no TLS": greet.sockets[0].getsockname()[1]}
            kind = (socket.AF_INET, socket.SOCK_STREAM, 0, "")

            async def found(host: str, port: int, **_: object) -> list[Any]:
                return [(*kind, ("127.0.0.1", each)) for each in (ports[first], port)]

            loop.getaddrinfo = found  # type: ignore[assignment,method-assign]
            assert await fetch_certificate("master", listener.port, 1.0) == THEIRS.certificate_pem
        greet.close()

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(scenario())


def test_who_answers_the_wrong_way_says_more_than_who_does_not() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        greet = await asyncio.start_server(greet_as_mail, "127.0.0.1", 0)
        with listening() as (refusing, refused):
            refusing.close()
        kind = (socket.AF_INET, socket.SOCK_STREAM, 0, "")

        async def found(host: str, port: int, **_: object) -> list[Any]:
            return [(*kind, ("127.0.0.1", each)) for each in (port, refused)]

        loop.getaddrinfo = found  # type: ignore[assignment,method-assign]
        try:
            await fetch_certificate("master", greet.sockets[0].getsockname()[1], 10.0)
        finally:
            greet.close()

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner, pytest.raises(NotTls, match="at master:"):
        runner.run(scenario())


async def join(port: int, token: Token, trust: Trust | None = None) -> pb.Frame | None:
    """What those who join do: look, compare, and only then speak."""
    if trust is None:
        trust = pin(await fetch_certificate("127.0.0.1", port, 10.0), token, f"127.0.0.1:{port}")
    hello = make_hello(pb.ROLE_CLIENT, "test")
    hello.session = bytes(16)
    hello.secret = token.secret
    link = await dial(f"127.0.0.1:{port}", trust)
    try:
        await link.write(pb.Frame(hello=hello))
        return await link.read()
    finally:
        await link.close()


def test_the_secret_reaches_the_master_of_the_token(run) -> None:
    async def scenario() -> pb.Frame | None:
        master = Master()
        port = await master.listen("127.0.0.1:0", tcp_only=True, identity=OURS)
        try:
            return await join(port, Token(fingerprint(OURS.certificate_pem), new_secret()))
        finally:
            await master.close(0)

    frame = run(scenario())
    assert frame is not None
    assert frame.WhichOneof("handshake") == "welcome"


def test_the_secret_reaches_nobody_with_another_certificate(run) -> None:
    token = Token(fingerprint(OURS.certificate_pem), new_secret())
    with TlsListener(THEIRS) as listener, pytest.raises(PinFault):
        run(join(listener.port, token))
    # A whole handshake was made, so there was somebody to tell it to.
    assert listener.handshakes[0] == "TLSv1.3"
    assert not listener.received


def test_the_secret_reaches_nobody_who_steps_in_after_the_look(run) -> None:
    """Then it is gRPC that compares, with the certificate that was pinned."""
    token = Token(fingerprint(OURS.certificate_pem), new_secret())
    trusted = pin(OURS.certificate_pem, token, "127.0.0.1")
    with TlsListener(THEIRS) as listener, pytest.raises(LinkLost):
        run(join(listener.port, token, trusted))
    assert listener.handshakes
    assert not listener.received


def test_the_listener_of_these_tests_hears_what_it_is_sent(run) -> None:
    """Against tests that pass because nobody listened: to the certificate it trusts, a client does tell the secret."""
    token = Token(fingerprint(THEIRS.certificate_pem), new_secret())
    with TlsListener(THEIRS) as listener:

        async def scenario() -> None:
            joining = asyncio.create_task(join(listener.port, token))
            async with asyncio.timeout(10):
                while token.secret.encode() not in listener.received:
                    await asyncio.sleep(0.005)
            listener.hang_up()
            assert await joining is None

        run(scenario())
