"""The journal against a model: whatever happens in whatever order, what is read back is what was committed last."""

import asyncio
import copy
import sqlite3
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from tests.support.builders import make_results

from manyhands.master.group_commit import NoRoom
from manyhands.master.journal import Journal
from manyhands.master.journal_schema import SCHEMA, new_marks, read, write
from manyhands.protos import manyhands_pb2 as pb

SESSIONS = [bytes([n]) * 16 for n in range(3)]


class Disk:
    """A store whose commits end when the test says so."""

    def __init__(self) -> None:
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        self.db.executescript(SCHEMA)
        self.pending = None
        self.clock = 1000.0

    def commit(self, batches, on_end):
        assert self.pending is None, "a commit while another is being written"
        self.pending = list(batches), on_end

    def wall(self):
        return self.clock


class Ack:
    """A peer that is told."""

    def __init__(self) -> None:
        self.highest = 0

    def durable(self, sequence):
        assert sequence > self.highest
        self.highest = sequence


@dataclass
class ModelJob:
    session: bytes
    blocks: dict[int, tuple[int, float]] = field(default_factory=dict)  # first -> count, arrival
    count: int = 0
    done: set[int] = field(default_factory=set)
    outcomes: dict[int, bytes] = field(default_factory=dict)
    tries: dict[int, tuple[int, float]] = field(default_factory=dict)  # attempts, due
    states: dict[int, bytes] = field(default_factory=dict)
    marks: dict[str, set[int]] = field(default_factory=lambda: {mark: set() for mark in new_marks()})  # of open tasks
    inbox: dict[int, bytes] = field(default_factory=dict)
    succeeded: int = 0
    failed: int = 0
    finished: bool = False


@dataclass
class Model:
    clients: dict[bytes, int] = field(default_factory=dict)
    ended: dict[bytes, float] = field(default_factory=dict)
    fragments: dict[bytes, list[bytes]] = field(default_factory=dict)
    jobs: dict[int, ModelJob] = field(default_factory=dict)
    definitions: set[bytes] = field(default_factory=set)

    def forget(self, job):
        del self.jobs[job]


