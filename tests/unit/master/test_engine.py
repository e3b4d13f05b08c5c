"""The engine between peers and scheduler: what waits for a definition, and what overtakes it."""

from __future__ import annotations

import asyncio
import pickle
from array import array
from collections.abc import Callable, Iterator
from hashlib import blake2b
from random import Random

import pytest

from manyhands.master.config import MasterConfig
from manyhands.master.engine import Engine
from manyhands.master.peers import Peer
from manyhands.optimize.cube import Column, Cube, Kind
from manyhands.optimize.plan import Plan
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.blocks import pack_ends
from manyhands.wire.session import ProtocolError
from manyhands.wire.spans import RANGES_MAX

BLOB = b"a pickled function"
HASH = blake2b(BLOB, digest_size=16).digest()
JOB = 7
DEFAULTS = MasterConfig()


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

    async def story(bodies: tuple[pb.Body, ...], config: MasterConfig) -> Engine:
        engine = Engine(config, Random(0))
        peer = ClientPeer()
        engine.joined(peer)
        for body in bodies:
            engine.received(peer, [body])
        await asyncio.sleep(0)
        engine.ledger.check_invariants()
        return engine

    return lambda *bodies, config=DEFAULTS: loop.run_until_complete(story(bodies, config))


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


def test_a_job_waits_for_all_that_its_options_refer_to(say: Callable[..., Engine]) -> None:
    options = [pb.OpenJob(job=JOB, context=HASH), pb.OpenJob(job=JOB, definitions=[HASH])]
    for opening in [pb.Body(open_job=each) for each in options]:
        engine = say(opening, BLOCK)
        assert kinds(engine) == ["cluster", "want"]
        assert not list(engine.scheduler.jobs)
        engine = say(opening, BLOCK, DEFINE)
        assert [job.count for job in engine.scheduler.jobs] == [3]
        assert [each.hash for record in engine.records.values() for each in record.held] == [HASH]


def test_what_waits_behind_the_end_of_its_job_is_dropped(say: Callable[..., Engine]) -> None:
    late = pb.Body(open_job=pb.OpenJob(job=JOB, retry=pb.Retry(retry_on=HASH)))
    seal = pb.Body(seal_job=pb.SealJob(job=JOB))
    engine = say(late, seal, block(0, b"a"), seal, cancel((0, 1)), DEFINE)
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


def block(first: int, payload: bytes) -> pb.Body:
    ends = pack_ends(array("I", [len(payload)]))
    return pb.Body(block=pb.Block(job=JOB, first=first, ends=ends, payload=payload, call=pb.CALL_APPLY))


def test_a_block_beyond_the_limit_fails_and_the_job_goes_on(say: Callable[..., Engine]) -> None:
    config = MasterConfig(client_bytes=100_000)
    engine = say(OPEN, block(0, bytes(60_000)), block(1, bytes(60_000)), block(2, bytes(100)), SEAL, config=config)
    assert kinds(engine) == ["cluster", "cluster", "failure"]
    (peer,) = engine.peers.values()
    assert isinstance(peer, ClientPeer)
    assert peer.sent[1].cluster.short_of_room, "it was told after the first block"
    failure = peer.sent[2].failure
    assert (failure.kind, failure.index, failure.end, failure.limit) == (pb.Failure.KIND_NO_ROOM, 1, 2, "queued")
    (job,) = engine.scheduler.jobs
    assert list(job.queued) == [(0, 1), (2, 3)]


def test_a_client_has_room_again_once_it_has_cancelled(say: Callable[..., Engine]) -> None:
    engine = say(OPEN, block(0, bytes(60_000)), cancel((0, 1)), config=MasterConfig(client_bytes=100_000))
    assert kinds(engine) == ["cluster", "cluster", "cluster", "cancelled"]
    (peer,) = engine.peers.values()
    assert isinstance(peer, ClientPeer)
    assert [body.cluster.short_of_room for body in peer.sent[:3]] == [False, True, False]


def test_blocks_that_wait_for_a_definition_count_and_end_their_job(say: Callable[..., Engine]) -> None:
    engine = say(OPEN, BLOCK, block(3, bytes(200_000)), config=MasterConfig(client_bytes=100_000))
    assert kinds(engine) == ["cluster", "want", "job_rejected"]
    assert not engine.records
    engine = say(OPEN, BLOCK, *[cancel((0, 2))] * 200, config=MasterConfig(client_bytes=100_000))
    assert kinds(engine)[-3:] == ["cluster", "job_rejected", "cluster"]


def test_too_many_jobs_are_rejected_one_by_one(say: Callable[..., Engine]) -> None:
    openings = [pb.Body(open_job=pb.OpenJob(job=number)) for number in range(5)]
    engine = say(*openings, config=MasterConfig(client_jobs=3))
    assert kinds(engine)[-2:] == ["job_rejected"] * 2
    assert len(engine.records) == 3


