"""Drivers in a whole engine, on a journal: whatever happens, one outcome, and nothing is left behind."""

from __future__ import annotations

import asyncio
import pickle
from array import array
from collections.abc import Callable
from hashlib import blake2b
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.builders import make_results
from tests.unit.master.drivers.test_tree import expected
from tests.unit.master.test_journal import Disk

from manyhands.master.config import MasterConfig
from manyhands.master.drivers.driving import REPORT_INTERVAL
from manyhands.master.engine import Engine
from manyhands.master.journal import Journal
from manyhands.master.journal_schema import read, write
from manyhands.master.peers import Peer
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.blocks import pack_ends
from manyhands.worker.slot_folds import folder

PAIR = b"two pickled functions"
HASH = blake2b(PAIR, digest_size=16).digest()
JOB = 7
TABLES = ("jobs", "blocks", "done", "outcomes", "tries", "inbox", "needs")


class Connected(Peer):
    """A client or worker that keeps what it is sent, with the receipts."""

    outlives_master = False

    def __init__(self, number: int, role: pb.Role) -> None:
        super().__init__(number, pb.Hello(role=role, session=bytes([number]) * 16, slots=2))
        self.sent: list[pb.Body] = []
        self.receipts: list[object] = []

    def send(self, body: pb.Body, flow: int | None = None, receipt: object = None) -> None:
        self.sent.append(body)
        self.receipts.append(receipt)


class ImmediateDisk(Disk):
    def commit(self, batches: Any, on_end: Any) -> None:
        write(self.db, batches)
        on_end(None)

    def rows(self) -> dict[str, int]:
        counts = {table: self.db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES}
        return {table: count for table, count in counts.items() if count}


class Story:
    """One client's reduction of `total` leaves, each of which is its number in a string."""

    def __init__(self, total: int, *, commutative: bool = False) -> None:
        self.total = total
        self.disk = ImmediateDisk()
        self.lives = 0
        self.client = Connected(1, pb.ROLE_CLIENT)
        self.workers: dict[int, Connected] = {}
        self.numbers = iter(range(2, 10_000))
        self.begin_life()
        reduction = pb.Reduction(kind=pb.Reduction.KIND_TREE, functions=HASH, commutative=commutative)
        self.say(pb.Body(define=pb.Define(hash=HASH, blob=PAIR)))
        self.say(pb.Body(open_job=pb.OpenJob(job=JOB, name="fold", reduction=reduction)))
        self.sent = 0
        self.runs: list[int] = []

    def begin_life(self) -> None:
        kept = read(self.disk.db)
        self.journal = Journal(self.disk, on_broken=print, commit_interval=1000.0)
        self.journal.resume(kept)
        self.lives += 1
        self.engine = Engine(MasterConfig(), Random(0), self.journal, self.lives * 1000)
        if self.lives == 1:
            self.engine.joined(self.client)
        else:
            self.client.jobs.clear()
            self.engine.restore(kept, {self.client.hello.session: self.client})
        self.workers.clear()
        self.add_worker()

    def say(self, body: pb.Body) -> None:
        """What the client has said is durable before it is acknowledged, or it would say it again."""
        self.engine.received(self.client, [body])
        self.journal._commit()

    def send(self, count: int) -> None:
        count = min(count, self.total - self.sent)
        items = [pickle.dumps((n,)) + pickle.dumps([n]) for n in range(self.sent, self.sent + count)]
        ends = [sum(map(len, items[: k + 1])) for k in range(count)]
        block = pb.Block(
            job=JOB, first=self.sent, ends=pack_ends(array("I", ends)), payload=b"".join(items), function=HASH,
            call=pb.CALL_FOLD,
        )  # fmt: skip
        self.sent += count
        if count:
            self.say(pb.Body(block=block))
        if self.sent == self.total:
            self.say(pb.Body(seal_job=pb.SealJob(job=JOB, total=self.total)))

    def add_worker(self) -> None:
        worker = self.workers[number] = Connected((number := next(self.numbers)), pb.ROLE_WORKER)
        self.engine.joined(worker)

    def lose_worker(self) -> None:
        _, worker = self.workers.popitem()
        worker.leaving = True
        self.engine.left(worker, "it was killed")
        self.add_worker()

    def work(self, wrong: int | None = None) -> bool:
        """Each worker does what it was sent; whether that was anything."""
        worked = False
        for worker in self.workers.values():
            sent, worker.sent = worker.sent, []
            for body in sent:
                for piece in body.dispatch.pieces:
                    worked = True
                    self.run(worker, body.dispatch, piece, wrong)
                if body.HasField("revoke"):
                    returned = pb.Returned(revoke=body.revoke.revoke, lease=body.revoke.lease)
                    self.engine.received(worker, [pb.Body(returned=returned)])
        return worked

    def run(self, worker: Peer, dispatch: pb.Dispatch, piece: pb.Piece, wrong: int | None) -> None:
        work = folder(piece.call, (str, lambda a, b: f"({a}+{b})"), pickle.load)
        start, results = piece.base, []
        for index, end in enumerate(array("I", piece.ends), piece.first):
            if piece.call == pb.CALL_FOLD and index == wrong:
                failure = pb.Failure(job=dispatch.job, lease=dispatch.lease, index=index, kind=1, payload=b"why")
                self.engine.received(worker, [pb.Body(failure=failure)])
                return
            results.append(pickle.dumps(work(piece.payload[start - piece.base : end - piece.base])))
            start = end
            if piece.call == pb.CALL_FOLD:
                self.runs.append(index)
        message = make_results(dispatch.job, dispatch.lease, piece.first, results, 0.1)
        self.engine.received(worker, [pb.Body(results=message)])

    @property
    def outcomes(self) -> list[pb.Body]:
        return [each for each in self.client.sent if each.HasField("results") or each.HasField("failure")]

    async def settle(self) -> None:
        is_busy = True
        while is_busy:
            for _ in range(3):
                await asyncio.sleep(0)
            is_busy = self.work() or self.sent < self.total
            if self.sent < self.total:
                self.send(50)

    def check_all_gone(self) -> None:
        self.journal.delivered(receipt for receipt in self.client.receipts if receipt is not None)
        self.journal._commit()
        assert not self.disk.rows()
        assert not list(self.engine.scheduler.jobs)
        assert not self.engine.records
        self.engine.scheduler.check_invariants()
        self.engine.ledger.check_invariants()
        assert not self.client.jobs


