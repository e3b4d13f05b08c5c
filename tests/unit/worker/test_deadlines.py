"""When a slot's task is stopped because it ran too long, and what becomes of what the slot held."""

from __future__ import annotations

import pytest
from tests.unit.worker.worker_builders import (
    FUNCTION,
    Sights,
    dispatch,
    feed,
    make_piece,
    nothing_here,
    piece_message,
    ready_roster,
)

from manyhands.protos import manyhands_pb2 as pb
from manyhands.worker.commands import Command, Interrupt, Kill, Send
from manyhands.worker.core import AgentCore
from manyhands.worker.deadlines import Deadlines
from manyhands.worker.reports import Done, Ready
from manyhands.worker.slot_state import TooSlow
from manyhands.worker.stopping import REPEAT_INTERVAL, STOP_GRACE, Stopping
from manyhands.worker.timers import NEVER, Timers


class Stage:
    """One slot that holds positions 1 to 3 with a timeout of 2 s, and 4 and 5 without."""

    def __init__(self) -> None:
        self.sights, self.timers = Sights(1), Timers()
        self.stopping = Stopping(self.sights, self.timers)
        self.deadlines = Deadlines(self.sights, self.timers, self.stopping)
        roster = ready_roster(1)
        [self.slot] = roster.slots
        feed(roster, self.slot, make_piece(3, timeout=2.0), 0, 3)
        feed(roster, self.slot, make_piece(2), 0, 2)
        self.deadlines.watch(self.slot, 2.0, 10.0)
        self.roster = roster

    def check(self, now: float) -> list[Command]:
        out: list[Command] = []
        for kind, slot in self.timers.due(now):
            if kind == "stop":
                self.stopping.go_on(slot, now, out)
            else:
                assert kind == "deadline"
                self.deadlines.check(slot, now, out)
        return out


def test_who_runs_too_long_is_interrupted_then_killed() -> None:
    stage = Stage()
    stage.sights.see(0, started=2, since=11.0)
    assert stage.timers.first == 12.0
    assert stage.check(12.0) == [], "it has run for one second"
    assert stage.timers.first == 13.0
    assert stage.check(13.0) == [Interrupt(0, 2)]
    assert stage.slot.verdicts == {2: TooSlow(2.0)}
    assert stage.check(13.0 + REPEAT_INTERVAL) == [Interrupt(0, 2)], (
        "the first one may have struck in the slot's own code"
    )
    assert stage.check(13.0 + STOP_GRACE) == [Kill(0)]
    assert stage.slot.killed == 2
    assert stage.check(100.0) == [], "once"


def test_a_set_up_takes_as_long_as_it_takes() -> None:
    stage = Stage()
    stage.sights.see(0, started=2, since=11.0, is_setting_up=True)
    assert stage.check(13.0) == stage.check(15.0) == []
    stage.sights.see(0, started=2, since=16.0)
    assert stage.check(17.0) == []
    assert stage.timers.first == 18.0
    assert stage.check(18.0) == [Interrupt(0, 2)]


def test_who_ends_when_interrupted_is_not_killed() -> None:
    stage = Stage()
    stage.sights.see(0, started=2, since=11.0)
    assert stage.check(13.0) == [Interrupt(0, 2)]
    stage.sights.see(0, started=3, since=13.01)
    assert stage.check(14.5) == []
    assert stage.slot.stopping == 0
    assert stage.slot.verdicts, "its report is on the way"
    assert stage.check(15.02) == [Interrupt(0, 3)], "it has a time of its own"


def test_who_waits_is_not_running() -> None:
    stage = Stage()
    stage.sights.see(0, started=2, busy=False, since=1.0)
    assert stage.check(12.0) == []
    assert stage.timers.first == 14.0, "at the earliest, if it starts now"


def test_tasks_without_a_timeout_may_run_on() -> None:
    stage = Stage()
    stage.sights.see(0, started=4, since=1.0)
    assert stage.check(50.0) == []
    stage.roster.cut_off(stage.slot, 0)
    assert stage.check(60.0) == []
    assert stage.slot.deadline == NEVER