def test_definitions_count_as_long_as_they_are_here(say: Callable[..., Engine]) -> None:
    config = MasterConfig(client_bytes=100_000, definition_bytes=1)
    blobs = [bytes([number]) * 30_000 for number in range(4)]
    defines = [pb.Body(define=pb.Define(hash=blake2b(blob, digest_size=16).digest(), blob=blob)) for blob in blobs]
    engine = say(OPEN, *defines, config=config)
    assert kinds(engine) == ["cluster"], "nobody needs them, so they go"
    needing = [
        pb.Body(
            block=pb.Block(
                job=JOB, first=number, ends=b"\1\0\0\0", payload=b"x", function=each.define.hash, call=pb.CALL_ITEM
            )
        )
        for number, each in enumerate(defines)
    ]
    engine = say(OPEN, *(body for pair in zip(defines, needing, strict=True) for body in pair), config=config)
    assert kinds(engine)[-1] == "failure"


def test_ranges_in_a_message_are_limited(say: Callable[..., Engine]) -> None:
    ranges = [(2 * number, 2 * number + 1) for number in range(RANGES_MAX + 1)]
    assert say(OPEN, cancel(*ranges[1:])).records
    with pytest.raises(ProtocolError, match=f"{RANGES_MAX + 1} ranges at once"):
        say(OPEN, cancel(*ranges))


def test_a_worker_says_once_what_it_holds(loop: asyncio.AbstractEventLoop) -> None:
    """Afterwards it has leases that the master knows of."""

    async def story() -> None:
        engine = Engine(MasterConfig(), Random(0))
        worker = Peer(1, pb.Hello(role=pb.ROLE_WORKER, slots=1, session=bytes(16), holds=True))
        engine.joined(worker)
        lease = pb.HeldLease(lease=5, job=3, ranges=[pb.Range(lo=0, hi=1 << 57)])
        held = pb.Body(held=pb.Held(leases=[lease]))
        engine.received(worker, [held])
        with pytest.raises(ProtocolError, match="what it holds"):
            engine.received(worker, [held])

    loop.run_until_complete(story())


def test_a_number_that_was_freed_and_used_again_is_the_new_jobs(loop: asyncio.AbstractEventLoop) -> None:
    peer = Peer(1, pb.Hello(role=pb.ROLE_CLIENT))
    peer.jobs[7] = 2  # it had been 1, which was detached
    peer.close_job(7, 1)
    assert peer.jobs == {7: 2}
    peer.close_job(7, 2)
    assert peer.jobs == {}


def search_of(plan: bytes) -> pb.Body:
    return pb.Body(open_job=pb.OpenJob(job=JOB, search=pb.Search(plan=plan, evaluator=HASH)))


def stop_search(reason: str) -> pb.Body:
    return pb.Body(stop_search=pb.StopSearch(job=JOB, reason=reason))


CUBE = Cube([Column(Kind.CONTINUOUS)])
PLAN = Plan(CUBE, method="ga-classic", budget=100)
SEAL_NONE = pb.Body(seal_job=pb.SealJob(job=JOB))


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        (b"rubbish", "no state of an optimizer"),
        (Plan(CUBE, method="magic").pack(), "magic"),
        (Plan(CUBE, method="ga-classic", settings={"population": 10**9}).pack(), "population"),
        (Plan(CUBE, method="ga-classic", settings={"population": [3]}).pack(), "population"),
    ],
)
def test_a_search_that_cannot_be_is_rejected_and_nobody_else_hears_of_it(
    say: Callable[..., Engine], plan: bytes, why: str
) -> None:
    engine = say(DEFINE, search_of(plan), SEAL_NONE, stop_search("enough"))
    (client,) = engine.peers.values()
    rejected = [each.job_rejected for each in told(client) if each.HasField("job_rejected")]
    assert [each.code for each in rejected] == [pb.JobRejected.CODE_NO_SEARCH]
    assert why in rejected[0].sentence
    assert not engine.records
    assert not list(engine.scheduler.jobs)


def test_a_search_waits_for_its_evaluator_and_so_does_its_end(say: Callable[..., Engine]) -> None:
    engine = say(search_of(PLAN.pack()), SEAL_NONE, stop_search("enough"), DEFINE)
    (client,) = engine.peers.values()
    (results,) = [each.results for each in told(client) if each.HasField("results")]
    assert pickle.loads(results.payload).reason == "enough"
    assert not engine.records
    assert not list(engine.scheduler.jobs)


@pytest.mark.parametrize(
    "body",
    [
        pb.Body(open_job=pb.OpenJob(job=JOB, search=pb.Search(evaluator=b"short"))),
        pb.Body(open_job=pb.OpenJob(job=JOB, metered=True, search=pb.Search(evaluator=HASH))),
        pb.Body(open_job=pb.OpenJob(job=JOB, search=pb.Search(evaluator=HASH, time_limit=-1))),
        pb.Body(
            open_job=pb.OpenJob(
                job=JOB,
                search=pb.Search(evaluator=HASH),
                reduction=pb.Reduction(kind=pb.Reduction.KIND_TREE, functions=HASH),
            )
        ),
        stop_search("not\nprintable"),
    ],
)
def test_what_no_client_says_of_a_search_ends_its_session(say: Callable[..., Engine], body: pb.Body) -> None:
    with pytest.raises(ProtocolError):
        say(body)


def told(client: Peer) -> list[pb.Body]:
    assert isinstance(client, ClientPeer)
    return client.sent
