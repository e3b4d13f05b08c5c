"""What a peer is sent, once; and who is served in a session."""

import asyncio
from collections.abc import Callable, Sequence
from random import Random

from manyhands.master.config import MasterConfig
from manyhands.master.journal import Journal
from manyhands.master.journal_batch import Batch
from manyhands.master.life import Life
from manyhands.master.peers import Peer
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.handshake import make_hello
from manyhands.wire.links import MemoryLink


def defined(peer: Peer) -> list[bytes]:
    """Hashes of the definitions that it is sent next."""
    frame = peer.session.next_frame()
    return [] if frame is None else [body.define.hash for body in frame.bodies]


def test_a_definition_is_sent_once() -> None:
    peer = Peer(1, pb.Hello(role=pb.ROLE_WORKER))
    for _ in range(2):
        for hash in (b"a", b"b"):
            peer.define(hash, b"blob", 7)
    assert defined(peer) == [b"a", b"b"]


class Store:
    """A journal's store whose commits take a while."""

    def __init__(self) -> None:
        self.pending: list[Callable[[Exception | None], None]] = []

    def commit(self, batches: Sequence[Batch], on_end: Callable[[Exception | None], None]) -> None:
        self.pending.append(on_end)

    async def outcomes(self, job: int, *, ordered: bool, after: int) -> list[tuple[int, int, bytes]]:
        return []

    def wall(self) -> float:
        return 0.0

    def end_commit(self) -> None:
        self.pending.pop()(None)


def test_a_session_that_is_over_is_served_to_nobody_who_waits_for_it() -> None:
    """Its first connection breaks a rule while a second one waits until the session is durable."""

    async def story() -> None:
        store = Store()
        life = Life(MasterConfig(), Random(0), 1, b"c", Journal(store, on_broken=print))
        hello = make_hello(pb.ROLE_CLIENT, "c")
        hello.session = bytes(16)
        first, serving = dial(life)
        await first.write(pb.Frame(hello=hello))
        await settled()
        store.end_commit()
        assert await first.read() is not None
        await first.write(pb.Frame(sequence=1, bodies=[pb.Body(open_job=pb.OpenJob(job=1))]))
        second, serving_second = dial(life)
        await second.write(pb.Frame(hello=hello))
        await settled()
        await first.write(pb.Frame(sequence=2, bodies=[pb.Body()]))
        await serving
        assert not life.engine.peers
        store.end_commit()
        frame = await second.read()
        assert frame is not None
        assert frame.refusal.code == pb.Refusal.CODE_UNKNOWN_SESSION
        await serving_second

    asyncio.run(story())


def test_a_session_keeps_its_role() -> None:
    async def story() -> None:
        life = Life(MasterConfig(), Random(0), 1, b"c")
        link, serving = dial(life)
        hello = make_hello(pb.ROLE_WORKER, "w", 1)
        hello.session = bytes(16)
        await link.write(pb.Frame(hello=hello))
        assert await link.read() is not None
        other, serving_other = dial(life)
        hello.role = pb.ROLE_CLIENT
        await other.write(pb.Frame(hello=hello))
        frame = await other.read()
        assert frame is not None
        assert frame.refusal.code == pb.Refusal.CODE_INVALID
        await serving_other
        await life.sessions.close()
        await serving

    asyncio.run(story())


def dial(life: Life) -> tuple[MemoryLink, asyncio.Task[None]]:
    ours, theirs = MemoryLink.pair()
    return ours, asyncio.create_task(life.sessions.accept(theirs))


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)
