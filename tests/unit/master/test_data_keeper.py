"""The master's part in data: who holds what, what tasks wait for, what is dropped, lost and computed again."""

from __future__ import annotations

import asyncio
import errno
import threading
from array import array
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.support.daemons import wait_until

from manyhands.master import data_keeper
from manyhands.master.config import MasterConfig
from manyhands.master.engine import Engine
from manyhands.master.journal import Journal
from manyhands.master.journal_batch import Batch
from manyhands.master.peers import Peer
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.blocks import pack_ends
from manyhands.wire.eventloop import loop_factory
from manyhands.wire.host_store import HostStore
from manyhands.wire.session import ProtocolError

JOB = 7
A, B, C = bytes([1]) * 16, bytes([2]) * 16, bytes([3]) * 16


class SomePeer(Peer):
    """Connected; it keeps what it is sent."""

    def __init__(self, number: int, role: pb.Role, slots: int = 0) -> None:
        super().__init__(number, pb.Hello(role=role, name=f"p{number}", session=bytes([number]) * 16, slots=slots))
        self.sent: list[pb.Body] = []

    def send(self, body: pb.Body, flow: object = None, receipt: object = None) -> None:
        self.sent.append(body)


class Cluster:
    """An engine with a store of its own, a client (1), and workers as they join."""

    def __init__(self, store: HostStore | None, journal: Journal | None = None) -> None:
        self.engine = Engine(MasterConfig(), Random(0), journal, store=store)
        self.client = self.join(1, pb.ROLE_CLIENT)
        self.tasks = 0

    def join(self, number: int, role: pb.Role = pb.ROLE_WORKER, store: str = "") -> SomePeer:
        peer = SomePeer(number, role, 1 if role == pb.ROLE_WORKER else 0)
        self.engine.joined(peer)
        if store:
            self.say(peer, join_store=pb.JoinStore(store=store))
        return peer

    def say(self, peer: Peer, **body: Any) -> None:
        self.engine.received(peer, [pb.Body(**body)])

    def leave(self, peer: Peer) -> None:
        self.engine.left(peer, "test")

    def submit(self, *needs: bytes, keep: bool = True, payload: bytes = b"call") -> None:
        """A task of its own job; results of any size stay if `keep`."""
        self.tasks += 1
        job = JOB + self.tasks
        self.say(self.client, open_job=pb.OpenJob(job=job, name=f"job{self.tasks}", keep_bytes=1 if keep else 0))
        data = [pb.DataNeed(id=id) for id in needs]
        ends = pack_ends(array("I", [2, 2 + len(payload)]))
        block = pb.Block(job=job, ends=ends, payload=b"no" + payload, call=pb.CALL_APPLY, data=data)
        self.say(self.client, block=block)

    def answer(self, worker: SomePeer, dispatch: pb.Dispatch, *stored: tuple[bytes, int]) -> None:
        """All tasks of a dispatch return; `stored`: id and size of each result, all of them large."""
        for piece in dispatch.pieces:
            count = len(piece.ends) // 4
            message = pb.Results(
                job=dispatch.job,
                lease=dispatch.lease,
                first=piece.first,
                ends=pack_ends(array("I", range(1, count + 1))),
                payload=b"." * count,
                stored=[
                    pb.Stored(index=piece.first + at, id=id, size=size) for at, (id, size) in enumerate(stored[:count])
                ],
            )
            stored = stored[count:]
            self.say(worker, results=message)


def of_kind(peer: SomePeer, kind: str) -> list[Any]:
    """What it was sent of that kind since it was last asked."""
    found = [getattr(body, kind) for body in peer.sent if body.WhichOneof("kind") == kind]
    peer.sent = [body for body in peer.sent if body.WhichOneof("kind") != kind]
    return found


@pytest.fixture
def store(tmp_path: Path) -> HostStore:
    (tmp_path / "disk").mkdir()
    return HostStore.join(bytes(16), folder=tmp_path, disk=tmp_path / "disk")  # the engine's, which closes it


Story = Callable[[Cluster], Coroutine[Any, Any, None]]


