"""When a slot is measured, which task is killed for what it uses, and who is not to blame for it."""

from __future__ import annotations

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.unit.worker.agent_model import AgentModel
from tests.unit.worker.model_slot import SLOT_BYTES, TaskKey
from tests.unit.worker.worker_builders import FUNCTION, Sights, dispatch, nothing_here, piece_message

from manyhands.protos import manyhands_pb2 as pb
from manyhands.worker.commands import Command, Complain, Feed, Kill, Measure, Send, Spawn
from manyhands.worker.core import AgentCore
from manyhands.worker.memory_limits import GROWTH, INTERVAL_MAX, INTERVAL_MIN, LITTLE, PAUSE_FACTOR
from manyhands.worker.reports import Done, Ready
from manyhands.worker.timers import NEVER

LIMIT = 1 << 30
SMALL = 1 << 20


class Stage:
    """A core with one slot, up at 0.0, that was sent a lease of nine tasks; position 1 is fed and runs."""

    def __init__(self, memory_bytes: int = LIMIT, worker_bytes: int = 0, timeout: float = 0.0) -> None:
        self.sights = Sights(1)
        self.core = AgentCore(1, self.sights, nothing_here, name="w", memory_bytes=worker_bytes)
        self.core.start(0.0)
        self.core.reported(0, [Ready()], 0.0)
        self.core.received([pb.Body(define=pb.Define(hash=FUNCTION, blob=b"blob"))], 0.0)
        message = dispatch(1, [piece_message(9)])
        message.memory_bytes, message.timeout, message.job_name = memory_bytes, timeout, "f"
        self.core.received([pb.Body(dispatch=message)], 0.0)
        self.sights.see(0, started=1)

    def tick(self, now: float) -> list[Command]:
        return self.do(self.core.tick(now))

    def measured(self, position: int, used_bytes: int, now: float) -> list[Command]:
        return self.do(self.core.measured(0, position, used_bytes, now))

    def finish_first(self, now: float) -> None:
        """Position 1 has ended; more are fed, and 2 runs."""
        self.do(self.core.reported(0, [Done(1, 1, 0, b"\x01\0\0\0", b"x", 0.0001)], now))
        self.sights.see(0, started=2, since=now)

    def do(self, commands: list[Command]) -> list[Command]:
        self.core.check_invariants()
        return commands

    @property
    def due(self) -> float:
        return self.core._roster.slots[0].measure_at


def failures(commands: list[Command]) -> list[pb.Failure]:
    return [each.body.failure for each in commands if isinstance(each, Send) and each.body.HasField("failure")]


def test_nothing_is_measured_without_a_limit() -> None:
    stage = Stage(memory_bytes=0)
    assert stage.due == NEVER
    assert not any(isinstance(each, Measure) for each in stage.tick(100.0))


def test_what_is_far_from_its_limit_is_seldom_looked_at() -> None:
    stage = Stage()
    assert stage.due == INTERVAL_MIN
    assert stage.tick(0.05) == [Measure(0, 1, LIMIT)]
    assert stage.due == NEVER, "one at a time"
    assert stage.measured(1, SMALL, 0.051) == []
    assert stage.due == pytest.approx(0.051 + (LIMIT - SMALL) / GROWTH)
    assert stage.tick(1.0) == [Measure(0, 1, LIMIT)]
    stage.measured(1, LIMIT - SMALL, 1.0)
    assert stage.due == pytest.approx(1.0 + INTERVAL_MIN)


def test_a_long_measurement_is_followed_by_a_long_pause() -> None:
    stage = Stage()
    stage.tick(1.0)
    stage.measured(1, SMALL, 1.2)
    assert stage.due == pytest.approx(1.2 + PAUSE_FACTOR * 0.2)


def test_a_large_limit_is_looked_at_all_the_same() -> None:
    stage = Stage(memory_bytes=1 << 50)
    stage.tick(1.0)
    stage.measured(1, SMALL, 1.0)
    assert stage.due == pytest.approx(1.0 + INTERVAL_MAX)


def test_a_task_that_comes_in_is_soon_looked_at() -> None:
    stage = Stage()
    stage.tick(0.05)
    stage.measured(1, SMALL, 0.05)
    later = stage.due
    stage.finish_first(0.06)
    assert stage.due == pytest.approx(0.06 + INTERVAL_MIN)
    assert stage.tick(0.09) == [Measure(0, 2, LIMIT)]
    assert not any(isinstance(each, Measure) for each in stage.tick(later)), "once"


