"""Sessions over real gRPC: handshake, resumption, refusal, silence, refused ports."""

import asyncio
import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from manyhands.master.config import MasterConfig
from manyhands.master.server import Master
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire import dialer
from manyhands.wire.dialer import Dialer
from manyhands.wire.errors import Refused
from manyhands.wire.eventloop import loop_factory
from manyhands.wire.grpc_links import dial
from manyhands.wire.grpc_ports import AddressInUse
from manyhands.wire.handshake import make_hello
from manyhands.wire.links import Link

CONFIG = MasterConfig(
    heartbeat_interval=0.4, heartbeat_timeout=1.2, reconnect_timeout=0.6, client_timeout=0.6, client_end_timeout=0.6
)


def run(test: Callable[[], object]) -> None:
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(test())  # type: ignore[arg-type]


async def wait_until(holds: Callable[[], object], timeout: float = 10.0) -> None:
    deadline = asyncio.get_running_loop().time() + timeout
    while not (seen := holds()):
        assert asyncio.get_running_loop().time() < deadline, f"last seen: {seen!r}"
        await asyncio.sleep(0.005)


class Caller:
    """A client reduced to its connection."""

    def __init__(
        self, address: str, hello: Callable[[], pb.Hello] = lambda: make_hello(pb.ROLE_CLIENT, "test")
    ) -> None:
        self.bodies: list[pb.Body] = []
        self.welcomes: list[pb.Welcome] = []
        self.lost: list[str] = []
        self.links: list[Link] = []
        self._address = address
        self.dialer = Dialer(self._open, hello, self._took, self.welcomes.append, self._on_lost)
        self.running = asyncio.create_task(self.dialer.run())

    def _on_lost(self, reason: str, known: bool) -> None:
        self.lost.append(reason)

    async def _open(self) -> Link:
        self.links.append(await dial(self._address))
        return self.links[-1]

    def _took(self, bodies: Sequence[pb.Body]) -> None:
        self.bodies += bodies

    async def close(self) -> None:
        await self.dialer.close()
        await asyncio.wait_for(self.running, 10)


@asynccontextmanager
async def serving(config: MasterConfig = CONFIG) -> AsyncIterator[tuple[Master, str]]:
    master = Master(config)
    port = await master.listen("127.0.0.1:0")
    try:
        yield master, f"127.0.0.1:{port}"
    finally:
        await master.close()


def open_and_seal(caller: Caller, jobs: int) -> None:
    for number in range(1, jobs + 1):
        caller.dialer.send(pb.Body(open_job=pb.OpenJob(job=number, name="n" * 1000)), number)


def test_bodies_arrive_and_are_acknowledged() -> None:
    async def story() -> None:
        async with serving() as (master, address):
            caller = Caller(address)
            open_and_seal(caller, 50)
            assert caller.dialer.pending_bytes > 50_000
            await wait_until(lambda: len(list(master.engine.scheduler.jobs)) == 50)
            assert await caller.dialer.flush(5)
            await wait_until(lambda: [body.WhichOneof("kind") for body in caller.bodies] == ["cluster"])
            await caller.close()

    run(story)


def test_broken_connection_resumes_and_nothing_arrives_twice() -> None:
    async def story() -> None:
        async with serving() as (master, address):
            caller = Caller(address)
            for jobs in range(5):
                await wait_until(lambda: caller.dialer.is_connected)
                caller.dialer.send(pb.Body(open_job=pb.OpenJob(job=jobs)), jobs)
                await caller.links[-1].close()
                caller.dialer.send(pb.Body(open_job=pb.OpenJob(job=100 + jobs)), jobs)
            await wait_until(lambda: len(list(master.engine.scheduler.jobs)) == 10)
            assert [welcome.resumed for welcome in caller.welcomes][1:] == [True] * (len(caller.welcomes) - 1)
            assert caller.lost == []
            await caller.close()

    run(story)


def test_a_draining_master_takes_nobody_new_and_serves_whom_it_knows() -> None:
    async def answer(address: str, role: pb.Role, **more: object) -> pb.Frame | None:
        hello = make_hello(role, "new", slots=2)
        hello.MergeFrom(pb.Hello(session=os.urandom(16), **more))
        link = await dial(address)
        await link.write(pb.Frame(hello=hello))
        frame = await link.read()
        await link.close()
        return frame

    async def story() -> None:
        async with serving() as (master, address):
            known = Caller(address)
            await wait_until(lambda: known.welcomes)
            await master.drain(0.0)
            await known.links[-1].close()
            await wait_until(lambda: [welcome.resumed for welcome in known.welcomes] == [False, True])
            for role in (pb.ROLE_CLIENT, pb.ROLE_WORKER):
                frame = await answer(address, role)
                assert frame is not None
                assert frame.refusal.code == pb.Refusal.CODE_SHUTTING_DOWN
                sentence = r"the master at .+ is shutting down; it takes nobody new until it has been started again"
                assert re.fullmatch(sentence, frame.refusal.sentence)
            frame = await answer(address, pb.ROLE_WORKER, holds=True)  # its session is new, what it does is not
            assert frame is not None
            assert frame.HasField("welcome")
            await known.close()

    run(story)