@pytest.fixture
def tell(store: HostStore) -> Callable[[Story], None]:
    """Has a story happen, on a loop as daemons have it."""

    async def whole(story: Story) -> None:
        cluster = Cluster(store)
        await story(cluster)
        cluster.engine.scheduler.check_invariants()
        cluster.engine.data.recomputing.check_invariants()
        cluster.engine.data.close()

    def run(story: Story) -> None:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(whole(story))

    return run


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def compute(
    cluster: Cluster, worker: SomePeer, *results: bytes, needs: tuple[bytes, ...] = (), size: int = 100
) -> None:
    """A job of two tasks, whose results, of so many bytes, stay at the worker."""
    cluster.submit(*needs)
    await settle()
    ids = list(results)
    while ids:
        (dispatch,) = of_kind(worker, "dispatch")
        cluster.answer(worker, dispatch, (ids.pop(0), size))
        await settle()


def test_a_task_waits_until_its_datum_can_be_had(tell: Callable[[Story], None]) -> None:
    async def story(cluster: Cluster) -> None:
        worker = cluster.join(2, store="w")
        cluster.submit(A)
        await settle()
        assert not of_kind(worker, "dispatch")
        cluster.say(cluster.client, put_data=pb.PutData(id=A, size=3, content=b"abc"))
        await settle()
        (dispatch,) = of_kind(worker, "dispatch")
        assert [need.id for piece in dispatch.pieces for need in piece.data] == [A]

    tell(story)


def test_the_last_holder_takes_it_along(tell: Callable[[Story], None], store: HostStore) -> None:
    async def story(cluster: Cluster) -> None:
        worker = cluster.join(2, store="w")
        cluster.say(cluster.client, put_data=pb.PutData(id=A, size=3, content=b"abc"))
        cluster.submit(A, keep=False)
        await settle()
        cluster.say(worker, data_here=pb.DataHere(needs=[pb.DataNeed(id=A)]))
        cluster.say(cluster.client, release_data=pb.ReleaseData(ids=[A]))
        assert cluster.engine.data.registry.get(A) is not None, "the tasks need it"
        assert A in store
        for _ in range(2):
            (dispatch,) = of_kind(worker, "dispatch")
            cluster.answer(worker, dispatch)
            await settle()
        assert cluster.engine.data.registry.get(A) is None
        assert [list(each.ids) for each in of_kind(worker, "forget")] == [[A]]
        await asyncio.to_thread(wait_until, lambda: A not in store)

    tell(story)


def test_who_leaves_holds_nothing(tell: Callable[[Story], None]) -> None:
    async def story(cluster: Cluster) -> None:
        worker = cluster.join(2, store="w")
        cluster.say(cluster.client, put_data=pb.PutData(id=A, size=3, content=b"abc"))
        await compute(cluster, worker, B, C)
        assert {datum.id for datum in cluster.engine.data.registry.all()} == {A, B, C}
        cluster.leave(cluster.client)
        await settle()
        assert not cluster.engine.data.registry.all()
        assert {id for each in of_kind(worker, "forget") for id in each.ids} == {B, C}

    tell(story)


@pytest.mark.parametrize("joins_first", [False, True])
def test_what_was_put_and_is_not_there(joins_first: bool, tell: Callable[[Story], None], store: HostStore) -> None:
    async def story(cluster: Cluster) -> None:
        said = [{"join_store": pb.JoinStore(store=store.identity)}, {"put_data": pb.PutData(id=A, size=1 << 20)}]
        for each in (
            said if joins_first else reversed(said)
        ):  # as after a restart, when what is unacknowledged goes first
            cluster.say(cluster.client, **each)
        cluster.submit(A)
        cluster.say(cluster.client, await_data=pb.AwaitData(ids=[A]))
        assert "not in the store of this host" in of_kind(cluster.client, "data_state")[0].lost
        (failure,) = of_kind(cluster.client, "failure")
        assert (failure.kind, failure.data, failure.end) == (pb.Failure.KIND_DATA_LOST, A, 2)

    tell(story)


def test_a_name_is_one_datum_s(tell: Callable[[Story], None]) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.say(cluster.client, put_data=pb.PutData(id=A, size=3, content=b"abc"))
        with pytest.raises(ProtocolError, match="has 3 bytes, not 4"):
            cluster.say(cluster.client, put_data=pb.PutData(id=A, size=4, content=b"abcd"))

    tell(story)


