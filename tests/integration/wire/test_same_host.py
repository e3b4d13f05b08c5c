"""The short way on one machine: who takes it, who must not, and what happens when it is not there."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from manyhands.master.server import Master
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.dialer import Dialer
from manyhands.wire.eventloop import loop_factory
from manyhands.wire.grpc_links import DialledLink
from manyhands.wire.handshake import make_hello
from manyhands.wire.joining import Way
from manyhands.wire.links import Link
from manyhands.wire.socket_link import SocketLink

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="abstract Unix sockets are Linux's")
NOBODY = 65534


def run(test: Callable[[], object]) -> None:
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(test())  # type: ignore[arg-type]


def own_address() -> str:
    """One of this machine's addresses besides loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine is on no network")
        return str(probe.getsockname()[0])


async def kind_of_link(address: str) -> type[Link]:
    """How a client reaches the master at `address`; it must be served."""
    links: list[Link] = []
    welcomed = asyncio.Event()

    way = Way(address, "client")

    async def open_link() -> Link:
        links.append(await way.open_link())
        return links[-1]

    dialer = Dialer(
        open_link,
        lambda: make_hello(pb.ROLE_CLIENT, "test"),
        lambda _: None,
        lambda _: welcomed.set(),
        lambda _: None,
    )
    running = asyncio.create_task(dialer.run())
    await asyncio.wait_for(welcomed.wait(), 20)
    await dialer.close()
    await asyncio.wait_for(running, 10)
    return type(links[-1])


@pytest.mark.parametrize(
    ("listens_at", "dialled"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "localhost"),
        ("localhost", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("0.0.0.0", "own"),
        ("own", "own"),
    ],
)
def test_own_processes_take_the_short_way(listens_at: str, dialled: str) -> None:
    async def story() -> None:
        master = Master()
        port = await master.listen(f"{listens_at.replace('own', own_address())}:0")
        try:
            assert await kind_of_link(f"{dialled.replace('own', own_address())}:{port}") is SocketLink
        finally:
            await master.close()

    run(story)


def test_tcp_only_master_is_reached_over_grpc() -> None:
    async def story() -> None:
        master = Master()
        port = await master.listen("127.0.0.1:0", tcp_only=True)
        try:
            assert await kind_of_link(f"127.0.0.1:{port}") is DialledLink
        finally:
            await master.close()

    run(story)


def test_a_master_at_another_address_with_the_same_port_is_not_meant() -> None:
    async def story() -> None:
        here, elsewhere = Master(), Master()
        port = await here.listen("127.0.0.1:0")
        await elsewhere.listen(f"{own_address()}:{port}", tcp_only=True)
        try:
            assert await kind_of_link(f"{own_address()}:{port}") is DialledLink
            assert await kind_of_link(f"127.0.0.1:{port}") is SocketLink
        finally:
            await here.close()
            await elsewhere.close()

    run(story)


def test_a_closed_master_leaves_no_name() -> None:
    async def story() -> None:
        first = Master()
        port = await first.listen("127.0.0.1:0")
        await first.close()
        second = Master()
        await second.listen(f"127.0.0.1:{port}")
        try:
            assert await kind_of_link(f"127.0.0.1:{port}") is SocketLink
        finally:
            await second.close()

    run(story)


@contextmanager
def another_user(script: str, name: str) -> Iterator[subprocess.Popen[str]]:
    """A script that becomes another user; it says "ready" first."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    command = [sys.executable, "-I", "-c", script, name, str(NOBODY)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


SQUATTER = """
import os, socket, sys
os.setuid(int(sys.argv[2]))
listener = socket.socket(socket.AF_UNIX)
listener.bind("\\0" + sys.argv[1])
listener.listen()
print("ready", flush=True)
sys.stdin.read()
"""

INTRUDER = """
import os, socket, sys
os.setuid(int(sys.argv[2]))
connected = socket.socket(socket.AF_UNIX)
connected.settimeout(3)  # the master would wait longer for a hello
connected.connect("\\0" + sys.argv[1])
print("ready", flush=True)
try:
    print(connected.recv(100), flush=True)
except TimeoutError:
    print("it may stay", flush=True)
except ConnectionError:
    print(b"", flush=True)
"""


def test_a_name_that_another_user_took_is_not_trusted() -> None:
    async def story() -> None:
        master = Master()
        port = await master.listen("127.0.0.1:0", tcp_only=True)
        with another_user(SQUATTER, f"manyhands/{os.geteuid()}/127.0.0.1:{port}"):
            # The master that comes now cannot have the name, and serves over gRPC.
            again = Master()
            await master.close()
            await again.listen(f"127.0.0.1:{port}")
            try:
                assert await kind_of_link(f"127.0.0.1:{port}") is DialledLink
            finally:
                await again.close()

    run(story)


def test_another_users_process_is_sent_away() -> None:
    async def story() -> None:
        master = Master()
        port = await master.listen("127.0.0.1:0")
        try:
            with another_user(INTRUDER, f"manyhands/{os.geteuid()}/127.0.0.1:{port}") as intruder:
                assert intruder.stdout is not None
                answer = await asyncio.to_thread(intruder.stdout.readline)
                assert answer == "b''\n"
        finally:
            await master.close()

    run(story)
