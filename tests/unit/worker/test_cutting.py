"""The cut handshake: its steps, when each may be taken, and what a slot sees of it."""

from __future__ import annotations

import pytest
from tests.unit.worker.agent_model import AgentModel
from tests.unit.worker.worker_builders import FUNCTION, Sights, feed, make_piece, ready_roster

from manyhands.protos import manyhands_pb2 as pb
from manyhands.worker.commands import Command, SendCut, SetLimit
from manyhands.worker.cutting import CUT_DELAY, WATCH_INTERVAL, Cutting
from manyhands.worker.page import NO_LIMIT
from manyhands.worker.reports import CutDone
from manyhands.worker.slot_state import SlotFault
from manyhands.worker.timers import NEVER, Timers


class Stage:
    """Two slots; the first holds positions 1 to 10."""

    def __init__(self) -> None:
        self.roster = ready_roster(2)
        self.sights = Sights(2)
        self.timers = Timers()
        self.cutting = Cutting(self.roster, self.sights, self.timers)
        self.slot, self.other = self.roster.slots
        self.piece = make_piece(10, each=0.001)
        feed(self.roster, self.slot, self.piece, 0, 10)
        self.out: list[Command] = []

    def taken(self) -> list[Command]:
        out, self.out = self.out, []
        return out


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_the_steps(stage: Stage) -> None:
    stage.sights.see(0, started=3)
    stage.cutting.begin(stage.slot, stage.out)
    stage.cutting.begin(stage.slot, stage.out)  # it is under way
    assert stage.taken() == [SetLimit(0, 4)]
    stage.sights.see(0, started=5)
    off = stage.cutting.publish(stage.slot, stage.out)
    assert stage.taken() == [SetLimit(0, 6), SendCut(0, 6)]
    assert [(fed.position, fed.lo, fed.count) for fed in off] == [(6, 5, 5)]
    assert stage.slot.outstanding == 5
    for position in range(1, 6):
        stage.roster.pop(stage.slot, position, 1)
    stage.cutting.done(stage.slot, CutDone(6), stage.out)
    assert stage.taken() == [SetLimit(0, NO_LIMIT)]
    assert stage.slot.cut is None


def test_a_slot_that_has_not_moved_keeps_only_what_it_runs(stage: Stage) -> None:
    stage.sights.see(0, started=3)
    stage.cutting.begin(stage.slot, stage.out)
    assert sum(fed.count for fed in stage.cutting.publish(stage.slot, stage.out)) == 7


def test_the_wait_begins_when_the_limit_is_written(stage: Stage) -> None:
    stage.cutting.begin(stage.slot, stage.out)
    assert stage.timers.first == NEVER
    stage.cutting.limit_set(stage.slot, 99, 5.0)  # not this cut's
    assert stage.timers.first == NEVER
    stage.cutting.limit_set(stage.slot, 1, 7.0)
    assert stage.timers.first == 7.0 + CUT_DELAY
    stage.cutting.publish(stage.slot, stage.out)
    stage.cutting.limit_set(stage.slot, 1, 8.0)  # step 2's
    assert [kind for kind, _ in stage.timers.due(100.0)] == ["cut"]


def test_a_page_full_of_rubbish_takes_back_nothing(stage: Stage) -> None:
    stage.sights.see(0, started=(1 << 64) - 1)
    stage.cutting.begin(stage.slot, stage.out)
    assert stage.taken() == [SetLimit(0, 11)]
    assert stage.cutting.publish(stage.slot, stage.out) == []


@pytest.mark.parametrize("answer", [5, 7])
def test_a_wrong_answer_is_a_fault(stage: Stage, answer: int) -> None:
    stage.sights.see(0, started=5)
    stage.cutting.begin(stage.slot, stage.out)
    with pytest.raises(SlotFault):
        stage.cutting.done(stage.slot, CutDone(6), stage.out)  # before it was sent
    stage.cutting.publish(stage.slot, stage.out)
    stage.roster.cut_off(stage.slot, 0)
    with pytest.raises(SlotFault):
        stage.cutting.done(stage.slot, CutDone(answer), stage.out)


def test_an_answer_that_leaves_tasks_unreported_is_a_fault(stage: Stage) -> None:
    stage.sights.see(0, started=5)
    stage.cutting.begin(stage.slot, stage.out)
    stage.cutting.publish(stage.slot, stage.out)
    with pytest.raises(SlotFault):
        stage.cutting.done(stage.slot, CutDone(6), stage.out)


def test_what_waits_behind_a_straggler_is_taken_if_another_slot_has_time_for_it(stage: Stage) -> None:
    stage.sights.see(0, started=1, since=0.0)
    stage.cutting.watch(stage.slot, WATCH_INTERVAL / 2, stage.out)  # not slow yet
    assert stage.taken() == []
    assert stage.slot.watched
    feed(stage.roster, stage.other, stage.piece, 0, 1)
    stage.sights.see(1, started=1, since=0.0)
    stage.cutting.watch(stage.slot, WATCH_INTERVAL, stage.out)  # the other is no better
    assert stage.taken() == []
    stage.sights.see(1, started=2, since=WATCH_INTERVAL)
    stage.cutting.watch(stage.slot, 2 * WATCH_INTERVAL - 0.001, stage.out)
    assert stage.taken() == [SetLimit(0, 2)]
    stage.cutting.watch(stage.slot, 3 * WATCH_INTERVAL, stage.out)  # while it is being cut
    assert stage.taken() == []


def fed_model() -> AgentModel:
    """One slot with a few known tasks in its pipe, and one that runs."""
    model = AgentModel(1, seconds=lambda task: 0.0005)
    model.settle(0)
    model.define(FUNCTION)
    model.dispatch(1, [(0, 40)], FUNCTION)
    while model.core.outstanding < 4:
        model.settle(0)
        model.advance(0.0005)
    return model


def test_a_slot_never_waits_for_a_cut_that_is_over() -> None:
    """The limit was lifted before the next tasks were written: who has read those sees it lifted."""
    model = fed_model()
    model.revoke(1, 1, [(0, 40)])
    model.advance(2 * CUT_DELAY)
    while not model.core._roster.idle:
        model.settle(0)
        model.advance(0.0005)
    model.late = True
    model.dispatch(2, [(0, 3)], FUNCTION)
    while model.step(0):
        pass
    assert model.slots[0].state == "running"
    model.run_until_quiet()
    assert {model.fate[2, index] for index in range(3)} == {"succeeded"}


def test_an_agent_that_was_preempted_still_waits_long_enough() -> None:
    """The slot may start one more task, seen late, before it sees the limit: that one must not be given back."""
    model = fed_model()
    slot = model.slots[0]
    while slot.state != "publishing":
        if not slot.step(model.now, late=False):
            model.now = slot.ends_at
    model.late = True
    revoke = pb.Revoke(revoke=9, lease=1, ranges=[pb.Range(lo=0, hi=40)])
    decided = model.core.received([pb.Body(revoke=revoke)], model.now)
    model.now += 0.005
    slot.step(model.now, late=True)  # publishes
    slot.step(model.now, late=True)  # reads the limit, then runs
    assert slot.is_running is not None
    running = slot.is_running
    model.revokes[9] = 1
    model.do(decided)
    model.advance(CUT_DELAY / 2)
    assert 9 in model.revokes
    model.run_until_quiet()
    assert model.fate[running] == "succeeded"