def test_it_is_nobody_else_s_to_fetch(tell: Callable[[Story], None]) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.say(cluster.client, put_data=pb.PutData(id=A, size=3, content=b"abc"))
        other = cluster.join(9, pb.ROLE_CLIENT)
        cluster.say(other, await_data=pb.AwaitData(ids=[A]))
        cluster.say(other, fetch=pb.Fetch(id=A, offset=0, length=3))
        assert of_kind(other, "data_state")[0].lost
        assert of_kind(other, "part")[0].missing
        cluster.say(cluster.client, fetch=pb.Fetch(id=A, offset=1, length=2))
        assert of_kind(cluster.client, "part")[0].data == b"bc"

    tell(story)


def test_a_client_elsewhere_gets_a_result_through_the_master(tell: Callable[[Story], None]) -> None:
    async def story(cluster: Cluster) -> None:
        worker = cluster.join(2, store="w")
        await compute(cluster, worker, A, B)
        cluster.say(cluster.client, await_data=pb.AwaitData(ids=[A]))
        (fetch,) = of_kind(worker, "fetch")
        assert not of_kind(cluster.client, "data_state")
        cluster.say(worker, part=pb.Part(id=A, offset=0, data=bytes(range(100))))
        await settle()
        (state,) = of_kind(cluster.client, "data_state")
        assert (fetch.id, state.is_kept, state.size) == (A, True, 100)
        cluster.leave(worker)
        assert cluster.engine.data.registry.get(A).is_available  # type: ignore[union-attr]

    tell(story)


def test_a_result_may_come_ahead_of_which_store_it_is_in(tell: Callable[[Story], None]) -> None:
    async def story(cluster: Cluster) -> None:
        worker = cluster.join(2)
        await compute(cluster, worker, A, B)
        datum = cluster.engine.data.registry.get(A)
        assert datum is not None
        assert not datum.is_available
        cluster.submit(A, keep=False)
        await settle()
        assert not of_kind(worker, "dispatch"), "nobody can tell where it is"
        cluster.say(cluster.client, release_data=pb.ReleaseData(ids=[B]))
        cluster.say(worker, join_store=pb.JoinStore(store="w"))
        assert datum.stores == {"w"}
        assert [list(each.ids) for each in of_kind(worker, "forget")] == [[B]]
        await settle()
        assert of_kind(worker, "dispatch")

    tell(story)


def test_a_result_goes_with_a_worker_that_never_said_where_it_was(tell: Callable[[Story], None]) -> None:
    async def story(cluster: Cluster) -> None:
        worker = cluster.join(2)
        await compute(cluster, worker, A, B)
        cluster.say(cluster.client, await_data=pb.AwaitData(ids=[A]))
        cluster.leave(worker)
        another = cluster.join(3, store="x")
        await settle()
        dispatches = of_kind(another, "dispatch")
        assert {piece.keep_as for each in dispatches for piece in each.pieces} == {A, B}, "they are computed again"

    tell(story)


def test_results_that_come_too_late_are_dropped(tell: Callable[[Story], None]) -> None:
    async def story(cluster: Cluster) -> None:
        worker = cluster.join(2, store="w")
        cluster.submit()
        await settle()
        (dispatch,) = of_kind(worker, "dispatch")
        cluster.say(cluster.client, cancel=pb.Cancel(job=JOB + 1))
        cluster.answer(worker, dispatch, (A, 100))
        assert [list(each.ids) for each in of_kind(worker, "forget")] == [[A]]
        assert cluster.engine.data.registry.get(A) is None

    tell(story)


# ---------------------------------------------------------------- computed again