class JournalMachine(RuleBasedStateMachine):
    loops = ()

    def teardown(self):
        for loop in self.loops:
            loop.close()

    @initialize()
    def begin(self):
        self.loops = []
        self.disk = Disk()
        self.model = Model()
        self.durable = copy.deepcopy(self.model)
        self.in_flight = None
        self.last_job = 0
        self.acks = {session: Ack() for session in SESSIONS}
        self.sequence = 0
        self.sequences = {}  # session -> of the state in flight, and durable
        self.journal = self.make(self.disk)

    def make(self, disk):
        """On a loop that never runs again: commits begin when the test says so."""

        async def build():
            return Journal(disk, on_broken=self.broken)

        self.loops.append(asyncio.new_event_loop())
        return self.loops[-1].run_until_complete(build())

    def broken(self, error):
        raise AssertionError("the store did not fail for good") from error

    picks = st.integers(0, 1000)

    def job(self, which, *, unfinished=True):
        numbers = [n for n, job in self.model.jobs.items() if not (unfinished and job.finished)]
        return numbers[which % len(numbers)] if numbers else None

    # ------------------------------------------------------------ what happens

    @rule(which=st.sampled_from(SESSIONS))
    def join(self, which):
        if which not in self.model.clients:
            self.model.clients[which] = 0
            self.acks[which] = Ack()  # a session anew
            self.journal.client_joined(which, pb.Hello(session=which))

    @rule(which=st.sampled_from(SESSIONS), back=st.booleans())
    def end(self, which, back):
        if which in self.model.clients:
            self.model.ended[which] = 0.0 if back else self.disk.clock
            (self.journal.client_back if back else self.journal.client_ended)(which)

    @rule(which=st.sampled_from(SESSIONS))
    def leave(self, which):
        if which in self.model.clients:
            del self.model.clients[which]
            self.model.ended.pop(which, None)
            self.model.fragments.pop(which, None)
            for number, job in list(self.model.jobs.items()):
                if job.session == which:
                    self.model.forget(number)
            self.journal.client_left(which)

    @rule(which=st.sampled_from(SESSIONS))
    def hear(self, which):
        if which in self.model.clients:
            self.sequence += 1
            self.model.clients[which] = self.sequence
            self.journal.acknowledge(self.acks[which], self.sequence, which)

    @rule(which=st.sampled_from(SESSIONS), last=st.booleans())
    def fragment(self, which, last):
        if which in self.model.clients:
            parts = self.model.fragments.setdefault(which, [])
            data = b"%d" % len(parts)
            if last:
                del self.model.fragments[which]
            else:
                parts.append(data)
            self.journal.fragment(which, pb.Fragment(id=1, data=data, last=last))

    @rule(which=st.sampled_from(SESSIONS))
    def open_job(self, which):
        if which in self.model.clients:
            self.last_job += 1
            self.model.jobs[self.last_job] = ModelJob(which)
            self.journal.opened(self.last_job, which, 7, pb.OpenJob(name=f"job {self.last_job}"))

    @rule(which=picks, count=st.integers(1, 5))
    def block(self, which, count):
        if (number := self.job(which)) is not None:
            job = self.model.jobs[number]
            job.blocks[job.count] = count, self.disk.clock
            self.journal.block(number, pb.Block(first=job.count, ends=bytes(4 * count), payload=b"x"))
            job.count += count

    @rule(which=picks, where=picks, length=st.integers(1, 4), good=st.booleans())
    def end_tasks(self, which, where, length, good):
        if (number := self.job(which)) is None:
            return
        job = self.model.jobs[number]
        open_tasks = sorted(set(range(job.count)) - job.done)
        if not open_tasks:
            return
        lo = hi = open_tasks[where % len(open_tasks)]
        while hi < lo + (length if good else 1) and hi in open_tasks:
            hi += 1
        job.done |= set(range(lo, hi))
        job.states = {task: state for task, state in job.states.items() if task not in job.done}
        job.marks = {mark: tasks - job.done for mark, tasks in job.marks.items()}
        for task in job.done & job.tries.keys():
            del job.tries[task]
        gone = [first for first, (count, _) in job.blocks.items() if set(range(first, first + count)) <= job.done]
        for first in gone:
            del job.blocks[first]
        if good:
            job.succeeded += hi - lo
            body = pb.Body(results=make_results(number, 0, lo, [b"r"] * (hi - lo), 0.0))
        else:
            job.failed += 1
            body = pb.Body(failure=pb.Failure(job=number, index=lo))
        job.outcomes[lo] = body.SerializeToString()
        size = len(body.results.payload)
        self.journal.ended(number, [(lo, hi)], "succeeded" if good else "failed", gone, size)
        self.journal.outcome(number, lo, body)

    @rule(which=picks, where=picks)
    def deliver(self, which, where):
        if (number := self.job(which, unfinished=False)) is None:
            return
        job = self.model.jobs[number]
        if job.outcomes:
            key = sorted(job.outcomes)[where % len(job.outcomes)]
            del job.outcomes[key]
            if job.finished and not job.outcomes:
                self.model.forget(number)
            self.journal.delivered([(number, key)])
            self.journal.delivered([(number, key)])  # a second time, it is of no account

    @rule(which=picks)
    def finish(self, which):
        if (number := self.job(which)) is not None:
            job = self.model.jobs[number]
            job.finished = True
            if not job.outcomes:
                self.model.forget(number)
            self.journal.finished(number)

    @rule(which=picks)
    def forget(self, which):
        if (number := self.job(which, unfinished=False)) is not None:
            self.model.forget(number)
            self.journal.forget(number)

    @rule(which=picks, task=st.integers(0, 5), attempts=st.integers(1, 3))
    def fail_for_now(self, which, task, attempts):
        if (number := self.job(which)) is not None and task not in self.model.jobs[number].done:
            self.model.jobs[number].tries[task] = attempts, self.disk.clock + 5.0
            self.journal.tried(number, task, attempts, attempts, [b"a", b""], 5.0)

    @rule(which=picks, where=picks, state=st.binary(max_size=3))
    def save(self, which, where, state):
        if (number := self.job(which)) is not None:
            job = self.model.jobs[number]
            if open_tasks := sorted(set(range(job.count)) - job.done):
                task = open_tasks[where % len(open_tasks)]
                job.states[task] = state
                self.journal.state(number, task, state)

    @rule(which=picks, mark=st.sampled_from(list(new_marks())), lo=st.integers(0, 20), length=st.integers(1, 9))
    def mark(self, which, mark, lo, length):
        if (number := self.job(which)) is not None and lo < (count := self.model.jobs[number].count):
            job = self.model.jobs[number]
            hi = min(count, lo + length)
            job.marks[mark] |= set(range(lo, hi)) - job.done
            self.journal.mark(number, mark, [(lo, hi)])

    @rule(which=picks)
    def hold(self, which):
        if (number := self.job(which)) is not None:
            body = pb.Body(seal_job=pb.SealJob(job=number))
            position = self.journal.hold(number, body)
            self.model.jobs[number].inbox[position] = body.SerializeToString()

    @rule(which=picks)
    def let_go(self, which):
        if (number := self.job(which)) is not None and self.model.jobs[number].inbox:
            position = min(self.model.jobs[number].inbox)
            del self.model.jobs[number].inbox[position]
            self.journal.let_go(number, position)

    @rule(which=st.integers(0, 4))
    def define(self, which):
        hash = bytes([which]) * 16
        self.model.definitions.add(hash)
        self.journal.define(hash, b"blob")

    @rule(needed=st.sets(st.integers(0, 4)))
    def sweep(self, needed):
        hashes = {bytes([n]) * 16 for n in needed}
        self.journal.is_needed = hashes.__contains__
        self.model.definitions &= hashes
        self.journal.sweep()

    @rule(seconds=st.sampled_from([-1000.0, 0.5, 60.0]))
    def the_clock_is_set(self, seconds):
        self.disk.clock += seconds

    # ------------------------------------------------------------ the disk

    @precondition(lambda self: self.disk.pending is None)
    @rule()
    def commit(self):
        self.journal._commit()
        self.in_flight = copy.deepcopy(self.model)
        if self.disk.pending is None:
            self.durable = self.in_flight

    @precondition(lambda self: self.disk.pending is not None)
    @rule()
    def commit_ends(self):
        (batches, on_end), self.disk.pending = self.disk.pending, None
        write(self.disk.db, batches)
        self.durable = self.in_flight
        on_end(None)
        for session, ack in self.acks.items():
            assert ack.highest <= self.durable.clients.get(session, self.sequence), "acknowledged before it was durable"
        self.check(self.disk.db)

    @precondition(lambda self: self.disk.pending is not None)
    @rule()
    def there_is_no_room(self):
        (_, on_end), self.disk.pending = self.disk.pending, None
        on_end(NoRoom("the disk is full"))
        assert self.journal.trouble == "the disk is full"
        self.check(self.disk.db)

    @rule(last_commit_counts=st.booleans())
    def crash(self, last_commit_counts):
        """The process dies; the commit being written may have come through."""
        if self.disk.pending is not None and last_commit_counts:
            write(self.disk.db, self.disk.pending[0])
            self.durable = self.in_flight
        self.disk.pending = None
        self.check(self.disk.db)
        self.model = copy.deepcopy(self.durable)
        self.acks = {session: Ack() for session in SESSIONS}
        self.journal = self.make(self.disk)
        self.journal.resume(read(self.disk.db))

    def check(self, db):
        kept, expected = read(db), self.durable
        assert {client.session: client.received for client in kept.clients} == expected.clients
        assert all(client.ended_at == expected.ended.get(client.session, 0.0) for client in kept.clients)
        fragments = {client.session: client.fragments[1] for client in kept.clients if client.fragments}
        assert fragments == {session: parts for session, parts in expected.fragments.items() if parts}
        assert set(kept.definitions) == expected.definitions
        assert [job.job for job in kept.jobs] == sorted(expected.jobs)
        for job in kept.jobs:
            model = expected.jobs[job.job]
            assert job.opening.session == model.session
            assert job.opening.message.name == f"job {job.job}"
            assert {block.first: (len(block.ends) // 4, at) for at, block in job.blocks} == model.blocks
            assert {i for lo, hi in job.done for i in range(lo, hi)} == model.done
            assert {key: body.SerializeToString() for key, body in job.outcomes.items()} == model.outcomes
            assert job.states == model.states
            assert {task: (tries.attempts, tries.due) for task, tries in job.tries.items()} == model.tries
            assert all(tries.crashes == (b"a", b"") for tries in job.tries.values())
            marks = {mark: {task for lo, hi in job.marks[mark] for task in range(lo, hi)} for mark in job.marks}
            assert marks == model.marks
            rows = db.execute("SELECT 1 FROM marks WHERE job = ?", (job.job,)).fetchall()
            assert any(marks.values()) or not rows, "nothing is noted any more, and rows are left"
            assert (job.counters.succeeded, job.counters.failed) == (model.succeeded, model.failed)
            assert (job.counters.finished, job.counters.total) == (model.finished, model.count)
        inbox = {(job, position): body.SerializeToString() for job, position, body in kept.inbox}
        assert inbox == {
            (n, position): body for n, job in expected.jobs.items() for position, body in job.inbox.items()
        }


TestJournal = JournalMachine.TestCase
TestJournal.settings = settings(max_examples=150, stateful_step_count=60)


def test_work_that_is_quick_never_reaches_the_disk():
    async def scenario():
        disk = Disk()
        written = []
        disk.commit = lambda batches, on_end: (written.extend(batches), on_end(None))
        journal = Journal(disk, on_broken=print)
        journal.client_joined(SESSIONS[0], pb.Hello())
        await journal.synced()
        written.clear()
        journal.opened(1, SESSIONS[0], 1, pb.OpenJob())
        journal.block(1, pb.Block(first=0, ends=bytes(8), payload=b"xx"))
        body = pb.Body(results=make_results(1, 0, 0, [b"r", b"r"], 0.0))
        journal.ended(1, [(0, 2)], "succeeded", [0])
        journal.outcome(1, 0, body)
        journal.delivered([(1, 0)])
        (batch,) = [journal._batch]
        (change,) = batch.jobs.values()
        written_down = [change.blocks, change.outcomes, change.dead_blocks, change.dead_outcomes]
        assert not any(written_down)
        journal.finished(1)
        await journal.synced()
        assert not [batch for batch in written if any(change.opening for change in batch.jobs.values())]

    asyncio.run(scenario())


def test_done_spans_are_joined_before_there_are_many():
    async def scenario():
        disk = Disk()
        disk.commit = lambda batches, on_end: (write(disk.db, batches), on_end(None))
        journal = Journal(disk, on_broken=print)
        journal.opened(1, SESSIONS[0], 1, pb.OpenJob())
        rows = []
        for index in range(3000):
            body = pb.Body(failure=pb.Failure(index=index))
            journal.ended(1, [(index, index + 1)], "failed", [])
            journal.outcome(1, index, body)
            journal.delivered([(1, index)])
            if index % 10 == 0:
                await journal.synced()
                rows.append(disk.db.execute("SELECT count(*) FROM done").fetchone()[0])
        assert max(rows) <= 510
        assert read(disk.db).jobs[0].done.span_count == 1

    asyncio.run(scenario())


def test_what_is_noted_of_tasks_ends_with_them():
    """A client's submits are one job, which lasts as long as the client."""

    async def scenario():
        disk = Disk()

        def commit(batches, on_end):
            write(disk.db, batches)
            on_end(None)

        disk.commit = commit
        journal = Journal(disk, on_broken=None)
        journal.opened(1, SESSIONS[0], 7, pb.OpenJob())
        rows = []
        for lo in range(0, 10_000, 20):
            journal.block(1, pb.Block(first=lo, ends=bytes(80), payload=b"x"))
            journal.tried(1, lo, 1, 1, [], 0.5)
            journal.tried(1, lo + 2, 1, 1, [], 0.5)
            journal.mark(1, "cancel", [(lo + 1, lo + 2)])
            journal.mark(1, "dispatched", [(lo + 10, lo + 15)])
            journal._commit()
            if lo > 100:  # so that there is always one that is asked for and has not ended
                journal.ended(1, [(lo - 100, lo - 80)], "succeeded", [lo - 100])
                journal.outcome(1, lo, pb.Body())
                journal.delivered([(1, lo)])
            journal._commit()
            rows.append(
                sum(disk.db.execute(f"SELECT count(*) FROM {each}").fetchone()[0] for each in ("tries", "marks"))
            )
        assert max(rows) < 200
        assert max(rows[-100:]) <= max(rows[:200])

    asyncio.run(scenario())