def test_who_waits_uses_nothing() -> None:
    stage = Stage()
    stage.sights.see(0, started=1, busy=False)
    assert stage.tick(0.05) == []
    assert stage.due == pytest.approx(0.05 + INTERVAL_MIN), "it may begin any time"


@pytest.mark.parametrize(
    ("asked", "allowed", "limit", "option"),
    [(LIMIT, 0, LIMIT, "memory"), (0, LIMIT, LIMIT, "--memory"), (LIMIT, 2 * LIMIT, LIMIT, "memory"),
     (2 * LIMIT, LIMIT, LIMIT, "--memory"), (LIMIT, LIMIT, LIMIT, "memory")],
)  # fmt: skip
def test_the_smaller_limit_counts_and_the_first_of_a_process_is_to_blame(
    asked: int, allowed: int, limit: int, option: str
) -> None:
    stage = Stage(asked, allowed)
    assert stage.tick(0.05) == [Measure(0, 1, limit)]
    assert stage.measured(1, limit, 0.05) == [], "that much it may use"
    stage.tick(1.0)
    kill, complaint = stage.measured(1, limit + SMALL, 1.0)
    assert kill == Kill(0)
    assert isinstance(complaint, Complain)
    assert "slot 0 used 1.001 GiB" in complaint.sentence
    assert "task 0 of 'f'" in complaint.sentence
    out = stage.do(stage.core.died(0, -9, "", 1.2))
    [failure] = failures(out)
    assert (failure.kind, failure.index, failure.text) == (pb.Failure.KIND_MEMORY_EXCEEDED, 0, "w")
    assert (failure.used_bytes, failure.limit_bytes, failure.limit) == (limit + SMALL, limit, option)
    assert Spawn(0) in out
    assert not any(isinstance(each, Send) and each.body.HasField("crash") for each in out)


def test_who_was_small_at_first_is_to_blame() -> None:
    stage = Stage()
    stage.finish_first(0.01)
    assert stage.tick(0.06) == [Measure(0, 2, LIMIT)]
    stage.measured(2, int(LITTLE * LIMIT) - 1, 0.06)
    stage.tick(0.5)
    assert Kill(0) in stage.measured(2, LIMIT + 1, 0.5)
    assert [failure.index for failure in failures(stage.do(stage.core.died(0, -9, "", 0.6)))] == [1]


def test_who_may_have_found_it_there_runs_again_in_the_next_process() -> None:
    stage = Stage()
    stage.finish_first(0.01)
    stage.tick(0.06)
    kill, complaint = stage.measured(2, LIMIT + 1, 0.06)
    assert kill == Kill(0)
    assert isinstance(complaint, Complain)
    assert "uncharged" in complaint.sentence
    out = stage.do(stage.core.died(0, -9, "", 0.1))
    assert not failures(out)
    assert Spawn(0) in out
    stage.sights.see(0, started=2, busy=False)
    [fed] = [each for each in stage.do(stage.core.reported(0, [Ready()], 0.2)) if isinstance(each, Feed)][:1]
    assert (fed.lo, fed.hi) == (1, 2), "before what is better ranked, too"
    stage.sights.see(0, started=fed.position, since=0.2)
    stage.tick(1.0)
    assert Kill(0) in stage.measured(fed.position, LIMIT + 1, 1.0)
    assert [failure.index for failure in failures(stage.do(stage.core.died(0, -9, "", 1.1)))] == [1], "now it is"


def test_it_may_run_anywhere_if_the_next_process_does_not_come_up() -> None:
    stage = Stage()
    stage.finish_first(0.01)
    stage.tick(0.06)
    stage.measured(2, LIMIT + 1, 0.06)
    stage.do(stage.core.died(0, -9, "", 0.1))
    unstarted = stage.core.unstarted
    stage.do(stage.core.died(0, 1, "cannot be started", 0.2))
    assert stage.core.unstarted == unstarted + 1