def test_what_is_lost_with_its_worker_is_computed_again(tell: Callable[[Story], None]) -> None:
    async def story(cluster: Cluster) -> None:
        first = cluster.join(2, store="w")
        await compute(cluster, first, A, B)
        await compute(cluster, first, C, bytes([4]) * 16, needs=(B,))
        cluster.say(cluster.client, release_data=pb.ReleaseData(ids=[A, B]))
        await settle()
        cluster.submit(C, keep=False)
        cluster.say(cluster.client, await_data=pb.AwaitData(ids=[C]))
        cluster.leave(first)
        second = cluster.join(3, store="x")
        await settle()
        runs = []
        for _ in range(6):
            for dispatch in of_kind(second, "dispatch"):
                runs += [(piece.first, piece.payload, piece.keep_as) for piece in dispatch.pieces]
                if dispatch.pieces[0].keep_as:
                    cluster.answer(second, dispatch, (dispatch.pieces[0].keep_as, 100))
            await settle()
        kept_as = [keep_as for _, _, keep_as in runs if keep_as]
        assert kept_as.index(B) < kept_as.index(C), "what it takes comes first"
        assert sorted(kept_as) == [B, C, bytes([4]) * 16]
        assert (1, b"call", B) in runs, "the task has the index that it had"
        assert (0, b"no", C) in runs
        assert (0, b"no", b"") in runs, "what waited for it has been sent out"
        assert of_kind(second, "fetch")[0].id == C
        assert cluster.engine.data.registry.get(B) is None, "it was needed for a moment only"
        assert all(record.recomputes == b"" for record in cluster.engine.records.values())

    tell(story)


def test_a_worker_full_of_tasks_that_wait_for_it_computes_it(tell: Callable[[Story], None]) -> None:
    """They hold its only slot's place, and do not run."""

    async def story(cluster: Cluster) -> None:
        first = cluster.join(2, store="w")
        await compute(cluster, first, A, B)
        second = cluster.join(3, store="x")
        cluster.submit(A, B, keep=False)
        await settle()
        (waiting,) = of_kind(second, "dispatch")
        needs = [need for piece in waiting.pieces for need in piece.data]
        cluster.say(second, locate=pb.Locate(needs=needs))
        cluster.leave(first)
        for _ in range(2):
            await settle()
            again = [each for each in of_kind(second, "dispatch") if each.pieces[0].keep_as]
            for dispatch in again:
                cluster.answer(second, dispatch, (dispatch.pieces[0].keep_as, 100))
        await settle()
        answers = of_kind(second, "source")
        assert {each.need.id for each in answers if each.is_here} == {A, B}
        assert not any(each.lost for each in answers)

    tell(story)


def test_two_workers_ask_in_one_turn_of_the_loop(tell: Callable[[Story], None]) -> None:
    """The first transfer is to be looked after at once, and the second one begins before the loop gets to that."""

    async def story(cluster: Cluster) -> None:
        def joined(number: int) -> SomePeer:
            worker, address = cluster.join(number), f"10.0.0.{number}:7"
            store = pb.JoinStore(store=f"store-{number}", address=address, certificate=bytes(32))
            cluster.say(worker, join_store=store)
            return worker

        await compute(cluster, joined(2), A, B, size=100 << 20)
        for worker, id, expected in ((joined(3), A, ["10.0.0.2:7"]), (joined(4), B, [])):
            cluster.say(worker, locate=pb.Locate(needs=[pb.DataNeed(id=id)]))
            assert [each.address for each in of_kind(worker, "source")] == expected, "one large one at a time"

    tell(story)


def test_what_is_lost_together_is_computed_in_order(tell: Callable[[Story], None]) -> None:
    async def story(cluster: Cluster) -> None:
        first = cluster.join(2, store="w")
        names = [bytes([number]) * 16 for number in range(8, 0, -1)]
        for before, id in zip([(), *[(each,) for each in names]], names, strict=False):
            await compute(cluster, first, id, bytes([100]) + id[1:], needs=before)
        cluster.leave(first)
        second = cluster.join(3, store="x")
        ran = []
        for _ in range(20):
            await settle()
            for dispatch in of_kind(second, "dispatch"):
                ran.append(dispatch.pieces[0].keep_as)
                assert all(need.id in ran for piece in dispatch.pieces for need in piece.data)
                cluster.answer(second, dispatch, (ran[-1], 100))
        assert [id for id in ran if id in names] == names
        assert len(ran) == 16

    tell(story)


