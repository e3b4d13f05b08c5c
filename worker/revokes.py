"""The master's revokes: each is answered once, with what had not started."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.spans import Span, SpanSet
from manyhands.worker.pieces import Lease
from manyhands.worker.slot_state import Slot


class Revoke:
    """A revoke that waits for cuts: `asked` shrinks as `given` grows."""

    __slots__ = ("asked", "given", "lease", "number", "waiting")

    def __init__(self, number: int, lease: Lease, asked: SpanSet) -> None:
        self.number = number
        self.lease = lease
        self.asked = asked
        self.given = SpanSet()
        #: Numbers of the slots whose cut may still bring tasks.
        self.waiting: set[int] = set()

    def give(self, lo: int, hi: int) -> None:
        """[lo, hi) has not started and goes back."""
        self.given.add(lo, hi)
        self.asked.remove(lo, hi)


class Revokes:
    """The revokes that have not been answered."""

    def __init__(self) -> None:
        self._pending: list[Revoke] = []

    def add(self, revoke: Revoke) -> None:
        """Keep one until its slots have been cut."""
        self._pending.append(revoke)

    def offer(self, lease: Lease, lo: int, hi: int) -> tuple[int, list[Span]]:
        """Tasks were taken back from a slot: (how many the revokes claim, what nobody does)."""
        claimed = 0
        rest = [(lo, hi)]
        for revoke in self._pending:
            if revoke.lease is lease:
                unclaimed: list[Span] = []
                for a, b in rest:
                    unclaimed += revoke.asked.missing(a, b)
                    for c, d in revoke.asked.overlap(a, b):
                        revoke.give(c, d)
                        claimed += d - c
                rest = unclaimed
        return claimed, rest

    def settled(self, slot: int) -> list[Revoke]:
        """The slot has been cut or has died: the revokes that waited for nothing else, to be answered."""
        answered: list[Revoke] = []
        for revoke in self._pending:
            if slot in revoke.waiting:
                revoke.waiting.discard(slot)
                if not revoke.waiting:
                    answered.append(revoke)
        if answered:
            self._pending = [revoke for revoke in self._pending if revoke.waiting]
        return answered

    def clear(self) -> None:
        """Drop them unanswered: nobody waits any more."""
        self._pending.clear()

    def check_invariants(self, slots: Sequence[Slot]) -> None:
        """Assert that each waits for slots that are being cut."""
        for revoke in self._pending:
            assert revoke.waiting
            for number in revoke.waiting:
                cut = slots[number].cut
                assert cut is not None
                assert not cut.sent


def returned_body(number: int, lease: int, given: Iterable[Span]) -> pb.Body:
    """The answer to a revoke."""
    ranges = [pb.Range(lo=lo, hi=hi) for lo, hi in given]
    return pb.Body(returned=pb.Returned(revoke=number, lease=lease, ranges=ranges))


def holds_asked(slot: Slot, lease: Lease, asked: SpanSet, started: int) -> bool:
    """Whether a task of the lease that is asked for lies in the slot above `started`."""
    for fed in slot.fed:
        if fed.piece.lease is lease:
            lo = fed.lo + max(0, started + 1 - fed.position)
            if asked.overlap(lo, fed.lo + fed.count):
                return True
    return False
