"""The engine between peers and scheduler: what waits for a definition, and what overtakes it."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable, Iterator
from hashlib import blake2b
from random import Random

import pytest

from manyhands.master.config import MasterConfig
from manyhands.master.engine import Engine
from manyhands.master.peers import Peer
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.blocks import pack_ends
from manyhands.wire.session import ProtocolError

BLOB = b"a pickled function"
HASH = blake2b(BLOB, digest_size=16).digest()
JOB = 7


class ClientPeer(Peer):
    """A connected client that keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__(1, pb.Hello(role=pb.ROLE_CLIENT, name="c", session=bytes(16)))
        self.sent: list[pb.Body] = []

    def send(self, body: pb.Body, flow: int | None = None, receipt: object = None) -> None:
        self.sent.append(body)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def say(loop: asyncio.AbstractEventLoop) -> Callable[..., Engine]:
    """Has a new engine hear these bodies from a client; returns it, with the client as its only peer."""

    async def story(bodies: tuple[pb.Body, ...]) -> Engine:
        engine = Engine(MasterConfig(), Random(0))
        peer = ClientPeer()
        engine.joined(peer)
        for body in bodies:
            engine.received(peer, [body])
        await asyncio.sleep(0)
        return engine

    return lambda *bodies: loop.run_until_complete(story(bodies))


OPEN = pb.Body(open_job=pb.OpenJob(job=JOB))
SEAL = pb.Body(seal_job=pb.SealJob(job=JOB, total=3))
DEFINE = pb.Body(define=pb.Define(hash=HASH, blob=BLOB))
BLOCK = pb.Body(
    block=pb.Block(job=JOB, ends=pack_ends(array("I", [1, 2, 3])), payload=b"abc", function=HASH, call=pb.CALL_ITEM)
)


def cancel(*spans: tuple[int, int]) -> pb.Body:
    return pb.Body(cancel=pb.Cancel(job=JOB, ranges=[pb.Range(lo=lo, hi=hi) for lo, hi in spans]))


def kinds(engine: Engine) -> list[str | None]:
    (peer,) = engine.peers.values()
    assert isinstance(peer, ClientPeer)
    return [body.WhichOneof("kind") for body in peer.sent]


def test_a_block_waits_for_its_definition(say: Callable[..., Engine]) -> None:
    engine = say(OPEN, BLOCK, SEAL)
    assert kinds(engine) == ["cluster", "want"]
    assert [job.count for job in engine.scheduler.jobs] == [0]
    engine = say(OPEN, BLOCK, SEAL, DEFINE)
    assert [(job.count, job.sealed_at) for job in engine.scheduler.jobs] == [(3, 3)]


def test_cancelling_some_tasks_does_not_overtake_their_block(say: Callable[..., Engine]) -> None:
    engine = say(OPEN, BLOCK, cancel((0, 2)), DEFINE)
    assert kinds(engine) == ["cluster", "want", "cancelled"]
    assert [list(job.queued) for job in engine.scheduler.jobs] == [[(2, 3)]]


def test_a_cancelled_job_does_not_come_back_with_its_definition(say: Callable[..., Engine]) -> None:
    late = pb.Body(open_job=pb.OpenJob(job=JOB, retry=pb.Retry(retry_on=HASH)))
    for opening in (OPEN, late):
        engine = say(opening, BLOCK, cancel(), DEFINE)
        assert not list(engine.scheduler.jobs)
        assert not engine.records


def block(first: int, job: int = JOB) -> pb.Body:
    return pb.Body(block=pb.Block(job=job, first=first, ends=b"\1\0\0\0", payload=b"a", call=pb.CALL_APPLY))


def test_what_waits_behind_the_end_of_its_job_is_dropped(say: Callable[..., Engine]) -> None:
    late = pb.Body(open_job=pb.OpenJob(job=JOB, retry=pb.Retry(retry_on=HASH)))
    seal = pb.Body(seal_job=pb.SealJob(job=JOB))
    engine = say(late, seal, block(0), seal, cancel((0, 1)), DEFINE)
    assert not list(engine.scheduler.jobs)
    assert not engine.records


def test_a_protocol_fault_is_said_of_whoever_broke_a_rule(say: Callable[..., Engine]) -> None:
    for bodies in (
        [OPEN, OPEN],
        [pb.Body()],
        [pb.Body(results=pb.Results())],
        [OPEN, pb.Body(attach_job=pb.AttachJob(job=JOB, name="n"))],
        [OPEN, cancel((3, 2))],
    ):
        with pytest.raises(ProtocolError):
            say(*bodies)


def test_offsets_are_looked_at_before_anything_else(say: Callable[..., Engine]) -> None:
    backwards = pb.Block(job=JOB, ends=pack_ends(array("I", [2, 1, 3])), payload=b"abc", function=HASH, call=1)
    with pytest.raises(ProtocolError, match="backwards"):
        say(OPEN, pb.Body(block=backwards))
