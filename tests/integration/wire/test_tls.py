"""TLS under gRPC: its version, certificates on both sides, plain text refused."""

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from tests.support.certificates import Authority
from tests.support.grpc_answering import answer, serving
from tests.support.tls_listener import TlsListener

from manyhands.master.server import Master
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire import certificate
from manyhands.wire.certificate import ServerIdentity
from manyhands.wire.eventloop import loop_factory
from manyhands.wire.grpc_core import pb_grpc
from manyhands.wire.grpc_links import open_channel
from manyhands.wire.links import LinkLost
from manyhands.wire.pinning import SERVER_NAME, Trust

OURS = ServerIdentity(*certificate.make())
TRUST = Trust(OURS.certificate_pem, SERVER_NAME)


def run(test: Callable[[], Awaitable[Any]]) -> Any:
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(test())  # type: ignore[arg-type]


def shake_hands(port: int, context: ssl.SSLContext) -> tuple[str | None, str | None]:
    """The version and protocol agreed on with a server, by the standard library."""
    opened = socket.create_connection(("127.0.0.1", port), 10)
    with opened, context.wrap_socket(opened, server_hostname=SERVER_NAME) as secured:
        return secured.version(), secured.selected_alpn_protocol()


def strict_context() -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=OURS.certificate_pem.decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    context.set_alpn_protocols(["h2"])
    return context


def test_the_server_speaks_tls_1_3_and_its_certificate_holds_elsewhere_too() -> None:
    async def scenario() -> None:
        async with serving(OURS) as (port, _):
            assert await asyncio.to_thread(shake_hands, port, strict_context()) == ("TLSv1.3", "h2")

    run(scenario)


def test_the_server_refuses_older_versions() -> None:
    context = strict_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ALL:@SECLEVEL=0")

    async def scenario() -> None:
        async with serving(OURS) as (port, _):
            with pytest.raises(OSError):  # it hangs up
                await asyncio.to_thread(shake_hands, port, context)
            assert await answer(port, TRUST) == 7

    run(scenario)


def test_the_channel_refuses_older_versions() -> None:
    with TlsListener(OURS, maximum=ssl.TLSVersion.TLSv1_2) as listener:

        async def scenario() -> None:
            with pytest.raises(LinkLost):
                await answer(listener.port, TRUST)

        run(scenario)
    assert not listener.received
    assert all("NO_SHARED_CIPHER" in handshake for handshake in listener.handshakes)
    assert listener.handshakes


def test_the_users_processes_choose_their_ciphers_themselves() -> None:
    assert "GRPC_SSL_CIPHER_SUITES" not in os.environ


def test_whom_we_trust_answers() -> None:
    async def scenario() -> None:
        async with serving(OURS) as (port, sessions):
            assert await answer(port, TRUST) == 7
            assert sessions.certificates == [None]

    run(scenario)


def test_nobody_else_does() -> None:
    async def scenario() -> None:
        async with serving(OURS) as (port, sessions):
            with pytest.raises(LinkLost, match=r"(?i)handshake|verify"):
                await answer(port, Trust(certificate.make()[0], SERVER_NAME))
            with pytest.raises(LinkLost):  # the right certificate, but not made out to this address
                await answer(port, Trust(OURS.certificate_pem))
            assert not sessions.certificates

    run(scenario)


def test_plain_text_and_tls_do_not_mix() -> None:
    async def scenario() -> None:
        async with serving(None) as (port, sessions):
            with pytest.raises(LinkLost):
                await answer(port, TRUST)
            assert not sessions.certificates
        async with serving(OURS) as (port, sessions):
            with pytest.raises(LinkLost):
                await answer(port, None)
            assert not sessions.certificates

    run(scenario)


def test_a_status_is_asked_for_over_tls() -> None:
    def ask(port: int) -> pb.StatusReply:
        with open_channel(f"127.0.0.1:{port}", TRUST) as channel:
            return cast("pb.StatusReply", pb_grpc.MasterStub(channel).GetStatus(pb.StatusRequest(), timeout=10))

    async def scenario() -> pb.StatusReply:
        master = Master()
        port = await master.listen("127.0.0.1:0", tcp_only=True, identity=OURS)
        try:
            return await asyncio.to_thread(ask, port)
        finally:
            await master.close(0)

    assert run(scenario).package_version


def test_a_certificate_of_the_authority_is_shown_and_read() -> None:
    authority, stranger = Authority(), Authority()
    own = authority.issue("master")
    identity = ServerIdentity(own.certificate_pem, own.key_pem, authority.pem)

    async def scenario() -> None:
        async with serving(identity) as (port, sessions):
            anna = authority.issue("anna", "client")
            assert await answer(port, Trust(authority.pem, identity=anna)) == 7
            (shown,) = sessions.certificates
            assert shown is not None
            assert certificate.subject_of(shown) == ("anna", "client")
            with pytest.raises(LinkLost):
                await answer(port, Trust(authority.pem))
            with pytest.raises(LinkLost):
                await answer(port, Trust(authority.pem, identity=stranger.issue("anna", "client")))
            with pytest.raises(LinkLost):
                await answer(port, Trust(stranger.pem, identity=anna))
            assert len(sessions.certificates) == 1

    run(scenario)