def test_session_given_up_by_the_master_is_begun_anew() -> None:
    async def story() -> None:
        async with serving(replace(CONFIG, client_end_timeout=0.0)) as (master, address):
            caller = Caller(address)
            await wait_until(lambda: caller.dialer.is_connected)
            caller.dialer.send(pb.Body(open_job=pb.OpenJob(job=1)), 1)
            await wait_until(lambda: list(master.engine.scheduler.jobs))
            await caller.links[-1].close()
            await wait_until(lambda: len(caller.welcomes) == 2)
            assert len(caller.lost) == 1
            assert "does not know this session" in caller.lost[0]
            assert not list(master.engine.scheduler.jobs)
            await caller.close()

    run(story)


def test_other_python_minor_is_refused_with_a_sentence() -> None:
    async def story() -> None:
        def hello() -> pb.Hello:
            strange = make_hello(pb.ROLE_CLIENT, "test")
            strange.python_version = "3.99.0"
            return strange

        async with serving() as (_, address):
            caller = Caller(address, hello)
            with pytest.raises(Refused, match=r"runs Python 3\.99\.0, the master 3\."):
                await asyncio.wait_for(caller.running, 10)

    run(story)


def test_quiet_connection_stays_and_a_silent_peer_is_dropped() -> None:
    async def story() -> None:
        async with serving() as (master, address):
            caller = Caller(address)
            await wait_until(lambda: caller.dialer.is_connected)
            mute = await dial(address)
            hello = make_hello(pb.ROLE_WORKER, "mute", slots=1)
            hello.session = bytes(16)
            await mute.write(pb.Frame(hello=hello))
            assert (await mute.read()) is not None
            await wait_until(lambda: len(master.engine.scheduler.workers) == 1)
            await wait_until(lambda: not master.engine.scheduler.workers)
            assert len(caller.welcomes) == 1
            assert caller.dialer.is_connected
            await mute.close()
            await caller.close()

    run(story)


@pytest.mark.parametrize("client_timeout", [20.0, 0.05])
def test_a_client_that_was_silent_resumes_its_session_unless_it_was_for_too_long(client_timeout: float) -> None:
    """A cable out for longer than the heartbeat's timeout costs a client nothing."""

    async def story() -> None:
        async with serving(replace(CONFIG, client_timeout=client_timeout, client_end_timeout=20.0)) as (
            master,
            address,
        ):
            hello = make_hello(pb.ROLE_CLIENT, "mute")
            hello.session = bytes(16)
            mute = await dial(address)
            await mute.write(pb.Frame(hello=hello))
            assert (await mute.read()) is not None
            await mute.write(pb.Frame(sequence=1, bodies=[pb.Body(open_job=pb.OpenJob(job=1))]))
            await wait_until(lambda: list(master.engine.scheduler.jobs))
            (peer,) = master.engine.peers.values()
            await wait_until(lambda: peer.pump is None)
            await mute.close()
            if client_timeout < 1.0:
                await wait_until(lambda: not master.engine.peers)
                assert not list(master.engine.scheduler.jobs)
            back = await dial(address)
            hello.resume = True
            await back.write(pb.Frame(hello=hello))
            frame = await back.read()
            assert frame is not None
            if client_timeout < 1.0:
                assert frame.refusal.code == pb.Refusal.CODE_UNKNOWN_SESSION
            else:
                assert frame.welcome.resumed
                assert len(list(master.engine.scheduler.jobs)) == 1
            await back.close()

    run(story)


def test_second_master_on_the_port_is_refused() -> None:
    async def story() -> None:
        async with serving() as (_, address):
            with pytest.raises(AddressInUse, match="is another process listening there"):
                await Master().listen(address)

    run(story)


def test_proxy_variables_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    test_bodies_arrive_and_are_acknowledged()


def test_plain_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANYHANDS_LOOP", "asyncio")
    test_broken_connection_resumes_and_nothing_arrives_twice()


def test_grpc_is_imported_quietly_and_leaves_the_environment_alone() -> None:
    code = (
        "import os; before = dict(os.environ); from manyhands.wire.grpc_core import grpc\n"
        "assert dict(os.environ) == before, 'the environment changed'\n"
        "grpc.insecure_channel('127.0.0.1:1').close()"
    )
    ended = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_a_host_that_accepts_and_says_nothing_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one whose cable is out: gRPC goes on connecting, and must not keep the dialer waiting for ever."""
    monkeypatch.setattr(dialer, "HANDSHAKE_TIMEOUT", 0.2)

    async def story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as mute:  # the kernel accepts, nobody reads
            port = mute.getsockname()[1]
            caller = Caller(f"127.0.0.1:{port}")
            await wait_until(lambda: len(caller.links) >= 3)
        master = Master(CONFIG)
        await master.listen(f"127.0.0.1:{port}")
        await wait_until(lambda: caller.welcomes)
        await caller.close()
        await master.close()

    run(story)