def test_it_goes_back_to_a_master_that_asks_for_it_meanwhile() -> None:
    stage = Stage()
    stage.finish_first(0.01)
    stage.tick(0.06)
    stage.measured(2, LIMIT + 1, 0.06)
    stage.do(stage.core.died(0, -9, "", 0.1))
    revoke = pb.Revoke(revoke=3, lease=1, ranges=[pb.Range(lo=0, hi=9)])
    [sent] = stage.do(stage.core.received([pb.Body(revoke=revoke)], 0.1))[-1:]
    assert isinstance(sent, Send)
    assert sum(each.hi - each.lo for each in sent.body.returned.ranges) == 8
    assert not any(isinstance(each, Feed) for each in stage.do(stage.core.reported(0, [Ready()], 0.2)))


def test_it_goes_back_when_the_worker_drains_meanwhile() -> None:
    stage = Stage()
    stage.finish_first(0.01)
    stage.tick(0.06)
    stage.measured(2, LIMIT + 1, 0.06)
    stage.do(stage.core.died(0, -9, "", 0.1))
    returned = [each.body.returned for each in stage.do(stage.core.drain(0.1)) if isinstance(each, Send)]
    assert sum(span.hi - span.lo for each in returned for span in each.ranges) == 8
    assert not stage.core.has_work


def test_it_is_forgotten_with_its_session() -> None:
    stage = Stage()
    stage.finish_first(0.01)
    stage.tick(0.06)
    stage.measured(2, LIMIT + 1, 0.06)
    stage.do(stage.core.died(0, -9, "", 0.1))
    stage.do(stage.core.reset(0.1))
    assert not stage.core.has_work
    assert not any(isinstance(each, Feed) for each in stage.do(stage.core.reported(0, [Ready()], 0.2)))


def test_who_ended_in_time_is_not_killed_nor_the_next_one() -> None:
    stage = Stage()
    stage.tick(0.05)
    stage.finish_first(0.06)
    assert stage.measured(1, 2 * LIMIT, 0.07) == []
    stage.sights.see(0, started=2, since=0.06)
    stage.tick(0.2)
    stage.measured(2, LIMIT + 1, 0.2)
    stage.sights.see(0, started=3, since=0.21)
    assert not failures(stage.do(stage.core.died(0, -9, "", 0.22)))


def test_an_answer_about_a_dead_process_is_void() -> None:
    stage = Stage()
    stage.tick(0.05)
    stage.do(stage.core.died(0, -11, "", 0.06))
    stage.do(stage.core.reported(0, [Ready()], 0.1))
    assert stage.measured(1, 2 * LIMIT, 0.11) == []


def test_one_that_is_being_stopped_is_killed_at_once_and_fails_with_the_reason_for_that() -> None:
    stage = Stage(timeout=0.02)
    stage.tick(0.02)
    assert Measure(0, 1, LIMIT) in stage.tick(0.05)
    assert Kill(0) in stage.measured(1, LIMIT + 1, 0.05)
    assert [each.kind for each in failures(stage.do(stage.core.died(0, -9, "", 0.06)))] == [pb.Failure.KIND_TIMED_OUT]


TASKS = st.lists(
    st.tuples(st.sampled_from([0, 30, 50, 200]), st.sampled_from([0, 0, 5, 60]), st.sampled_from([0.0, 0.01, 0.3])),
    min_size=1,
    max_size=30,
)


@given(tasks=TASKS, slots=st.integers(1, 3))
@settings(max_examples=60, deadline=None, phases=[Phase.generate])
def test_who_used_too_much_fails_and_nobody_else(tasks: list[tuple[int, int, float]], slots: int) -> None:
    """Whatever tasks leave behind. One that is short may get away."""
    limit = 100

    def memory(task: TaskKey) -> tuple[int, int]:
        own, left, _ = tasks[task[1]]
        return own, left

    model = AgentModel(slots, lambda task: tasks[task[1]][2], memory=memory)
    model.define(FUNCTION)
    model.dispatch(1, [(0, len(tasks))], FUNCTION, memory_bytes=limit)
    model.run_until_quiet()
    for index, (own, _, seconds) in enumerate(tasks):
        fate = model.fate[1, index]
        if own + SLOT_BYTES > limit and seconds >= 0.3:
            assert fate == "too large"
        elif own + SLOT_BYTES <= (1 - LITTLE) * limit:
            assert fate == "succeeded"
        assert model.runs[1, index] <= 2 + model.losses[1, index]
