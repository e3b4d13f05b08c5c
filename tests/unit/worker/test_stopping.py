"""Stopping unwanted tasks: which one is interrupted, when its process is killed, and what the master is told."""

from __future__ import annotations

from tests.unit.worker.worker_builders import FUNCTION, Sights, dispatch, nothing_here, piece_message

from manyhands.protos import manyhands_pb2 as pb
from manyhands.worker.commands import Command, Interrupt, Kill, Send, SetLimit, Spawn
from manyhands.worker.core import AgentCore
from manyhands.worker.reports import Done, Interrupted, Ready, Report
from manyhands.worker.stopping import STOP_GRACE

DONE = b"\x01\0\0\0", b"x", 0.0001


class Stage:
    """A core with one slot that was fed indices 1 to 4 of lease 1 at positions 2 to 5, and more behind in its queue."""

    def __init__(self) -> None:
        self.sights = Sights(1)
        self.core = AgentCore(1, self.sights, nothing_here, name="w")
        self.core.start(0.0)
        self.core.reported(0, [Ready()], 0.0)
        self.core.received([pb.Body(define=pb.Define(hash=FUNCTION, blob=b"blob"))], 0.0)
        self.core.received([pb.Body(dispatch=dispatch(1, [piece_message(9)]))], 0.0)
        self.core.reported(0, [Done(1, 1, 0, *DONE)], 0.0)
        self.core.tick(0.02)
        assert self.core.outstanding == 4

    def stop(self, lo: int, hi: int, now: float = 1.0) -> list[Command]:
        ranges = [pb.Range(lo=lo, hi=hi)]
        return self.do(
            self.core.received([pb.Body(revoke=pb.Revoke(revoke=7, lease=1, ranges=ranges, stop=True))], now)
        )

    def report(self, report: Report, now: float) -> list[Command]:
        return self.do(self.core.reported(0, [report], now))

    def tick(self, now: float) -> list[Command]:
        return self.do(self.core.tick(now))

    def do(self, commands: list[Command]) -> list[Command]:
        for command in commands:
            if isinstance(command, SetLimit):
                self.core.limit_set(0, command.limit, 1.0)
        self.core.check_invariants()
        return commands


def returned(commands: list[Command]) -> list[tuple[int, list[tuple[int, int]]]]:
    bodies = [each.body.returned for each in commands if isinstance(each, Send) and each.body.HasField("returned")]
    return [(body.revoke, [(span.lo, span.hi) for span in body.ranges]) for body in bodies]


def test_the_running_one_is_interrupted_and_what_waits_goes_back() -> None:
    stage = Stage()
    stage.sights.see(0, started=2, since=0.5)
    assert Interrupt(0, 2) not in stage.stop(0, 9), "or it would go on with the next, at once"
    out = stage.tick(1.002)
    assert returned(out) == [(7, [(2, 9)])]
    assert Interrupt(0, 2) in out
    out = stage.report(Interrupted(2, 0.6), 1.1)
    assert returned(out + stage.tick(1.2)) == [(0, [(1, 2)])]
    assert not any(isinstance(each, Kill) for each in stage.tick(5.0))
    assert stage.core.outstanding == stage.core.unstarted == 0


def test_one_that_begins_before_the_cut_is_interrupted_as_well() -> None:
    stage = Stage()
    stage.sights.see(0, started=2, since=0.9)
    stage.stop(0, 9)
    stage.sights.see(0, started=3, since=1.001)
    assert Interrupt(0, 3) in stage.tick(1.0021)
    assert returned(stage.report(Done(2, 1, 0, *DONE), 1.003)) == [], "its result is a result"
    assert returned(stage.report(Interrupted(3, 0.1), 1.1) + stage.tick(1.2)) == [(0, [(2, 3)])]


def test_what_is_not_asked_for_runs_on() -> None:
    stage = Stage()
    stage.sights.see(0, started=2, since=0.5)
    assert not any(isinstance(each, Interrupt) for each in stage.stop(3, 9))


def test_who_does_not_heed_it_is_killed() -> None:
    stage = Stage()
    stage.sights.see(0, started=2, since=0.5)
    stage.stop(1, 2)
    assert stage.core.next_deadline() is not None
    assert not any(isinstance(each, Kill) for each in stage.tick(1.0 + STOP_GRACE - 0.01))
    assert Kill(0) in stage.tick(1.0 + STOP_GRACE)
    out = stage.do(stage.core.died(0, -9, "", 2.1))
    assert returned(out) == [(0, [(1, 2)])]
    assert Spawn(0) in out
    assert not any(isinstance(each, Send) and each.body.HasField("crash") for each in out)
    assert stage.core.unstarted == 7, "the others are to run, here"


def test_who_dies_of_the_interrupt_is_not_charged_with_a_crash() -> None:
    stage = Stage()
    stage.sights.see(0, started=2, since=0.5)
    stage.stop(1, 2)
    out = stage.do(stage.core.died(0, -11, "Segmentation fault", 1.2))
    assert returned(out) == [(0, [(1, 2)])]
    assert not any(isinstance(each, Send) and each.body.HasField("crash") for each in out)


def test_finished_but_unreported_ones_do_not_run_again() -> None:
    stage = Stage()
    stage.sights.see(0, started=4, since=0.5)  # 1 and 2 are finished, 3 runs
    stage.stop(1, 4)
    out = stage.do(stage.core.died(0, -9, "", 1.2))
    assert sorted(span for _, spans in returned(out) for span in spans) == [(1, 3), (3, 4)]
    assert stage.core.unstarted == 5
