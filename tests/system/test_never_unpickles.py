"""The master never unpickles: bombs in every bytes field that a peer can send, under a hook that would notice."""

import ast
import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import audited
from tests.support.bombs import (
    SHORT_BOMB,
    Place,
    bytes_fields,
    craters,
    define,
    ends_of,
    make_bomb,
    make_frame,
)
from tests.support.daemons import Daemon
from tests.support.raw_peer import RawPeer
from tests.support.searches import begin

from manyhands import Client
from manyhands.errors import TaskCrashed
from manyhands.optimize.plan import Plan
from manyhands.optimize.space import Float, Space
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.joining import Way

#: What makes objects of bytes, and what we have that rests on it.
UNPICKLERS = {"pickle", "_pickle", "cloudpickle", "dill", "marshal", "shelve", "copyreg"}
OUR_PICKLERS = ("manyhands.wire.pickl", "manyhands.wire.cloudpickle_parts", "manyhands.wire.definitions")

#: What any call of the service can be sent, by a worker or a client.
PLACES = [
    place for method in pb.DESCRIPTOR.services_by_name["Master"].methods for place in bytes_fields(method.input_type)
]
#: Of these a journal keeps what is in them.
KEPT = ("block", "results", "failure")

SPACE = Space({"x": Float(0, 1)})


def audited_master(*arguments: str, **env: str) -> Daemon:
    return Daemon("master", *arguments, env=env, through=(sys.executable, "-P", audited.__file__))


def squared(number: int) -> int:
    return number * number


def first_of(params: dict[str, float]) -> float:
    return params["x"]


def honest_job(address: str, count: int) -> list[int]:
    """By a client and a worker as they should be."""
    with Daemon("worker", address, "--slots", "1"), Client(address, reconnect_timeout=10) as client:
        plan = Plan(SPACE.cube, method="ga-classic", budget=50)
        assert begin(client, first_of, SPACE, plan).told().end.reason == "budget"
        return list(client.map(squared, range(count)))


def arm(master: Daemon) -> list[Path]:
    """From now on it may not import either; the files of those of our modules that it has."""
    master.kill(signal.SIGUSR1)
    return [Path(file) for file in json.loads(master.wait_for(r"armed: (.*)")[1])]


@pytest.fixture(scope="module")
def armed_master() -> Iterator[tuple[Daemon, list[Path]]]:
    with audited_master("--port", "0") as master:
        assert honest_job(master.wait_for(r"serves at (\S+)")[1], 10) == [squared(number) for number in range(10)]
        yield master, arm(master)