def told(story: Callable[[], Any]) -> None:
    asyncio.run(story())


@given(st.data(), st.sampled_from([1, 2, 16, 17, 40, 300]))
@settings(max_examples=30, deadline=None)
def test_one_outcome_whatever_happens(data: st.DataObject, total: int) -> None:
    async def tell() -> None:
        story = Story(total)
        for step in data.draw(st.lists(st.sampled_from(["send", "work", "commit", "restart", "lose"]), max_size=25)):
            match step:
                case "send":
                    if story.sent < total:
                        story.send(data.draw(st.sampled_from([1, 7, 100])))
                case "work":
                    story.work()
                case "commit":
                    story.journal._commit()
                case "restart":
                    story.begin_life()
                case "lose":
                    story.lose_worker()
            for _ in range(3):
                await asyncio.sleep(0)
            story.engine.scheduler.check_invariants()
            story.engine.ledger.check_invariants()
        await story.settle()
        assert {pickle.loads(each.results.payload) for each in story.outcomes} == {expected(total)}
        story.check_all_gone()

    told(tell)


def test_what_is_durable_is_not_computed_again() -> None:
    async def tell() -> None:
        story = Story(300)
        story.send(300)
        for _ in range(6):
            await asyncio.sleep(0)
            story.work()
            story.journal._commit()
        done = len(story.runs)
        assert 20 < done < 300
        assert story.disk.rows()["outcomes"] < done, "the tasks above them stand for leaves"
        story.begin_life()
        await asyncio.sleep(0.01)
        await story.settle()
        assert sorted(story.runs) == list(range(300))
        (outcome,) = story.outcomes
        assert pickle.loads(outcome.results.payload) == expected(300)
        assert outcome.results.seconds > 0

    told(tell)


@pytest.mark.parametrize("end", ["fails", "is cancelled", "some are cancelled", "client leaves", "commutative"])
def test_nothing_is_left_of_it(end: str) -> None:
    async def tell() -> None:
        story = Story(100, commutative=end == "commutative")
        story.send(100)
        for _ in range(3):
            await asyncio.sleep(0)
            story.work()
        match end:
            case "fails":
                for _ in range(200):
                    await asyncio.sleep(0)
                    story.work(wrong=60)
                (outcome,) = story.outcomes
                assert (outcome.failure.job, outcome.failure.index, outcome.failure.payload) == (JOB, 0, b"why")
            case "is cancelled":
                story.say(pb.Body(cancel=pb.Cancel(job=JOB)))
            case "some are cancelled":
                story.say(pb.Body(cancel=pb.Cancel(job=JOB, ranges=[pb.Range(lo=0, hi=100)])))
                assert story.client.sent[-1].cancelled.ranges == [pb.Range(lo=0, hi=1)]
            case "client leaves":
                story.engine.left(story.client, "bye")
            case "commutative":
                await story.settle()
                (outcome,) = story.outcomes
        story.check_all_gone()

    told(tell)


def test_a_client_that_watches_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    async def tell() -> None:
        story = Story(100)
        story.send(60)
        story.say(pb.Body(watch=pb.Watch(job=JOB)))
        reports = [each.job_report for each in story.client.sent if each.HasField("job_report")]
        phases = [pb.Phase(name="map", total=60), pb.Phase(name="combine", total=4 + 1)]
        assert reports == [pb.JobReport(job=JOB, total=1, phases=phases)]
        await asyncio.sleep(1.1 * REPORT_INTERVAL)
        story.work()
        assert [each.job_report.phases[0].done > 0 for each in story.client.sent[-1:]] == [True]

    told(tell)
