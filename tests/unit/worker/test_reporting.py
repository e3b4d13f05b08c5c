"""When the master hears of results."""

from __future__ import annotations

import pytest
from tests.support.builders import packed
from tests.unit.worker.worker_builders import feed, make_piece, ready_roster

from manyhands.protos import manyhands_pb2 as pb
from manyhands.worker.commands import Command
from manyhands.worker.held import Held
from manyhands.worker.reporting import EAGER_INTERVAL, FLUSH_INTERVAL, Reporting
from manyhands.worker.reports import Done
from manyhands.worker.results import BODY_BYTES
from manyhands.worker.timers import NEVER


class Stage:
    """One slot that is fed, and `waiting` tasks of a millisecond each in the queue."""

    def __init__(self, waiting: int) -> None:
        self.roster = ready_roster(1)
        self.held = Held()
        self.reporting = Reporting(self.roster, self.held)
        self.slot = self.roster.slots[0]
        self.piece = make_piece(1000, each=0.001)
        feed(self.roster, self.slot, self.piece, 0, 1)
        if waiting:
            self.held.add(make_piece(waiting, each=0.001), None)
        self.next = 0

    def finish(self, now: float, size: int = 1) -> int:
        """A result comes; how many bodies go out for it."""
        ends, payload = packed([b"x" * size])
        self.reporting.results.add(self.piece.lease, self.next, Done(1, 1, 0, ends, payload, 0.001))
        self.next += 1
        out: list[Command] = []
        self.reporting.plan(self.slot, now, out)
        self.reporting.check_invariants()
        return len(out)


def test_nothing_to_report() -> None:
    stage = Stage(0)
    out: list[Command] = []
    stage.reporting.plan(stage.slot, 1.0, out)
    stage.reporting.flush(1.0, out)
    assert out == []
    assert stage.reporting.flush_at == NEVER


def test_at_once_when_the_slot_has_nothing_left() -> None:
    stage = Stage(1000)
    stage.slot.fed.clear()
    assert stage.finish(1.0) == 1
    assert stage.reporting.flush_at == NEVER


def test_in_time_while_there_is_work() -> None:
    stage = Stage(1000)
    assert stage.finish(1.0) == 0
    assert stage.reporting.flush_at == 1.0 + FLUSH_INTERVAL
    assert stage.finish(1.001) == 0
    assert stage.reporting.flush_at == 1.0 + FLUSH_INTERVAL
    assert stage.finish(1.0 + FLUSH_INTERVAL) == 1


def test_early_when_work_runs_low() -> None:
    stage = Stage(2)
    assert stage.finish(1.0) == 1  # the last report is long ago
    assert stage.finish(1.0001) == 0
    assert stage.reporting.flush_at == 1.0 + EAGER_INTERVAL


def test_a_long_interval_needs_more_work_in_store() -> None:
    stage = Stage(100)
    stage.reporting.flush_interval = 0.2
    assert stage.finish(1.0) == 1
    stage.reporting.flush_interval = 0.05
    assert stage.finish(1.5) == 0


def test_large_results_do_not_wait() -> None:
    stage = Stage(1000)
    assert stage.finish(1.0, BODY_BYTES) == 1


@pytest.mark.parametrize("filled", [False, True])
def test_reset(filled: bool) -> None:
    stage = Stage(1000)
    if filled:
        stage.finish(1.0)
        stage.reporting.results.add_body(pb.Body(), 1)
    stage.reporting.flush_interval = 9.0
    stage.reporting.reset()
    stage.reporting.check_invariants()
    assert stage.reporting.flush_interval == FLUSH_INTERVAL
    assert not stage.reporting.results
