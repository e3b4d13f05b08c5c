"""Work coming in: definitions that are missing, tasks that cannot run, what is counted until when."""

from __future__ import annotations

import pytest
from tests.support.builders import hashed
from tests.unit.worker.worker_builders import FUNCTION, dispatch, piece_message, ready_roster

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.needs import Need
from manyhands.worker.commands import Command, DropData, Send, SendDefinition
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
        (99, FUNCTION, [], "call 99"),
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


def with_data(message: pb.Piece, *needs: Need) -> pb.Piece:
    message.data.extend(need.message() for need in needs)
    return message


def located(out: list[Command]) -> list[Need]:
    return [Need.of(need) for each in out if isinstance(each, Send) for need in each.body.locate.needs]


def lost(out: list[Command]) -> list[pb.Failure]:
    return [each.body.failure for each in out if isinstance(each, Send) and each.body.HasField("failure")]


class DataStage(Stage):
    def __init__(self, *, is_joined: bool = True) -> None:
        super().__init__()
        self.define(FUNCTION)
        if is_joined:
            self.joined()

    def joined(self) -> list[Command]:
        out: list[Command] = []
        self.intake.joined(pb.JoinStore(store="s"), out)
        self.check()
        return out

    def arrive(self, need: Need) -> None:
        self.here.add(need)
        self.intake.arrived(need)
        self.check()

    def lose(self, id: bytes) -> list[Command]:
        out: list[Command] = []
        self.intake.lost(id, "its host is gone", out)
        self.check()
        return out

    def forget(self, *ids: bytes) -> list[Command]:
        out: list[Command] = []
        self.data.forget(ids, out)
        self.check()
        return out


D, E, P = Need(hashed("d")), Need(hashed("e")), hashed("p")


def test_tasks_wait_for_all_their_data_and_each_is_asked_for_once() -> None:
    stage = DataStage()
    stage.here.add(D)
    out = stage.dispatch(dispatch(1, [with_data(piece_message(5), D, E, Need(P, 0, 10))]))
    assert located(out) == [E, Need(P, 0, 10)]
    assert located(stage.dispatch(dispatch(2, [with_data(piece_message(3), E)]))) == []
    assert stage.held.count == 0
    stage.arrive(E)
    assert stage.held.count == 3
    stage.arrive(Need(P, 10, 10))
    assert stage.held.count == 3
    stage.arrive(Need(P, 0, 10))
    assert stage.held.count == 8


def test_who_has_a_datum_has_every_range_of_it() -> None:
    stage = DataStage()
    stage.dispatch(dispatch(1, [with_data(piece_message(1), Need(P, 0, 10)), with_data(piece_message(1), Need(P))]))
    stage.arrive(Need(P))
    assert stage.held.count == 2


def test_nothing_is_asked_for_before_the_master_knows_the_store() -> None:
    stage = DataStage(is_joined=False)
    assert located(stage.dispatch(dispatch(1, [with_data(piece_message(1), D)]))) == []
    out = stage.joined()
    assert [each.body.WhichOneof("kind") for each in out if isinstance(each, Send)] == ["join_store", "locate"]
    again: list[Command] = []
    stage.intake.ask_again(again)  # the session is lost
    assert located(again) == []
    assert located(stage.joined()) == [D]


def test_what_is_lost_fails_those_that_wait_for_it_and_no_others() -> None:
    stage = DataStage()
    stage.here.add(Need(P, 0, 5))
    has, lacks = Need(P, 0, 5), Need(P, 5, 5)
    stage.dispatch(dispatch(1, [with_data(piece_message(2), D, lacks)]))
    stage.dispatch(dispatch(2, [with_data(piece_message(3), has), with_data(piece_message(4, first=7), D)]))
    out = stage.lose(P)
    assert [(each.lease, each.index, each.kind, each.data) for each in lost(out)] == [
        (1, 0, pb.Failure.KIND_DATA_LOST, P),
        (1, 1, pb.Failure.KIND_DATA_LOST, P),
    ]
    assert lost(out)[0].text == "its host is gone"
    assert stage.held.count == 3
    assert list(stage.intake.leases) == [2]
    assert located(stage.dispatch(dispatch(3, [with_data(piece_message(1), lacks)]))) == [lacks]  # asked anew


def test_what_the_master_forgets_is_dropped_unless_it_is_needed() -> None:
    stage = DataStage()
    stage.here.update((D, E))
    stage.dispatch(dispatch(1, [with_data(piece_message(1), D)]))
    out = stage.forget(D.id, E.id)
    assert out[0] == DropData((E.id,))
    (here,) = (each.body.data_here.needs for each in out[1:] if isinstance(each, Send))
    assert [Need.of(need) for need in here] == [D]
    assert stage.forget(E.id) == []  # it is being dropped


def test_what_is_being_dropped_is_not_here_and_not_asked_for_before_it_is_gone() -> None:
    stage = DataStage()
    stage.here.add(D)
    stage.forget(D.id)
    assert located(stage.dispatch(dispatch(1, [with_data(piece_message(1), D)]))) == []
    assert stage.held.count == 0
    stage.here.clear()
    out: list[Command] = []
    stage.data.dropped([D.id], out)
    assert located(out) == [D]


def test_data_that_nobody_waits_for_any_more_hold_nothing() -> None:
    stage = DataStage()
    stage.dispatch(dispatch(1, [with_data(piece_message(5), D)]))
    out: list[Command] = []
    stage.intake.give_back_all(out)
    stage.check()
    assert stage.held._waiting == {}  # nor the payload
    assert stage.data._pins == {}


@pytest.mark.parametrize(
    ("needs", "keep_as", "count", "reason"),
    [
        ([Need(b"short")], b"", 1, "datum's id"),
        ([], b"short", 1, "datum's id"),
        ([], hashed("k"), 2, "several results"),
    ],
)
def test_data_that_cannot_be(needs: list[Need], keep_as: bytes, count: int, reason: str) -> None:
    stage = DataStage()
    message = with_data(piece_message(count), *needs)
    message.keep_as = keep_as
    failures = lost(stage.dispatch(dispatch(1, [message])))
    assert [each.kind for each in failures] == [pb.Failure.KIND_REJECTED] * count
    assert reason in failures[0].text
