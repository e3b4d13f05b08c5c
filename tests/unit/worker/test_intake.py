"""Work coming in: definitions that are missing, tasks that cannot run, what is counted until when."""

from __future__ import annotations

import pytest
from tests.support.builders import hashed
from tests.unit.worker.worker_builders import FUNCTION, dispatch, piece_message, ready_roster

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.needs import Need
from manyhands.worker.commands import Command, Send, SendDefinition
from manyhands.worker.data_needs import DataNeeds
from manyhands.worker.definition_store import OVERHEAD_BYTES, DefinitionStore
from manyhands.worker.held import Held
from manyhands.worker.intake import Intake

A, B = hashed("a"), hashed("b")


class Stage:
    def __init__(self, store_bytes: int = 1 << 20) -> None:
        self.held = Held()
        self.store = DefinitionStore(store_bytes)
        self.roster = ready_roster(2)
        self.here: set[Need] = set()
        self.data = DataNeeds(self.here.__contains__)
        self.intake = Intake(self.held, self.store, self.data, self.roster, memory_bytes=0)

    def dispatch(self, message: pb.Dispatch) -> list[Command]:
        out: list[Command] = []
        self.intake.dispatch(message, out)
        self.check()
        return out

    def define(self, hash: bytes, blob: bytes = b"blob") -> list[Command]:
        out: list[Command] = []
        self.intake.define(hash, blob, out)
        self.check()
        return out

    def wants(self, slot: int, *hashes: bytes) -> list[Command]:
        out: list[Command] = []
        self.intake.slot_wants(self.roster.slots[slot], hashes, out)
        return out

    def check(self) -> None:
        self.held.check_invariants()
        self.store.check_invariants()
        self.data.check_invariants()
        self.intake.check_invariants()


def asked(out: list[Command]) -> list[bytes]:
    return [hash for each in out if isinstance(each, Send) for hash in each.body.want.hashes]


def with_definitions(message: pb.Piece, *hashes: bytes) -> pb.Piece:
    message.definitions.extend(hashes)
    return message


def test_tasks_wait_for_all_their_definitions_and_each_is_asked_for_once() -> None:
    stage = Stage()
    out = stage.dispatch(dispatch(1, [with_definitions(piece_message(5), A, B)], retry_on=B))
    assert sorted(asked(out)) == sorted([FUNCTION, A, B])
    assert asked(stage.dispatch(dispatch(2, [piece_message(3)]))) == []
    assert stage.held.count == 0
    stage.define(A)
    assert stage.held.count == 0
    stage.define(FUNCTION)
    assert stage.held.count == 3  # the second job's
    stage.define(B)
    assert stage.held.count == 8
    assert stage.dispatch(dispatch(3, [piece_message(1)])) == []  # it is here


def test_the_context_is_a_definition_that_tasks_wait_for() -> None:
    stage = Stage()
    out = stage.dispatch(dispatch(1, [piece_message(5)], context=A))
    assert sorted(asked(out)) == sorted([FUNCTION, A])
    stage.define(FUNCTION)
    assert stage.held.count == 0
    stage.define(A)
    assert stage.held.count == 5


def test_tasks_without_a_definition_start_at_once() -> None:
    stage = Stage()
    message = piece_message(2)
    message.call = pb.CALL_APPLY
    message.function = b""
    assert stage.dispatch(dispatch(1, [message])) == []
    assert stage.held.count == 2


@pytest.mark.parametrize(
    ("call", "function", "definitions", "reason"),
    [
        (9, FUNCTION, [], "call 9"),
        (pb.CALL_UNSPECIFIED, FUNCTION, [], "call 0"),
        (pb.CALL_ITEM, b"", [], "names no function"),
        (pb.CALL_ITEM, b"short", [], "16 bytes"),
        (pb.CALL_APPLY, b"", [b"short"], "16 bytes"),
    ],
)
def test_what_cannot_run_fails_at_once_and_alone(
    call: pb.Call, function: bytes, definitions: list[bytes], reason: str
) -> None:
    stage = Stage()
    broken = with_definitions(piece_message(2, first=10, function=function), *definitions)
    broken.call = call
    stage.define(FUNCTION)
    out = stage.dispatch(dispatch(1, [broken, piece_message(1, first=20)]))
    failures = [each.body.failure for each in out if isinstance(each, Send)]
    assert [(f.lease, f.index, f.kind) for f in failures] == [
        (1, 10, pb.Failure.KIND_REJECTED),
        (1, 11, pb.Failure.KIND_REJECTED),
    ]
    assert reason in failures[0].text
    assert stage.held.count == 1


def test_a_lease_lives_as_long_as_a_task_of_it() -> None:
    stage = Stage()
    stage.define(FUNCTION)
    stage.dispatch(dispatch(1, [piece_message(2), piece_message(1, first=5)]))
    lease = stage.intake.leases[1]
    assert lease.open == 3
    stage.dispatch(dispatch(1, [piece_message(1, first=9)]))  # more under the same one
    assert stage.intake.leases[1] is lease
    while (run := stage.held.head()) is not None:
        count = run.hi - run.lo
        stage.held.take(run, count)
        stage.intake.release(run.piece, count)
    assert stage.intake.leases == {}
    assert stage.store._unpinned.keys() == {FUNCTION}


def test_a_slot_that_dropped_a_definition() -> None:
    stage = Stage()
    stage.define(A)
    assert stage.wants(0, A) == [SendDefinition(0, A, b"blob")]
    assert asked(stage.wants(0, B)) == [B]
    assert stage.wants(1, B) == []  # asked for already
    assert stage.define(B) == [SendDefinition(0, B, b"blob"), SendDefinition(1, B, b"blob")]
    assert B in stage.roster.slots[1].known


def test_what_the_store_drops_slots_are_sent_again() -> None:
    stage = Stage(store_bytes=OVERHEAD_BYTES + 5)
    stage.define(A)
    stage.wants(0, A)
    stage.define(B)
    assert A not in stage.store
    assert A not in stage.roster.slots[0].known
    assert asked(stage.wants(0, A)) == [A]


def test_reset() -> None:
    stage = Stage()
    stage.dispatch(dispatch(1, [piece_message(5)]))
    stage.define(A)
    stage.dispatch(dispatch(2, [piece_message(5, function=A)]))
    lease = stage.intake.leases[1]
    stage.wants(0, B)
    out: list[Command] = []
    stage.intake.reset(out)
    stage.check()
    assert asked(out) == [B]  # or the slot would wait for ever
    assert lease.dead
    assert stage.intake.leases == {}
    assert stage.held.count == 0
    assert asked(stage.dispatch(dispatch(1, [piece_message(5)]))) == [FUNCTION]  # asked anew


def test_small_definitions_count_with_what_they_cost() -> None:
    store = DefinitionStore(max_bytes=10 * OVERHEAD_BYTES)
    dropped = [each for number in range(100) for each in store.put(b"%d" % number, b"blob")]
    assert dropped == [b"%d" % number for number in range(91)]
    store.check_invariants()
