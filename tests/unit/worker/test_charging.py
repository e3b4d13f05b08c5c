"""Which task a dead slot is charged to."""

from __future__ import annotations

import pytest
from tests.unit.worker.worker_builders import FUNCTION, Sights, dispatch, nothing_here, piece_message

from manyhands.protos import manyhands_pb2 as pb
from manyhands.worker.commands import Send, Spawn
from manyhands.worker.core import AgentCore
from manyhands.worker.reports import Done, Ready


@pytest.mark.parametrize(
    ("started", "busy", "charged"),
    [
        (2, True, [1]),
        (3, True, [2]),
        (2, False, []),  # it waited for its pipe
        (1, True, []),  # reported already
        (1 << 63, True, [1]),  # the page was written over: better the wrong one than none, for ever
        (1 << 63, False, [1]),
    ],
)
def test_charged(started: int, busy: bool, charged: list[int]) -> None:
    sights = Sights(1)
    core = AgentCore(1, sights, nothing_here, name="w")
    core.start(0.0)
    core.reported(0, [Ready()], 0.0)
    core.received([pb.Body(define=pb.Define(hash=FUNCTION, blob=b"blob"))], 0.0)
    core.received([pb.Body(dispatch=dispatch(1, [piece_message(9)]))], 0.0)
    core.reported(0, [Done(1, 1, 0, b"\x01\0\0\0", b"x", 0.0001)], 0.1)
    assert core.outstanding == 4
    sights.see(0, started=started, busy=busy)
    out = core.died(0, -11, "last words", 1.0)
    core.check_invariants()
    crashes = [each.body.crash for each in out if isinstance(each, Send) and each.body.HasField("crash")]
    assert [crash.index for crash in crashes] == charged
    assert all(
        crash.report == pb.CrashReport(worker="w", exit_code=-11, stderr_tail="last words", seconds=1.0)
        for crash in crashes
    )
    assert Spawn(0) in out
    assert core.unstarted == 8 - len(charged)
