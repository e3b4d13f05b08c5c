"""Results that stay in the store: reported with the run that has them, or dropped; never left behind."""

from __future__ import annotations

import pytest
from tests.support.builders import hashed, packed
from tests.unit.worker.worker_builders import FUNCTION, Sights, dispatch, nothing_here, piece_message

from manyhands.protos import manyhands_pb2 as pb
from manyhands.worker.commands import Command, DropData, DropUnreported, Send
from manyhands.worker.core import AgentCore
from manyhands.worker.reports import Done, Ready, Stored
from manyhands.worker.slot_state import SlotFault

PREFIX = b"prefix 8"


def new_id(number: int) -> bytes:
    return PREFIX + number.to_bytes(8, "big")


class Stage:
    """One slot, which runs what it is given."""

    def __init__(self) -> None:
        self.sights = Sights(1)
        self.core = AgentCore(1, self.sights, nothing_here)
        self.core.start(0.0)
        self.core.reported(0, [Ready()], 0.0)
        self.core.received([pb.Body(define=pb.Define(hash=FUNCTION, blob=b"blob"))], 0.0)

    def run(self, lease: int, count: int, keep_as: bytes = b"") -> None:
        message = dispatch(lease, [piece_message(1, first=index) for index in range(5, 5 + count)])
        message.keep_bytes = 1
        for piece in message.pieces:
            piece.keep_as = keep_as
        self.core.received([pb.Body(dispatch=message)], 0.0)

    def report(self, *reports: Stored | Done) -> list[Command]:
        out = self.core.reported(0, reports, 1.0)
        self.core.check_invariants()
        return out + self.core.tick(100.0)


def done(position: int) -> Done:
    return Done(position, 1, 0, *packed([b"load"]), 1e-6)


def told(out: list[Command]) -> list[pb.Stored]:
    bodies = (each.body for each in out if isinstance(each, Send) and each.body.HasField("results"))
    return [stored for body in bodies for stored in body.results.stored]


def dropped(out: list[Command]) -> list[Command]:
    return [each for each in out if isinstance(each, DropData | DropUnreported)]


def test_the_results_that_have_it_tell_where_it_is() -> None:
    stage = Stage()
    stage.run(1, 3)
    out = stage.report(done(1))
    out += stage.report(Stored(2, new_id(0), 100), done(2), Stored(3, new_id(1), 200), done(3))
    assert told(out) == [pb.Stored(index=6, id=new_id(0), size=100), pb.Stored(index=7, id=new_id(1), size=200)]
    assert dropped(out) == []


def test_nobody_stores_for_a_task_that_it_does_not_run() -> None:
    stage = Stage()
    stage.run(1, 1)
    with pytest.raises(SlotFault):
        stage.report(Stored(2, new_id(0), 100))


def test_a_result_that_nobody_will_ask_for_is_dropped() -> None:
    stage = Stage()
    stage.run(1, 3)
    stage.report(done(1))
    assert told(stage.core.reported(0, [Stored(2, new_id(0), 100), done(2), Stored(3, new_id(1), 100)], 1.0)) == []
    assert dropped(stage.core.reset(1.0)) == [DropData((new_id(0),))]
    assert dropped(stage.report(done(3))) == [DropData((new_id(1),))]


def test_what_a_dead_slot_has_written_and_not_reported_is_dropped() -> None:
    stage = Stage()
    stage.run(1, 3)
    stage.report(Stored(1, new_id(0), 100), done(1))
    stage.report(Stored(2, new_id(1), 100))
    stage.sights.see(0, 2)
    out = stage.core.died(0, -9, "", 1.0)
    assert dropped(out) == [DropData((new_id(1),)), DropUnreported(0, new_id(1))]
    assert dropped(stage.core.died(0, -9, "", 1.0)) == [DropUnreported(0, b"")]  # the next one wrote nothing


def test_what_was_to_be_kept_under_an_id_of_the_masters_is_never_dropped() -> None:
    """Another worker of this host may have written the same."""
    stage = Stage()
    stage.run(1, 1, hashed("kept"))
    stage.report(Stored(1, hashed("kept"), 100))
    stage.sights.see(0, 1)
    assert dropped(stage.core.died(0, -9, "", 1.0)) == [DropUnreported(0, b"")]
