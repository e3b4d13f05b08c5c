"""The search driver: whatever fails, is lost, split or restored, the history is the same, and slots have work."""

import pickle
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyhands.master.drivers.driver import Deliver, Finish, KeepLatest, Reject, Run
from manyhands.master.drivers.searching import TASKS_PER_SLOT, Searching
from manyhands.optimize import packing
from manyhands.optimize.cube import Column, Cube, Kind
from manyhands.optimize.evaluations import Outcomes, Status
from manyhands.optimize.plan import Mode, Plan
from manyhands.optimize.search import Search
from manyhands.optimize.task_format import pack_outcomes, unpack_batch
from manyhands.optimize.wire_results import Conclusion
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.search_tasks import LETS_OUT, TEXT

BUDGET = 700
PREFACE = b"what its reader has to know"


def plan_of(**changes):
    cube = Cube([Column(Kind.CONTINUOUS), Column(Kind.CONTINUOUS), Column(Kind.ORDERED, 40)])
    return Plan(**{"cube": cube, "method": "ga-classic", "budget": BUDGET, "seed": 5, **changes})


def scores_of(points):
    return ((points - 0.3) ** 2).sum(axis=1)


def is_bad(id):
    """Takes its process down."""
    return id % 97 == 13


def raises(id):
    return id % 31 == 7


class World:
    """A search, and what workers are given of it."""

    def __init__(self, plan, *, slots=2, seconds=0.01, chunk=0, **opening):
        self.opening = pb.OpenJob(search=pb.Search(plan=plan.pack(), chunk=chunk, preface=PREFACE), **opening)
        self.slots, self.seconds = slots, seconds
        self.now = 100.0
        self.running = {}
        self.delivered = {}
        #: What is durable, of what is to be kept.
        self.row, self.latest, self.kept_results = None, None, 0
        self.end = None
        self.evaluated = 0
        self.sizes = []
        self.crashes = True
        self.looks = lambda: True
        self.begin_life()
        self.take(self.driver.sealed(0))

    def begin_life(self):
        self.driver = Searching(self.opening, lambda: self.now, lambda: self.slots)

    def take(self, commands):
        for command in commands:
            assert self.end is None
            match command:
                case Run(name, item, ()):
                    batch = unpack_batch(item[1:])
                    assert name not in self.running
                    self.running[name] = batch
                    self.sizes.append(len(batch.ids))
                case Deliver(index, results):
                    assert index == len(self.delivered)
                    self.delivered[index] = results.payload
                case KeepLatest(0, latest):
                    self.latest = latest
                case Finish() | Reject():
                    self.end = command
                case _:
                    raise AssertionError(command)
        self.driver.check_invariants()

    def commit(self):
        """All that was decided is durable now."""
        if self.latest is not None:
            self.row = self.latest()
            self.latest = None
        self.kept_results = len(self.delivered)

    def restart(self):
        """The master was killed: what was not durable has never been."""
        self.running.clear()
        self.latest = None
        self.delivered = {index: each for index, each in self.delivered.items() if index < self.kept_results}
        self.now += 1000
        self.begin_life()
        self.take(self.driver.restored([(0, self.row)] if self.row else [], 0, 0))

    def do(self, name):
        """One of its tasks ends as it has to."""
        batch = self.running.pop(name)
        ids = batch.ids.tolist()
        self.now += self.seconds * len(ids)
        if self.crashes and any(map(is_bad, ids)):
            report = pb.CrashReport(worker="w", exit_code=-11, stderr_tail="ouch")
            self.take(self.driver.failed(name, pb.Failure(kind=pb.Failure.KIND_CRASHED, crashes=[report] * 3)))
            return
        self.evaluated += len(ids)
        status = np.array([Status.FAILED if raises(id) else Status.OK for id in ids], np.uint8)
        error = "LookupError: no" if status.any() else None
        self.hear(name, told(batch, scores_of(batch.U), status, self.seconds, error))

    def hear(self, name, results):
        """It only hears of a task that has ended, and looks at once, or when some more have."""
        assert self.driver.task(name, results) == []
        if not self.running or self.looks():
            self.take(self.driver.look())

    def to_the_end(self, choose=min):
        while self.end is None:
            self.do(choose(self.running))
        return self.history()

    def history(self):
        preface, *pickles = [self.delivered[index] for index in sorted(self.delivered)]
        assert preface == PREFACE
        *chunks, conclusion = map(pickle.loads, pickles)
        assert isinstance(conclusion, Conclusion)
        rows = [chunk.rows for chunk in chunks]
        columns = zip(*[(each.ids, each.U, each.F, each.V, each.status) for each in rows], strict=True)
        return [np.concatenate(column).tobytes() for column in columns], conclusion


