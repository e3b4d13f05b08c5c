"""Feeding: which slot gets how much of the best work, and when."""

from __future__ import annotations

from manyhands.worker.commands import Command, Feed, SendDefinition
from manyhands.worker.cutting import Cutting
from manyhands.worker.deadlines import Deadlines
from manyhands.worker.definition_store import DefinitionStore
from manyhands.worker.held import Held
from manyhands.worker.memory_limits import INTERVAL_MIN, MemoryLimits
from manyhands.worker.pieces import Run
from manyhands.worker.roster import Roster
from manyhands.worker.slot_state import Fed, Slot

#: A chunk is about this many seconds of work: long against the cost of sending it.
CHUNK = 0.002

#: A slot holds at most so many seconds of work behind its running task, and is refilled below half.
#: Short, so that a better-ranked task or a straggler's neighbours never wait long.
AHEAD = 0.004
REFILL = AHEAD / 2

#: A slot holds at most so many times the number of tasks measured so far.
GROWTH = 4

#: A chunk of large items stays below this, so that a slot's pipe holds little of them.
CHUNK_BYTES = 1 << 20


def first_chunk(each: float, bound: int, share: float) -> int:
    """How many tasks to feed to an idle slot, at least one.

    `each`: seconds a task, 0.0 if unknown. `bound`: how many it may get while little is known.
    `share`: the seconds of work this slot would get if all work were divided evenly.
    """
    if each == 0.0:
        return 1
    count = (CHUNK if share > CHUNK else share) / each
    return max(1, int(count if count < bound else bound))


def next_chunk(each: float, bound: int, share: float, behind: float) -> int:
    """How many tasks to feed to a slot that has `behind` seconds of work behind its running task."""
    if each == 0.0:
        return 0
    room = AHEAD - behind
    if room > CHUNK:
        room = CHUNK
    count = (share if share < room else room) / each
    return max(0, int(count if count < bound else bound))


class Feeder:
    """Moves work from the queue to the slots. No slot that may be fed idles while there is some."""

    def __init__(
        self,
        roster: Roster,
        held: Held,
        store: DefinitionStore,
        cutting: Cutting,
        deadlines: Deadlines,
        memory: MemoryLimits,
    ) -> None:
        self._roster = roster
        self._held = held
        self._store = store
        self._cutting = cutting
        self._deadlines = deadlines
        self._memory = memory

    def feed_reserved(self, slot: Slot, now: float, out: list[Command]) -> None:
        """The slot has come up: what is reserved for it goes first."""
        run = self._held.claim(slot.number)
        if run is not None:
            self._feed(slot, run, 1, now, out)

    def refill(self, slot: Slot, now: float, out: list[Command]) -> None:
        """Feed one slot if it has little left."""
        if not self._held.count or not slot.ready or slot.cut is not None:
            return
        if slot.fed and slot.seconds - slot.fed[0].each >= REFILL:
            return
        while self._feed_chunk(slot, now, out):
            pass

    def feed_all(self, now: float, out: list[Command]) -> None:
        """Feed every slot that has little left: the idle ones first, then all in turns."""
        for slot in list(self._roster.idle.values()):
            if not self._feed_chunk(slot, now, out):
                return
        head = self._held.head()
        if head is None or not 0.0 < head.piece.pace.each <= AHEAD:
            return
        hungry = [
            slot
            for slot in self._roster.slots
            if slot.fed and slot.cut is None and slot.seconds - slot.fed[0].each < REFILL
        ]
        while hungry:
            hungry = [slot for slot in hungry if self._feed_chunk(slot, now, out)]

    def _feed_chunk(self, slot: Slot, now: float, out: list[Command]) -> bool:
        """Feed the slot one chunk of the best work if it should have it; whether it did."""
        run = self._held.head()
        if run is None:
            return False
        piece = run.piece
        pace = piece.pace
        each = pace.each
        share = (self._held.seconds + self._roster.seconds) / self._roster.ready - slot.seconds
        bound = GROWTH * pace.measured - slot.outstanding
        if piece.careful:
            if slot.fed:
                return False
            count = 1
        elif slot.fed:
            count = next_chunk(each, bound, share, slot.seconds - slot.fed[0].each)
            if not count:
                return False
        else:
            count = first_chunk(each, bound, share)
        if count > 1:
            mean_bytes = len(piece.payload) // piece.count
            if count * mean_bytes > CHUNK_BYTES:
                count = max(1, CHUNK_BYTES // mean_bytes)
            if count > run.hi - run.lo:
                count = run.hi - run.lo
        self._feed(slot, run, count, now, out)
        return True

    def _feed(self, slot: Slot, run: Run, count: int, now: float, out: list[Command]) -> None:
        piece = run.piece
        for hash in piece.needs:
            if hash not in slot.known:
                blob = self._store.get(hash)
                assert blob is not None  # the run would wait for it otherwise, and it is pinned
                slot.known.add(hash)
                out.append(SendDefinition(slot.number, hash, blob))
        lo = self._held.take(run, count)
        position = slot.next_position
        self._roster.push(slot, Fed(position, count, piece, lo, piece.pace.each))
        out.append(Feed(slot.number, position, piece, lo, lo + count))
        if slot.outstanding > 1 and not slot.watched:
            self._cutting.watch_later(slot, now)
        limits = piece.limits
        if patience := limits.patience:
            self._deadlines.watch(slot, patience, now)
        if limits.memory_bytes:
            self._memory.watch(slot, INTERVAL_MIN, now)
