"""Feeding: chunk sizes, who is fed, how far ahead, and what goes along."""

from __future__ import annotations

import pytest
from tests.support.builders import hashed
from tests.unit.worker.worker_builders import FUNCTION, Sights, make_piece, ready_roster

from manyhands.worker.commands import Command, Feed, SendDefinition
from manyhands.worker.cutting import Cutting
from manyhands.worker.deadlines import Deadlines
from manyhands.worker.definition_store import DefinitionStore
from manyhands.worker.feeding import AHEAD, CHUNK, CHUNK_BYTES, GROWTH, REFILL, Feeder, first_chunk, next_chunk
from manyhands.worker.held import Held
from manyhands.worker.memory_limits import MemoryLimits
from manyhands.worker.pieces import Piece
from manyhands.worker.stopping import Stopping
from manyhands.worker.timers import Timers

LOTS = 1 << 30


@pytest.mark.parametrize(
    ("each", "bound", "share", "expected"),
    [
        (0.0, LOTS, 1.0, 1),  # unknown: probe
        (CHUNK / 8, LOTS, 1.0, 8),
        (CHUNK / 8, 5, 1.0, 5),  # little is known
        (CHUNK / 8, 0, 1.0, 1),
        (CHUNK / 8, LOTS, CHUNK / 2, 4),  # others need some, too
        (CHUNK / 8, LOTS, -1.0, 1),
        (1.0, LOTS, 1.0, 1),  # slow ones go one by one
    ],
)
def test_first_chunk(each: float, bound: int, share: float, expected: int) -> None:
    assert first_chunk(each, bound, share) == expected


@pytest.mark.parametrize(
    ("each", "bound", "share", "behind", "expected"),
    [
        (0.0, LOTS, 1.0, 0.0, 0),  # unknown: nothing behind the probe
        (CHUNK / 8, LOTS, 1.0, 0.0, 8),
        (CHUNK / 8, LOTS, 1.0, AHEAD - CHUNK / 2, 4),
        (CHUNK / 8, LOTS, 1.0, AHEAD, 0),
        (CHUNK / 8, 3, 1.0, 0.0, 3),
        (CHUNK / 8, -3, 1.0, 0.0, 0),
        (CHUNK / 8, LOTS, 0.0, 0.0, 0),
        (1.0, LOTS, 1.0, 0.0, 0),  # a slow one does not wait behind another
    ],
)
def test_next_chunk(each: float, bound: int, share: float, behind: float, expected: int) -> None:
    assert next_chunk(each, bound, share, behind) == expected


class Stage:
    def __init__(self, slots: int) -> None:
        self.roster = ready_roster(slots)
        self.held = Held()
        self.store = DefinitionStore()
        self.store.put(FUNCTION, b"blob")
        sights, timers = Sights(slots), Timers()
        cutting = Cutting(self.roster, sights, timers)
        stopping = Stopping(sights, timers)
        deadlines, memory = Deadlines(sights, timers, stopping), MemoryLimits(sights, timers, stopping)
        self.feeder = Feeder(self.roster, self.held, self.store, cutting, deadlines, memory)
        self.out: list[Command] = []

    def hold(self, *pieces: Piece) -> None:
        for piece in pieces:
            self.held.add(piece, None)

    def feed_all(self) -> list[tuple[int, int, int]]:
        """(slot, lo, hi) of what is fed."""
        self.out.clear()
        self.feeder.feed_all(1.0, self.out)
        self.roster.check_invariants()
        self.held.check_invariants()
        return [(feed.slot, feed.lo, feed.hi) for feed in self.out if isinstance(feed, Feed)]


def test_an_unknown_function_is_probed_with_one_task_a_slot() -> None:
    stage = Stage(3)
    stage.hold(make_piece(100))
    assert stage.feed_all() == [(0, 0, 1), (1, 1, 2), (2, 2, 3)]
    assert stage.feed_all() == []


def test_idle_slots_first_then_all_in_turns() -> None:
    stage = Stage(2)
    stage.hold(make_piece(1000, each=CHUNK / 4))
    fed = stage.feed_all()
    assert fed[:2] == [(0, 0, 4), (1, 4, 8)]
    assert [slot for slot, _, _ in fed[2:]] == [0, 1] * ((len(fed) - 2) // 2)
    for slot in stage.roster.slots:
        assert REFILL <= slot.seconds - CHUNK / 4 <= AHEAD


def test_few_tasks_are_shared() -> None:
    stage = Stage(2)
    stage.hold(make_piece(6, each=CHUNK / 8))
    assert stage.feed_all() == [(0, 0, 3), (1, 3, 6)]


def test_a_slot_holds_no_more_than_measurements_warrant() -> None:
    stage = Stage(1)
    piece = make_piece(100_000, each=1e-6)
    piece.pace.measured = 3
    stage.hold(piece)
    stage.feed_all()
    assert stage.roster.slots[0].outstanding == GROWTH * 3


def test_chunks_of_large_items_are_short() -> None:
    stage = Stage(1)
    stage.hold(make_piece(40, each=1e-6, item=b"x" * (CHUNK_BYTES // 4)))
    assert next(hi - lo for _, lo, hi in stage.feed_all()) == 4


def test_a_chunk_is_of_one_piece() -> None:
    stage = Stage(1)
    stage.hold(make_piece(2, each=CHUNK / 8), make_piece(2, 10, each=CHUNK / 8))
    assert [(lo, hi) for _, lo, hi in stage.feed_all()] == [(0, 2), (10, 12)]


def test_nothing_for_a_slot_that_is_cut() -> None:
    stage = Stage(2)
    stage.feeder._cutting.begin(stage.roster.slots[0], [])
    stage.hold(make_piece(10, each=CHUNK))
    assert {slot for slot, _, _ in stage.feed_all()} == {1}
    stage.out.clear()
    stage.feeder.refill(stage.roster.slots[0], 1.0, stage.out)
    assert stage.out == []


def test_refill_waits_until_half_is_done() -> None:
    stage = Stage(1)
    slot = stage.roster.slots[0]
    each = CHUNK / 4
    stage.hold(make_piece(1000, each=each))
    stage.feed_all()
    stage.out.clear()
    while slot.seconds - each >= REFILL:
        stage.feeder.refill(slot, 1.0, stage.out)
        assert stage.out == []
        stage.roster.pop(slot, slot.fed[0].position, 1)
    stage.feeder.refill(slot, 1.0, stage.out)
    assert slot.seconds - each > REFILL


def test_definitions_go_once_and_first() -> None:
    stage = Stage(1)
    slot = stage.roster.slots[0]
    for name in "ab":
        stage.store.put(hashed(name), name.encode())
    first, second = make_piece(1, each=1.0), make_piece(1, 1, each=1.0)
    first.needs = (FUNCTION, hashed("a"))
    second.needs = (FUNCTION, hashed("a"), hashed("b"))
    stage.hold(first, second)
    stage.feed_all()
    assert [type(each) for each in stage.out] == [SendDefinition, SendDefinition, Feed]
    stage.roster.pop(slot, 1, 1)
    stage.roster.settle(slot)
    stage.feed_all()
    assert [each for each in stage.out if isinstance(each, SendDefinition)] == [SendDefinition(0, hashed("b"), b"b")]