def told(batch, scores, status=None, seconds=0.01, error=None):
    k = len(batch.ids)
    status = np.zeros(k, np.uint8) if status is None else status
    outcomes = Outcomes(batch.ids, scores.reshape(k, -1), np.zeros((k, 0)), status, np.full(k, seconds), error)
    return pb.Results(payload=pack_outcomes(outcomes))


def told_directly(plan):
    """What the search itself says, without a driver."""
    search, rows = Search(plan), []
    while search.done() is None:
        batch = search.ask()
        status = [Status.CRASHED if is_bad(id) else Status.FAILED if raises(id) else 0 for id in batch.ids.tolist()]
        search.tell(batch.ids, scores_of(batch.U), status)
        while (taken := search.take_history()) is not None:
            rows.append(taken)
    columns = zip(*[(each.ids, each.U, each.F, each.V, each.status) for each in rows], strict=True)
    return [np.concatenate(column).tobytes() for column in columns]


EXPECTED = {mode: told_directly(plan_of(mode=mode)) for mode in (Mode.WINDOWED, Mode.GENERATIONAL)}


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from([Mode.WINDOWED, Mode.GENERATIONAL]), st.integers(0, 2**32), st.integers(1, 9),
    st.sampled_from([1e-6, 0.003, 0.5]), st.sampled_from([0, 1, 5]),
)  # fmt: skip
def test_whatever_is_lost_and_in_whatever_order_the_history_is_the_same(mode, seed, slots, seconds, chunk):
    world, random = World(plan_of(mode=mode), slots=slots, seconds=seconds, chunk=chunk), Random(seed)
    world.looks = lambda: random.random() < 0.6
    restarts = 0
    while world.end is None:
        world.do(random.choice(sorted(world.running)))
        if random.random() < 0.3:
            world.commit()
        if random.random() < 0.05 and restarts < 8 and world.end is None:
            restarts += 1
            world.restart()
        if random.random() < 0.1:
            world.slots = random.randint(0, 20)
            if world.end is None:
                world.take(world.driver.look())
    history, conclusion = world.history()
    assert history == EXPECTED[mode]
    assert world.end == Finish()
    assert conclusion.reason == "budget"
    assert conclusion.counts.counted == BUDGET
    assert conclusion.error in ("LookupError: no", "\n".join(["its process was killed by signal 11, on w: ouch"] * 3))


def test_a_restart_repeats_no_more_than_a_moment_of_work():
    world = World(plan_of(), seconds=0.05)
    for _ in range(200):
        world.do(min(world.running))
        world.commit()
    before = world.evaluated
    world.restart()
    world.to_the_end()
    assert world.evaluated <= before + (BUDGET - 200) + 0.1 / 0.05 + 1


def test_tasks_of_cheap_points_are_large_and_those_of_long_ones_single():
    cheap = World(plan_of(), slots=2, seconds=1e-6)
    cheap.crashes = False
    cheap.to_the_end()
    assert cheap.sizes[:4] == [1] * 4
    assert max(cheap.sizes) >= 64 // (2 * TASKS_PER_SLOT)
    assert np.mean(cheap.sizes[30:]) > 6
    long = World(plan_of(), slots=2, seconds=0.5)
    long.to_the_end()
    assert set(long.sizes) == {1}


def test_more_slots_are_given_work_as_they_come():
    world = World(plan_of(), slots=1)
    assert len(world.running) == TASKS_PER_SLOT
    world.slots = 8
    world.take(world.driver.look())
    assert len(world.running) == 8 * TASKS_PER_SLOT


def test_with_limits_or_retries_a_task_is_one_evaluation():
    for limit in ({"timeout": 3.0}, {"progress_timeout": 3.0}, {"total_timeout": 9.0}, {"retry": pb.Retry(retries=2)}):
        world = World(plan_of(), seconds=1e-6, **limit)
        world.to_the_end()
        assert set(world.sizes) == {1}
    commands = Searching(world.opening, lambda: 0.0, lambda: 1).sealed(0)
    assert {each.item[:1] for each in commands if isinstance(each, Run)} == {LETS_OUT}


