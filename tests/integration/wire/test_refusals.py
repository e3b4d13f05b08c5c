"""Who breaks the rules is told so: over gRPC by the call's status, at a Unix socket by a last frame."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest
from tests.fuzz import rubbish

from manyhands.master.access import Access, Entry
from manyhands.master.access import Role as AccessRole
from manyhands.master.config import MasterConfig
from manyhands.master.door import Tokens
from manyhands.master.server import Master
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire import socket_link
from manyhands.wire.eventloop import loop_factory
from manyhands.wire.grpc_core import grpc
from manyhands.wire.handshake import make_hello

CONFIG = MasterConfig(handshake_timeout=5.0)


def run(story: Callable[[], Coroutine[None, None, None]]) -> None:
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(asyncio.wait_for(story(), 20))


def hello(**changes: object) -> pb.Hello:
    made = make_hello(pb.ROLE_CLIENT, "broken")
    made.session = bytes(16)
    made.MergeFrom(pb.Hello(**changes))  # type: ignore[arg-type]
    return made


async def call(address: str, *messages: bytes) -> tuple[grpc.StatusCode, str, list[pb.Frame]]:
    """Send these as one stream; how the master ended it, and what it said before."""
    async with grpc.aio.insecure_channel(address) as channel:
        connect = channel.stream_stream("/manyhands.v1.Master/Connect")()
        heard: list[pb.Frame] = []
        for number, message in enumerate(messages):
            await connect.write(message)
            if number == 0 and len(messages) > 1:
                heard.append(pb.Frame.FromString(await connect.read()))
        try:
            while (data := await connect.read()) is not grpc.aio.EOF:
                heard.append(pb.Frame.FromString(data))
        except grpc.aio.AioRpcError:
            pass  # the status, which follows
        return await connect.code(), await connect.details(), heard


def frame(**fields: object) -> bytes:
    return pb.Frame(**fields).SerializeToString()  # type: ignore[arg-type]


INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("messages", "status", "sentence"),
    [
        ([frame(sequence=1)], INVALID, "begins with a hello"),
        ([frame(hello=hello(name="\x1b[2J"))], INVALID, "cannot be printed"),
        ([frame(hello=hello(protocol=99))], grpc.StatusCode.FAILED_PRECONDITION, "speaks protocol 99"),
        ([frame(hello=hello(resume=True))], grpc.StatusCode.NOT_FOUND, "does not know this session"),
        ([frame(hello=hello()), frame(sequence=1, bodies=[pb.Body()])], INVALID, "unknown kind"),
        ([frame(hello=hello()), frame(acknowledged=1 << 40)], INVALID, "only 1 were sent"),
        (
            [frame(hello=hello()), frame(sequence=1, fragment=pb.Fragment(id=1, data=b"\xff\xff", last=True))],
            INVALID,
            "could not be read",
        ),
        (
            [frame(hello=hello()), frame(sequence=1, bodies=[pb.Body(consumed=pb.Consumed(bytes=1 << 63))])],
            INVALID,
            "consumed.bytes",
        ),
    ],
)
def test_over_grpc_the_status_says_what_was_wrong(
    messages: list[bytes], status: grpc.StatusCode, sentence: str
) -> None:
    async def story() -> None:
        master = Master(CONFIG)
        port = await master.listen("127.0.0.1:0")
        try:
            code, details, _ = await call(f"127.0.0.1:{port}", *messages)
            assert code == status
            assert sentence in details
            assert not master.engine.peers, "its session is over"
        finally:
            await master.close()

    run(story)


@pytest.mark.parametrize("messages", [[b"\xff\xff\xff\xff"], [frame(hello=hello()), b"\xff\xff\xff\xff"]])
def test_over_grpc_rubbish_ends_the_call_and_is_nobodys_fault_but_its_senders(
    messages: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        master = Master(CONFIG)
        port = await master.listen("127.0.0.1:0")
        try:
            code, details, _ = await call(f"127.0.0.1:{port}", *messages)
            assert code == INVALID
            assert "a frame could not be read" in details
            code, _, _ = await call(f"127.0.0.1:{port}", frame(sequence=1))
            assert code == INVALID
        finally:
            await master.close()

    run(story)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (frame(sequence=1, bodies=[pb.Body(results=pb.Results())]), "client broken sent results"),
        (b"\xff\xff\xff\xff", "a frame could not be read"),
        (b"", "was announced"),
    ],
)
def test_at_a_socket_the_last_frame_says_it(tmp_path: Path, data: bytes, sentence: str) -> None:
    async def story() -> None:
        master = Master(CONFIG)
        path = str(tmp_path / "master.sock")
        await master.listen_locally(path)
        try:
            link = await socket_link.dial(path)
            await link.write(pb.Frame(hello=hello()))
            welcome = await link.read()
            assert welcome is not None
            assert welcome.HasField("welcome")
            assert link._transport is not None
            link._transport.write((len(data) or 1 << 31).to_bytes(4, "little") + data)
            seen = []
            while (frame := await link.read()) is not None:
                seen.append(frame)
            assert seen[-1].refusal.code == pb.Refusal.CODE_INVALID
            assert sentence in seen[-1].refusal.sentence
        finally:
            await master.close()

    run(story)


def test_a_call_of_no_method_of_ours_ends_neither_the_server_nor_anybodys_patience() -> None:
    """A path that is no UTF-8 ended grpc.aio's main loop, and with it the port; anybody could send it."""

    async def story() -> None:
        master = Master(CONFIG)
        port = await master.listen("127.0.0.1:0")
        try:
            for path in (b"/manyhands.v1.Master/\x80onnect", b"\xff", b"/manyhands.v1.Master/Other"):
                await send(port, rubbish.call(path))
            assert (await call(f"127.0.0.1:{port}", frame(sequence=1)))[0] == INVALID
        finally:
            await master.close()

    run(story)


async def send(port: int, data: bytes) -> None:
    """Have gRPC take these bytes; it has, once it says something after its settings."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    await writer.drain()
    await reader.readexactly(9)
    await asyncio.sleep(0.1)
    writer.close()


@pytest.mark.parametrize(
    ("secret", "role", "status"),
    [
        ("", pb.ROLE_CLIENT, grpc.StatusCode.UNAUTHENTICATED),
        ("wrong", pb.ROLE_CLIENT, grpc.StatusCode.UNAUTHENTICATED),
        ("of-a-worker", pb.ROLE_CLIENT, grpc.StatusCode.PERMISSION_DENIED),
    ],
)
def test_who_may_not_come_in_is_told_apart(secret: str, role: pb.Role, status: grpc.StatusCode) -> None:
    async def story() -> None:
        access = Access([Entry("worker", AccessRole.WORKER, "of-a-worker", 0.0)])
        master = Master(CONFIG, keyring=Tokens(lambda: access))
        port = await master.listen("127.0.0.1:0", tcp_only=True)
        try:
            code, sentence, _ = await call(f"127.0.0.1:{port}", frame(hello=hello(secret=secret, role=role)))
            assert code is status
            assert sentence
        finally:
            await master.close()

    run(story)