def test_a_shorter_timeout_behind_a_longer_one() -> None:
    stage = Stage()
    feed(stage.roster, stage.slot, make_piece(1, timeout=0.5), 0, 1)
    stage.deadlines.watch(stage.slot, 0.5, 10.0)
    stage.sights.see(0, started=2, since=10.0)
    assert stage.check(10.5) == []
    assert stage.timers.first == 11.0, "the short one may begin at once"
    stage.sights.see(0, started=6, since=10.6)
    assert stage.check(11.0) == []
    assert stage.timers.first == pytest.approx(11.1)
    assert stage.check(11.2) == [Interrupt(0, 6)]
    assert stage.slot.verdicts == {6: TooSlow(0.5)}


def test_progress_puts_it_off() -> None:
    sights, timers = Sights(1), Timers()
    deadlines = Deadlines(sights, timers, Stopping(sights, timers))
    [slot] = (roster := ready_roster(1)).slots
    feed(roster, slot, make_piece(2, timeout=10.0, progress_timeout=1.0), 0, 2)
    out: list[Command] = []
    deadlines.watch(slot, 1.0, 100.0)
    sights.see(0, started=1, since=100.0, progressed=99.0, note="of an earlier task")
    deadlines.check(slot, 101.0, out)
    assert slot.verdicts.pop(1) == TooSlow(1.0, "progress_timeout")
    slot.stopping = 0
    sights.see(0, started=1, since=100.0, progressed=101.5, note="half")
    deadlines.check(slot, 102.0, out)
    assert not slot.verdicts
    assert slot.deadline == pytest.approx(102.5)
    deadlines.check(slot, 102.6, out)
    assert slot.verdicts == {1: TooSlow(1.0, "progress_timeout", "half")}
    assert out == [Interrupt(0, 1)] * 2


@pytest.mark.parametrize(
    ("started", "busy", "fails", "left"),
    [(2, True, [1], 7), (3, True, [], 8), (2, False, [], 8)],
    ids=["it ran on", "the next one had begun", "it was waiting"],
)
def test_only_the_one_that_was_meant_is_charged(started: int, busy: bool, fails: list[int], left: int) -> None:
    sights = Sights(1)
    core = AgentCore(1, sights, nothing_here, name="w")
    core.start(0.0)
    core.reported(0, [Ready()], 0.0)
    core.received([pb.Body(define=pb.Define(hash=FUNCTION, blob=b"blob"))], 0.0)
    message = dispatch(1, [piece_message(9)])
    message.timeout = 2.0
    core.received([pb.Body(dispatch=message)], 0.0)
    core.reported(0, [Done(1, 1, 0, b"\x01\0\0\0", b"x", 0.0001)], 0.0)
    assert core.outstanding > 1
    sights.see(0, started=2, since=0.0)
    assert Interrupt(0, 2) in core.tick(2.5)
    assert Kill(0) in core.tick(3.5)
    sights.see(0, started=started, busy=busy, since=0.0)
    out = core.died(0, -9, "", 4.0)
    core.check_invariants()
    failures = [each.body.failure for each in out if isinstance(each, Send) and each.body.HasField("failure")]
    assert [failure.index for failure in failures] == fails
    assert not [each for each in out if isinstance(each, Send) and each.body.HasField("crash")]
    for failure in failures:
        assert (failure.kind, failure.text, failure.timeout, failure.seconds) == (pb.Failure.KIND_TIMED_OUT, "w", 2, 4)
    assert core.unstarted == left


@pytest.mark.parametrize("timeout", [5e-324, 1e-20, 1e-7])
def test_a_timeout_of_hardly_anything_keeps_nobody_busy(timeout: float) -> None:
    """Added to the time it may be nothing at all: the agent looked again and again, and did nothing else any more."""
    sights = Sights(1)
    core = AgentCore(1, sights, nothing_here)
    core.start(100.0)
    core.reported(0, [Ready()], 100.0)
    message = dispatch(1, [piece_message(9)])
    message.timeout = message.progress_timeout = timeout
    core.received([pb.Body(define=pb.Define(hash=FUNCTION, blob=b"blob")), pb.Body(dispatch=message)], 100.0)
    sights.see(0, started=1, since=100.0)
    due = core.next_deadline()
    assert due is not None
    assert due > 100.0
    assert core.tick(100.0) == []
    assert Interrupt(0, 1) in core.tick(due)