def test_points_that_fail_alone_are_told_as_that():
    world = World(plan_of(budget=60, max_failed_share=1.0), seconds=0.5)
    ways = [
        (pb.Failure(kind=pb.Failure.KIND_TIMED_OUT, timeout=3.0, text="on w", seconds=3.0), Status.TIMED_OUT),
        (pb.Failure(kind=pb.Failure.KIND_MEMORY_EXCEEDED, used_bytes=9, limit_bytes=7), Status.CRASHED),
        (pb.Failure(kind=pb.Failure.KIND_EXCEPTION, payload=TEXT + b"SystemExit: 3"), Status.FAILED),
    ]
    failed = {}
    for failure, status in ways:
        name = min(world.running)
        (id,) = world.running.pop(name).ids
        failed[int(id)] = status
        world.take(world.driver.failed(name, failure))
    _, conclusion = world.to_the_end()
    statuses = {}
    for payload in list(world.delivered.values())[1:-1]:
        rows = pickle.loads(payload).rows
        statuses |= dict(zip(rows.ids.tolist(), rows.status.tolist(), strict=True))
    assert {id: statuses[id] for id in failed} == failed
    assert conclusion.error == "it exceeded timeout, 3 s. on w"


@pytest.mark.parametrize(
    "failure",
    [
        pb.Failure(kind=pb.Failure.KIND_EXCEPTION, payload=pickle.dumps("no module")),
        pb.Failure(kind=pb.Failure.KIND_REJECTED, text="no definition"),
        pb.Failure(kind=pb.Failure.KIND_TIMED_OUT, limit="queue_timeout"),
        pb.Failure(kind=pb.Failure.KIND_NO_ROOM),
    ],
)
def test_what_is_not_about_points_ends_the_job(failure):
    world = World(plan_of())
    assert world.driver.failed(min(world.running), failure) is None


def test_too_many_failures_end_it_with_what_there_is():
    world = World(plan_of(max_failed_share=0.25))
    while world.end is None:
        name = min(world.running)
        batch = world.running.pop(name)
        status = np.full(len(batch.ids), Status.FAILED, np.uint8)
        world.hear(name, told(batch, scores_of(batch.U), status, error="ValueError: it is all wrong"))
    _, conclusion = world.history()
    assert conclusion.reason == "failures"
    assert isinstance(world.end, Reject)
    assert world.end.sentence.startswith(
        f"{conclusion.counts.failed} of {conclusion.counts.counted} evaluations failed"
    )
    assert "allows 25%" in world.end.sentence
    assert world.end.sentence.endswith("ValueError: it is all wrong")


def test_it_ends_in_time_and_when_it_is_told():
    world = World(plan_of())
    assert world.driver.due() is None
    world.do(min(world.running))
    world.take(world.driver.stop("enough"))
    assert world.end == Finish()
    _, conclusion = world.history()
    assert (conclusion.reason, conclusion.counts.counted) == ("enough", 1)
    assert world.driver.stop("again") == []

    timed = World(plan_of())
    timed.opening.search.time_limit = 30
    timed.commit()
    timed.restart()
    timed.take(timed.driver.look())
    assert timed.end == Finish()
    conclusion = pickle.loads(timed.delivered[1])
    assert conclusion.reason == "time limit"
    assert conclusion.elapsed == 1000
    assert timed.driver.due() is None


def test_a_time_limit_is_due_when_it_is():
    opening = pb.OpenJob(search=pb.Search(plan=plan_of().pack(), time_limit=30))
    now = 5.0
    driver = Searching(opening, lambda: now, lambda: 1)
    driver.sealed(0)
    now = 15.0
    assert driver.due() == 20.0
    now = 36.0
    assert driver.due() == 0.0


def test_slots_are_told_as_a_mean_over_time():
    world = World(plan_of(), slots=2)
    world.now += 30
    world.slots = 6
    world.take(world.driver.look())
    world.now += 10
    world.take(world.driver.stop("enough"))
    conclusion = pickle.loads(world.delivered[1])
    assert conclusion.slots == pytest.approx((2 * 30 + 6 * 10) / 40)