def test_another_size_is_another_datum(tell: Callable[[Story], None]) -> None:
    async def story(cluster: Cluster) -> None:
        first = cluster.join(2, store="w")
        await compute(cluster, first, A, B)
        cluster.say(cluster.client, release_data=pb.ReleaseData(ids=[B]))
        cluster.leave(first)
        second = cluster.join(3, store="x")
        await settle()
        (dispatch,) = of_kind(second, "dispatch")
        cluster.answer(second, dispatch, (A, 101))
        cluster.say(cluster.client, await_data=pb.AwaitData(ids=[A]))
        assert "101 bytes this time, not 100" in of_kind(cluster.client, "data_state")[0].lost

    tell(story)


def test_released_while_it_is_computed_again(tell: Callable[[Story], None]) -> None:
    async def story(cluster: Cluster) -> None:
        first = cluster.join(2, store="w")
        await compute(cluster, first, A, B)
        cluster.leave(first)
        second = cluster.join(3, store="x")
        await settle()
        dispatch, other = of_kind(second, "dispatch")
        cluster.say(cluster.client, release_data=pb.ReleaseData(ids=[A, B]))
        await settle()
        assert [each.lease for each in of_kind(second, "revoke")] == [dispatch.lease, other.lease]
        cluster.answer(second, dispatch, (dispatch.pieces[0].keep_as, 100))
        assert [list(each.ids) for each in of_kind(second, "forget")] == [[dispatch.pieces[0].keep_as]]
        assert not [record for record in cluster.engine.records.values() if record.recomputes]

    tell(story)


def bring(cluster: Cluster, client: SomePeer, id: bytes, content: bytes) -> None:
    """The client sends what it was asked for."""
    assert [fetch.id for fetch in of_kind(client, "fetch")] == [id]
    cluster.say(client, part=pb.Part(id=id, data=content))


def test_who_tells_of_his_store_twice_still_has_what_he_put(tell: Callable[[Story], None]) -> None:
    """A client says it to a master that was restarted, which may have its first word of it, too."""

    async def story(cluster: Cluster) -> None:
        client = cluster.client
        for _ in range(2):
            cluster.say(client, join_store=pb.JoinStore(store="c"))
            cluster.say(client, put_data=pb.PutData(id=A, size=3))
        bring(cluster, client, A, b"abc")
        cluster.say(client, join_store=pb.JoinStore(store="c"))
        cluster.say(client, await_data=pb.AwaitData(ids=[A]))
        (state,) = of_kind(client, "data_state")
        assert (state.is_kept, state.lost) == (True, "")
        cluster.say(client, release_data=pb.ReleaseData(ids=[A]))
        assert [list(each.ids) for each in of_kind(client, "forget")] == [[A]], "its own copy, too"

    tell(story)


def test_what_waits_to_be_taken_in_keeps_its_data(tell: Callable[[Story], None]) -> None:
    """Whether its client holds them or not, and also what is not there yet when the block comes."""

    async def story(cluster: Cluster) -> None:
        client, worker = cluster.client, cluster.join(2, store="w")
        cluster.say(client, join_store=pb.JoinStore(store="c"))
        cluster.submit(B, A)
        cluster.say(client, put_data=pb.PutData(id=A, size=3, content=b"abc"))
        cluster.say(client, release_data=pb.ReleaseData(ids=[A]))
        cluster.say(client, put_data=pb.PutData(id=B, size=3))
        cluster.say(client, release_data=pb.ReleaseData(ids=[B]))
        await settle()
        assert not of_kind(worker, "dispatch")
        bring(cluster, client, B, b"abc")
        await settle()
        (dispatch,) = of_kind(worker, "dispatch")
        assert {need.id for piece in dispatch.pieces for need in piece.data} == {A, B}

    tell(story)


def test_who_leaves_before_telling_of_what_his_tasks_need(tell: Callable[[Story], None]) -> None:
    async def story(cluster: Cluster) -> None:
        data, block = cluster.engine.data, pb.Block(data=[pb.DataNeed(id=A), pb.DataNeed(id=B)])
        told, untold = data.needed_by(block, cluster.client)
        cluster.say(cluster.client, put_data=pb.PutData(id=A, size=3, content=b"abc"))
        cluster.leave(cluster.client)
        assert not told.lost
        assert "client p1 alone, which is gone" in untold.lost

    tell(story)