def imported(path: Path) -> Iterator[str]:
    """What the file says that it imports, wherever it says so."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def called(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id


def test_nothing_that_the_masters_process_has_could_unpickle(armed_master: tuple[Daemon, list[Path]]) -> None:
    files = {path for path in armed_master[1] if not path.stem.endswith(("_pb2", "_pb2_grpc"))}
    assert {
        "searching.py",
        "wire_results.py",
        "engine.py",
        "intake.py",
        "journal_file.py",
        "session.py",
        "grpc_server.py",
    } <= {path.name for path in files}
    for path in files:
        names = set(imported(path))
        assert not {name.partition(".")[0] for name in names} & UNPICKLERS, path
        assert not [name for name in names if name.startswith(OUR_PICKLERS)], path
        assert not set(called(path)) & {"eval", "exec", "compile", "__import__"}, path


def test_nor_does_a_process_that_is_the_workers_agent_as_well() -> None:
    """Its slots are processes of their own, without the hook."""

    class Point:
        x = 3

    def fail(point: Point) -> None:
        raise ValueError(point.x)

    through = (sys.executable, "-P", audited.__file__)
    with Daemon("local", "--port", "0", "--slots", "1", through=through) as local:
        with Client(local.wait_for(r"serves at (\S+)")[1], reconnect_timeout=10) as client:
            assert client.submit(lambda point: point.x, Point()).result() == 3
            with pytest.raises(ValueError, match="3"):
                client.submit(fail, Point()).result()
            with pytest.raises(TaskCrashed):
                client.submit(os._exit, 1).result()
        assert local.process.poll() is None, local.output


@pytest.mark.parametrize("deed", audited.DEEDS)
def test_the_hook_would_notice(deed: str, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb"
    bomb.write_bytes(make_bomb(tmp_path, "control"))
    with audited_master("--port", "0", MANYHANDS_TEST_DEED=deed, MANYHANDS_TEST_BOMB=str(bomb)) as master:
        master.wait_for("serves at")
        arm(master)
        master.kill(signal.SIGUSR2)
        assert master.wait() == audited.EXIT_CODE
        master.wait_for("CAUGHT: ")
    assert list(tmp_path.iterdir()) == [bomb]


def test_the_bombs_are_live(tmp_path: Path) -> None:
    load = (sys.executable, "-c", "import pickle, sys; pickle.load(sys.stdin.buffer)")
    subprocess.run(load, input=make_bomb(tmp_path, "control"), check=True)
    assert [*craters(tmp_path).values()] == [{"control"}]
    assert subprocess.run(load, input=SHORT_BOMB, check=False).returncode == -signal.SIGABRT


class Attack:
    """A bomb at each place, in frames of their own; sessions stay open until the end."""

    def __init__(self, address: str, folder: Path) -> None:
        self.ways = {pb.ROLE_WORKER: Way(address, "worker"), pb.ROLE_CLIENT: Way(address, "client")}
        #: A master lets only so many stand before its door.
        self.turn = asyncio.Semaphore(50)
        self.folder = folder
        self.clients: list[RawPeer] = []
        self.workers: list[RawPeer] = []
        self.function = define(make_bomb(folder, "a function"))

    async def run(self) -> None:
        bait = await self.client()
        item = make_bomb(self.folder, "an item")
        for first in range(400):
            block = pb.Block(job=1, first=first, ends=ends_of(item), payload=item, call=pb.CALL_ITEM)
            block.function = self.function.hash
            await bait.say(pb.Body(block=block))
        ways = (self.as_first_frame, self.as_client, self.as_worker)
        await asyncio.gather(*(way(place, bomb) for way in ways for place in PLACES for bomb in self.bombs(place)))
        await asyncio.gather(*(self.as_session(role) for role in (pb.ROLE_CLIENT, pb.ROLE_WORKER)))
        async with asyncio.timeout(20):
            while self.passed_on() != {"results", "failure"}:
                await asyncio.sleep(0.01)
        # They have tasks, and will do none of them.
        await asyncio.gather(*(worker.close() for worker in self.workers))

    def bombs(self, place: Place) -> tuple[bytes, bytes]:
        return make_bomb(self.folder, str(place)), SHORT_BOMB

    async def client(self) -> RawPeer:
        """With a job, behind everybody else's."""
        peer = await self.peer(pb.ROLE_CLIENT)
        await peer.say(pb.Body(define=self.function), pb.Body(open_job=pb.OpenJob(job=1, priority=-1)))
        return peer

    async def peer(self, role: pb.Role, session: bytes | None = None) -> RawPeer:
        """Its session stays open as long as it can."""
        async with self.turn:
            peer = await RawPeer.join(self.ways[role], role, session)
        (self.workers if role == pb.ROLE_WORKER else self.clients).append(peer)
        return peer

    async def as_first_frame(self, place: Place, bomb: bytes) -> None:
        async with self.turn:
            peer = RawPeer(await self.ways[pb.ROLE_CLIENT].open_link())
            await peer.write(make_frame(place, bomb, {}))
            await peer.until(lambda: peer.has_ended or peer.answer)
            await peer.close()

    async def as_session(self, role: pb.Role) -> None:
        """It is welcome under that name: 16 bytes like any."""
        await self.peer(role, SHORT_BOMB[:-1] + bytes([role]))

    async def as_client(self, place: Place, bomb: bytes) -> None:
        peer = await self.client()
        # A job that is opened is one that was not there.
        job = 2 if place.path[:2][-1].name == "open_job" else 1
        await peer.say(frame=make_frame(place, bomb, {"job": job, "id": 1, "function": self.function.hash}))
        await peer.dealt_with()

    async def as_worker(self, place: Place, bomb: bytes) -> None:
        peer = await self.peer(pb.ROLE_WORKER)
        await peer.until(lambda: [body for body in peer.bodies if body.HasField("dispatch")])
        dispatch = next(body.dispatch for body in peer.bodies if body.HasField("dispatch"))
        first = dispatch.pieces[0].first
        known = {"job": dispatch.job, "lease": dispatch.lease, "first": first, "index": first, "id": 1}
        await peer.say(frame=make_frame(place, bomb, known))
        await peer.dealt_with()

    def passed_on(self) -> set[str]:
        """What of the workers' bombs the master has passed on to clients: it went all the way through it, then."""
        bodies = [body for client in self.clients for body in client.bodies]
        return {kind for kind in ("results", "failure") if any(getattr(body, kind).payload for body in bodies)}

    async def close(self) -> None:
        await asyncio.gather(*(client.close() for client in self.clients))


def test_every_bytes_field_is_known() -> None:
    names = {str(place) for place in PLACES}
    known = {"hello.session", "fragment.data", "bodies.define.blob", "bodies.block.payload", "bodies.results.payload"}
    nested = {
        "bodies.open_job.retry.retry_on",
        "bodies.open_job.context",
        "bodies.dispatch.pieces.state",
        "bodies.want.hashes",
    }
    assert known | nested <= names


@pytest.mark.parametrize("options", [("--no-journal",), ("--no-journal", "--tcp-only"), ()], ids=["", "tls", "journal"])
def test_a_bomb_in_every_field_does_not_go_off_in_the_master(options: tuple[str, ...], tmp_path: Path) -> None:
    folder = tmp_path / "craters"
    folder.mkdir()
    keeping = options or ("--data-dir", str(tmp_path / "state"))

    async def attack() -> None:
        with audited_master("--port", "0", *keeping) as master:
            address = master.wait_for(r"serves at (\S+)")[1]
            assert len(await asyncio.to_thread(honest_job, address, 10)) == 10
            arm(master)
            attack = Attack(address, folder)
            try:
                await attack.run()
            finally:
                check(master)
            assert not craters(folder)
            # The bombs' tasks are tasks like any: what goes off in a worker's slots is where it belongs.
            assert len(await asyncio.to_thread(honest_job, address, 1000)) == 1000
            check(master)
            if not options:
                master.kill()
                master.wait()
                written = b"".join(path.read_bytes() for path in (tmp_path / "state").glob("journal.sqlite*"))
                for place in ("a function", "an item", *(f"bodies.{kind}.payload" for kind in KEPT)):
                    assert place.encode() in written, place
                with audited_master("--port", address.rpartition(":")[2], *keeping) as second:
                    second.wait_for("serves at")
                    assert len(await asyncio.to_thread(honest_job, address, 1000)) == 1000
                    check(second)
            await attack.close()

    def check(master: Daemon) -> None:
        assert master.process.poll() is None, master.output
        assert os.getpid() not in craters(folder)
        assert master.process.pid not in craters(folder)

    asyncio.run(attack())
    assert {"a function"} <= set().union(*craters(folder).values()), "the bombs were duds"