def test_slots_are_counted_to_the_end_and_no_further(monkeypatch):
    """A clock that counts milliseconds may go on between two looks at it."""
    world = World(plan_of(), slots=2)
    see = Searching._see_slots

    def see_slowly(driver):
        see(driver)
        world.now += 0.001

    monkeypatch.setattr(Searching, "_see_slots", see_slowly)
    world.now += 0.006
    world.take(world.driver.stop("enough"))
    assert pickle.loads(world.delivered[1]).slots == pytest.approx(2)


@pytest.mark.parametrize(
    "change",
    [
        lambda outcomes: pack_outcomes(outcomes._replace(ids=outcomes.ids + 1)),
        lambda outcomes: pack_outcomes(outcomes._replace(ids=np.tile(outcomes.ids, 2))),
        lambda outcomes: pack_outcomes(outcomes._replace(F=np.zeros((len(outcomes.ids), 9)))),
        lambda outcomes: pack_outcomes(outcomes._replace(F=np.zeros((9, 1)))),
        lambda outcomes: pack_outcomes(outcomes._replace(status=np.full(len(outcomes.ids), 4, np.uint8))),
        lambda outcomes: pack_outcomes(outcomes)[:-1],
        lambda outcomes: b"rubbish",
    ],
)
def test_a_worker_that_lies_ends_the_job_and_nothing_else(change):
    world = World(plan_of())
    name = min(world.running)
    batch = world.running[name]
    k = len(batch.ids)
    honest = Outcomes(batch.ids, np.zeros((k, 1)), np.zeros((k, 0)), np.zeros(k, np.uint8), np.zeros(k))
    assert world.driver.task(name, pb.Results(payload=change(honest))) == []
    (reject,) = world.driver.look()
    assert isinstance(reject, Reject)
    assert "no outcome" in reject.sentence


def test_costs_that_cannot_be_are_none():
    world = World(plan_of(budget=4))
    while world.end is None:
        name = min(world.running)
        batch = world.running.pop(name)
        world.hear(name, told(batch, scores_of(batch.U), seconds=np.nan))
    assert world.history()[1].counts.seconds == 0


def test_a_fault_of_the_method_is_the_end_of_its_search(monkeypatch):
    world = World(plan_of())
    monkeypatch.setattr(type(world.driver._search._algorithm), "commit", lambda *_: 1 / 0)
    world.commit()
    while world.end is None:
        world.do(min(world.running))
    assert isinstance(world.end, Reject)
    assert "by a fault of its method 'ga-classic'" in world.end.sentence
    assert "ZeroDivisionError" in world.end.sentence

    other = World(plan_of())
    monkeypatch.setattr(type(other.driver._search._algorithm), "state", lambda _: 1 / 0)
    other.commit()
    (reject,) = other.driver.look()
    assert "its state cannot be kept: ZeroDivisionError" in reject.sentence


def test_leaves_are_not_for_it():
    for commands in (
        World(plan_of()).driver.leaves(pb.Results()),
        Searching(World(plan_of()).opening, float, int).sealed(1),
    ):
        assert commands == [Reject("a search has no tasks but its own")]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"settings": {"population": 10**9}}, "population"),
        ({"settings": {"population": "many"}}, "population"),
        ({"settings": {"popularity": 3}}, "popularity"),
        ({"window": 10**12}, "too many at a time"),
        ({"cube": Cube([Column(Kind.CONTINUOUS)] * 100_000), "settings": {"population": 1000}}, "too many at a time"),
        ({"signs": (1.0,) * 1000}, "objectives"),
        ({"method": "magic"}, "method"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(changes, why):
    def packed():
        return plan_of(**changes).pack()

    with pytest.raises((ValueError, TypeError), match=why):
        Searching(pb.OpenJob(search=pb.Search(plan=packed())), float, int)


@given(st.binary(max_size=200))
def test_rubbish_is_no_plan(data):
    with pytest.raises(ValueError, match=r"state|plan|search"):
        Searching(pb.OpenJob(search=pb.Search(plan=data)), float, int)


def test_it_says_how_far_it_is():
    world = World(plan_of(), slots=3)
    for _ in range(70):
        world.do(min(world.running))
    report = packing.unpack(world.driver.progress())
    assert report["budget"] == BUDGET
    assert 0 < report["counted"] == world.driver._search.counts().counted
    assert report["slots"] == 3
    assert report["elapsed"] > 0
    assert report["best"]["score"].shape == (1,)
    (phase,) = world.driver.phases(0)
    assert phase == ("evaluate", report["counted"], BUDGET)
