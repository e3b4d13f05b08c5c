"""Pieces, dispatches and slots, as short as tests of the worker want them."""

from __future__ import annotations

from collections.abc import Iterable

from tests.support.builders import hashed, packed

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.needs import Need
from manyhands.worker.pieces import Lease, Limits, Pace, Piece
from manyhands.worker.roster import Roster
from manyhands.worker.slot_state import Fed, Sight, Slot

FUNCTION = hashed("f")


def piece_message(count: int, first: int = 0, item: bytes = b"x", function: bytes = FUNCTION) -> pb.Piece:
    ends, payload = packed([item] * count)
    return pb.Piece(first=first, ends=ends, payload=payload, function=function, call=pb.CALL_ITEM)


def make_piece(
    count: int,
    first: int = 0,
    *,
    lease: Lease | None = None,
    each: float = 0.0,
    timeout: float = 0.0,
    progress_timeout: float = 0.0,
    memory_bytes: int = 0,
    **more: bytes,
) -> Piece:
    pace = Pace()
    pace.each = each
    pace.measured = 1000 if each else 0
    limits = Limits(timeout, progress_timeout, memory_bytes)
    return Piece(lease or Lease(1, 1), (0, 0.0, 1), b"", b"", 0, limits, pace, piece_message(count, first, **more))


def dispatch(
    lease: int,
    pieces: Iterable[pb.Piece],
    retry_on: bytes = b"",
    priority: int = 0,
    tag: float = 0.0,
    context: bytes = b"",
) -> pb.Dispatch:
    return pb.Dispatch(
        lease=lease, job=lease, pieces=pieces, retry_on=retry_on, priority=priority, tag=tag, context=context
    )


def nothing_here(need: Need) -> bool:
    """A store without data."""
    return False


def ready_roster(slots: int) -> Roster:
    roster = Roster(slots)
    for slot in roster.slots:
        roster.came_up(slot)
        roster.settle(slot)
    return roster


def feed(roster: Roster, slot: Slot, piece: Piece, lo: int, count: int) -> None:
    roster.push(slot, Fed(slot.next_position, count, piece, lo, piece.pace.each))


class Sights:
    """What the agent sees of each slot, as the test says."""

    def __init__(self, slots: int) -> None:
        self.sights = [Sight(0, busy=False, since=0.0)] * slots

    def __call__(self, slot: int) -> Sight:
        return self.sights[slot]

    def see(
        self,
        slot: int,
        started: int,
        *,
        busy: bool = True,
        since: float = 0.0,
        progressed: float = 0.0,
        note: str = "",
        is_setting_up: bool = False,
    ) -> None:
        self.sights[slot] = Sight(started, busy, since, progressed, note, is_setting_up)