@pytest.mark.parametrize("has_said_where", [False, True])
def test_who_leaves_before_the_master_has_it_takes_it_along(
    tell: Callable[[Story], None], *, has_said_where: bool
) -> None:
    """Nobody waits for it: a detached job, for instance, goes on."""

    async def story(cluster: Cluster) -> None:
        client, datum = cluster.client, cluster.engine.data.registry.expect(A)
        if has_said_where:
            cluster.say(client, join_store=pb.JoinStore(store="c"))
        cluster.say(client, put_data=pb.PutData(id=A, size=3))
        assert not datum.lost
        cluster.leave(client)
        assert "client p1, which is gone" in datum.lost or "client p1 alone, which is gone" in datum.lost

    tell(story)


def test_no_store_no_data(tmp_path: Path) -> None:
    async def story() -> None:
        cluster = Cluster(None)
        worker = cluster.join(2, store="w")
        cluster.say(cluster.client, put_data=pb.PutData(id=C, size=3, content=b"abc"))
        await compute(cluster, worker, A, B)
        cluster.say(cluster.client, await_data=pb.AwaitData(ids=[A, C]))
        assert all("no place" in state.lost for state in of_kind(cluster.client, "data_state"))
        cluster.engine.data.close()

    asyncio.run(story())


# ---------------------------------------------------------------- with a journal


class Disk:
    """Commits when it is told to."""

    def __init__(self) -> None:
        self.held: set[tuple[bytes, bytes]] = set()
        self.commits: list[Callable[[], None]] = []

    def commit(self, batches: Sequence[Batch], on_end: Callable[[Exception | None], None]) -> None:
        def end() -> None:
            for batch in batches:
                self.held -= set(batch.released_data)
                self.held |= batch.held_data.keys()
            on_end(None)

        self.commits.append(end)

    async def outcomes(self, job: int, *, ordered: bool, after: int) -> list[tuple[int, int, bytes]]:
        raise AssertionError

    def wall(self) -> float:
        return 0.0


def test_a_client_is_not_told_of_what_a_restarted_master_would_not_know_it_holds(store: HostStore) -> None:
    async def story() -> None:
        disk = Disk()

        async def commit() -> None:
            await asyncio.sleep(0.01)
            disk.commits.pop()()

        cluster = Cluster(store, Journal(disk, on_broken=print, commit_interval=0.0))
        worker = cluster.join(2, store="w")
        cluster.submit()
        cluster.submit(keep=False)
        await commit()
        kept, small = sorted(of_kind(worker, "dispatch"), key=lambda dispatch: -dispatch.keep_bytes)
        cluster.answer(worker, kept, (A, 100))
        cluster.answer(worker, small)
        assert [list(results.stored) for results in of_kind(cluster.client, "results")] == [[]]
        await commit()
        assert [results.stored[0].id for results in of_kind(cluster.client, "results")] == [A]
        assert disk.held == {(cluster.client.hello.session, A)}
        cluster.engine.data.close()

    asyncio.run(story())


def test_a_full_disk_is_waited_for(store: HostStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """By clients, that must keep what they have put; not by tasks."""
    monkeypatch.setattr(data_keeper, "FULL_RETRY", 0.01)
    tried, has_room = [0], threading.Event()

    def full(_: bytes) -> None:
        tried[0] += 1
        if not has_room.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store, "persist", full)

    async def story() -> None:
        cluster = Cluster(store, Journal(Disk(), on_broken=print, commit_interval=0.0))
        client, worker = cluster.client, cluster.join(2, store="w")
        cluster.say(client, put_data=pb.PutData(id=A, size=3, content=b"abc"))
        cluster.say(client, await_data=pb.AwaitData(ids=[A]))
        cluster.submit(A)
        await asyncio.to_thread(wait_until, lambda: tried[0] > 2)
        assert of_kind(worker, "dispatch")
        assert not of_kind(client, "data_state")
        has_room.set()
        while not (states := of_kind(client, "data_state")):
            await asyncio.sleep(0.01)
        assert [(state.is_kept, state.lost) for state in states] == [(True, "")]
        cluster.engine.data.close()

    asyncio.run(asyncio.wait_for(story(), 30))


