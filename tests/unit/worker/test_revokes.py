"""Revokes: who claims what comes back, and when each is answered."""

from __future__ import annotations

from tests.unit.worker.worker_builders import feed, make_piece, ready_roster

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.spans import SpanSet
from manyhands.worker.pieces import Lease
from manyhands.worker.revokes import Revoke, Revokes, holds_asked, returned_body

LEASE = Lease(1, 1)
OTHER = Lease(2, 1)


def revoke(number: int, *asked: tuple[int, int], slots: tuple[int, ...] = (0,), lease: Lease = LEASE) -> Revoke:
    made = Revoke(number, lease, SpanSet(asked))
    made.waiting.update(slots)
    return made


def test_claims() -> None:
    revokes = Revokes()
    first, second = revoke(1, (0, 10)), revoke(2, (5, 20))
    revokes.add(first)
    revokes.add(second)
    revokes.add(revoke(3, (0, 100), lease=OTHER))
    assert revokes.offer(LEASE, 3, 30) == (17, [(20, 30)])
    assert list(first.given) == [(3, 10)]
    assert list(second.given) == [(10, 20)]
    assert revokes.offer(LEASE, 0, 3) == (3, [])
    assert list(first.given) == [(0, 10)]
    assert revokes.offer(LEASE, 50, 60) == (0, [(50, 60)])


def test_what_one_claimed_is_no_other_ones() -> None:
    revokes = Revokes()
    first, second = revoke(1, (0, 10)), revoke(2, (0, 10))
    revokes.add(first)
    revokes.add(second)
    assert revokes.offer(LEASE, 0, 10) == (10, [])
    assert list(first.given) == [(0, 10)]
    assert list(second.given) == []


def test_answered_when_the_last_slot_has_been_cut() -> None:
    revokes = Revokes()
    first, second = revoke(1, (0, 10), slots=(0, 1)), revoke(2, (0, 10), slots=(1,))
    revokes.add(first)
    revokes.add(second)
    assert revokes.settled(0) == []
    assert revokes.settled(1) == [first, second]
    assert revokes.settled(1) == []
    assert revokes.offer(LEASE, 0, 10) == (0, [(0, 10)])


def test_the_lost_are_not_answered() -> None:
    revokes = Revokes()
    revokes.add(revoke(1, (0, 10)))
    revokes.clear()
    assert revokes.settled(0) == []


def test_what_a_slot_still_holds() -> None:
    roster = ready_roster(1)
    slot = roster.slots[0]
    feed(roster, slot, make_piece(10, 100, lease=LEASE), 100, 5)  # positions 1 to 5
    feed(roster, slot, make_piece(10, 200, lease=OTHER), 200, 5)
    feed(roster, slot, make_piece(10, 300, lease=LEASE), 300, 5)  # positions 11 to 15
    asks = SpanSet([(102, 104)])
    assert holds_asked(slot, LEASE, asks, started=0)
    assert holds_asked(slot, LEASE, asks, started=3)  # 102 runs, 103 does not yet
    assert not holds_asked(slot, LEASE, asks, started=4)
    assert not holds_asked(slot, OTHER, asks, started=0)
    assert holds_asked(slot, LEASE, SpanSet([(304, 305)]), started=14)
    assert not holds_asked(slot, LEASE, SpanSet([(304, 305)]), started=15)


def test_answer() -> None:
    body = returned_body(5, 3, SpanSet([(1, 2), (4, 9)]))
    assert body.returned == pb.Returned(revoke=5, lease=3, ranges=[pb.Range(lo=1, hi=2), pb.Range(lo=4, hi=9)])