def test_what_tasks_need_is_written_down_whoever_holds_it(store: HostStore) -> None:
    async def story() -> None:
        disk = Disk()

        async def commit() -> None:
            await asyncio.sleep(0.01)
            while disk.commits:
                disk.commits.pop()()

        cluster = Cluster(store, Journal(disk, on_broken=print, commit_interval=0.0))
        client, session = cluster.client, cluster.client.hello.session
        for id in (A, B, C):
            cluster.say(client, put_data=pb.PutData(id=id, size=3, content=b"abc"))
        cluster.submit(A, keep=False)
        await commit()
        assert disk.held == {(session, A), (session, B), (session, C)}
        cluster.say(client, release_data=pb.ReleaseData(ids=[A, B]))
        await commit()
        assert disk.held == {(b"", A), (session, C)}
        worker = cluster.join(2, store="w")
        for _ in range(2):
            await commit()
            for dispatch in of_kind(worker, "dispatch"):
                cluster.answer(worker, dispatch)
        await commit()
        assert disk.held == {(session, C)}
        cluster.leave(client)
        await commit()
        assert disk.held == {(session, C)}, "which goes with the session"
        cluster.engine.data.close()

    asyncio.run(story())


# ---------------------------------------------------------------- after a restart


def test_what_was_missing_and_is_needed_no_more_is_told_of(tell: Callable[[Story], None]) -> None:
    """Others may wait for it still: a job, of whose tasks only those were cancelled that need it."""

    async def story(cluster: Cluster) -> None:
        told: list[bytes] = []
        data = cluster.engine.data
        data.tell_waiting = told.append
        needed = data.needed_by(pb.Block(data=[pb.DataNeed(id=A)]))
        assert needed[0].is_coming
        del needed
        await settle()
        assert told == [A]

    tell(story)


def test_what_tasks_of_an_earlier_life_need_is_there(tell: Callable[[Story], None], store: HostStore) -> None:
    async def story(cluster: Cluster) -> None:
        store.put(A, [b"abc"])
        data = cluster.engine.data
        data.restore([(b"", A, 3), (b"", B, 3)], {})
        needed = data.needed_by(pb.Block(data=[pb.DataNeed(id=A), pb.DataNeed(id=C)]))
        data.restored(60.0)
        a, c = needed
        assert a.is_available
        assert data.registry.get(B) is None
        cluster.client.grace = asyncio.get_running_loop().call_later(60.0, lambda: None)
        data._all_back(60.0)
        assert not c.lost, "a client that is away may have put it"
        cluster.client.grace.cancel()
        cluster.client.grace = None
        data._all_back(60.0)
        assert "has not come back" in c.lost

    tell(story)


def test_what_nobody_brings_back_is_asked_of_its_client_or_lost(tell: Callable[[Story], None]) -> None:
    async def story(cluster: Cluster) -> None:
        data, session = cluster.engine.data, cluster.client.hello.session
        other = cluster.join(9, pb.ROLE_CLIENT)
        kept = [(session, A, 3), (session, B, 3), (other.hello.session, C, 3)]
        data.restore(kept, {session: cluster.client, other.hello.session: other})
        data.restored(60.0)
        cluster.say(cluster.client, join_store=pb.JoinStore(store="c"))
        worker = cluster.join(3)
        cluster.say(worker, join_store=pb.JoinStore(store="w", ids=[B]))
        cluster.say(other, await_data=pb.AwaitData(ids=[C]))
        other.grace = asyncio.get_running_loop().call_later(60.0, lambda: None)
        data._all_back(60.0)
        assert not of_kind(other, "data_state"), "it may come back still"
        other.grace.cancel()
        other.grace = None
        data._all_back(60.0)
        assert [fetch.id for fetch in of_kind(cluster.client, "fetch")] == [A], "it may have been put"
        assert "has not come back" in of_kind(other, "data_state")[0].lost
        assert data.registry.get(B).is_available  # type: ignore[union-attr]
        cluster.say(cluster.client, part=pb.Part(id=A, missing=True))
        cluster.say(cluster.client, await_data=pb.AwaitData(ids=[A]))
        assert of_kind(cluster.client, "data_state")[0].lost

    tell(story)
