"""The agent's queue: unstarted runs of tasks in rank order, and those that wait for something or a certain slot."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush

from manyhands.wire.spans import Span, SpanSet
from manyhands.worker.pieces import Lease, Missing, Pace, Piece, Run

#: (-priority, tag, arrival, 0 if the run came back else 1, first index, number of the push):
#: within a rank, what came back goes before what never left; the last makes keys unique.
_Key = tuple[int, float, int, int, int, int]


class Held:
    """Runs are ranked by (-priority, tag, arrival); cost follows runs, never tasks."""

    def __init__(self) -> None:
        self._heap: list[tuple[_Key, Run]] = []
        self._waiting: dict[Missing, dict[Run, None]] = {}
        self._reserved: dict[int, Run] = {}  # by slot
        self._pushes = 0
        self._emptied = 0  # about how many empty runs lie in the heap
        #: Tasks that may be fed, and the seconds they will take by what is known.
        self.count = 0
        self.seconds = 0.0

    def add(self, piece: Piece, waits_for: Missing | None) -> None:
        """Hold a piece that just arrived; with `waits_for`, it may be fed only once that is here."""
        run = Run(piece, piece.first, piece.first + piece.count)
        piece.lease.runs.add(run)
        if waits_for is None:
            self._push(run)
        else:
            self._park(run, waits_for)

    def put_back(self, piece: Piece, lo: int, hi: int) -> None:
        """Hold [lo, hi) again, ahead of what has the same rank."""
        run = Run(piece, lo, hi)
        run.group = 0
        piece.lease.runs.add(run)
        self._push(run)

    def reserve(self, slot: int, piece: Piece, index: int) -> None:
        """Hold this task for the next process of a slot, which has none now."""
        run = Run(piece, index, index + 1)
        run.waits_for = b""
        piece.lease.runs.add(run)
        self._reserved[slot] = run

    def claim(self, slot: int) -> Run | None:
        """The run reserved for the slot, if it is still there: to be taken, or let go."""
        run = self._reserved.pop(slot, None)
        if run is None or run.lo == run.hi:
            return None
        run.waits_for = None
        self._count(run.piece.pace, 1)
        return run

    def let_go(self, slot: int) -> None:
        """What is reserved for the slot may go to any."""
        run = self.claim(slot)
        if run is not None:
            self._count(run.piece.pace, -1)
            self._push(run)

    def _push(self, run: Run) -> None:
        self._pushes += 1
        heappush(self._heap, ((*run.piece.rank, run.group, run.lo, self._pushes), run))
        self._count(run.piece.pace, run.hi - run.lo)

    def _count(self, pace: Pace, change: int) -> None:
        self.count += change
        pace.queued += change
        self.seconds = self.seconds + change * pace.each if self.count else 0.0

    def head(self) -> Run | None:
        """The run to feed next."""
        heap = self._heap
        while heap:
            run = heap[0][1]
            if run.lo < run.hi:
                return run
            heappop(heap)
        return None

    def take(self, run: Run, count: int) -> int:
        """Remove the first `count` tasks of a run that may be fed; return the first one's index."""
        lo = run.lo
        run.lo = lo + count
        self._count(run.piece.pace, -count)
        if run.lo == run.hi:
            run.piece.lease.runs.discard(run)
        return lo

    def repace(self, pace: Pace, each: float) -> None:
        """A function takes `each` seconds now."""
        if pace.queued:
            self.seconds += pace.queued * (each - pace.each)
        pace.each = each

    # ------------------------------------------------------------ what is missing

    def _park(self, run: Run, waits_for: Missing) -> None:
        run.waits_for = waits_for
        self._waiting.setdefault(waits_for, {})[run] = None

    def _unpark(self, run: Run, waited_for: Missing) -> None:
        waiting = self._waiting[waited_for]
        del waiting[run]
        if not waiting:
            del self._waiting[waited_for]

    def missing_definitions(self) -> list[bytes]:
        """Those that runs wait for."""
        return [each for each in self._waiting if isinstance(each, bytes)]

    def found(self, what: Missing, still_missing: Callable[[Piece], Missing | None]) -> None:
        """It has come: the runs that waited for it may be fed, or wait for the next thing they miss."""
        for run in self._waiting.pop(what, ()):
            missing = still_missing(run.piece)
            if missing is None:
                run.waits_for = None
                self._push(run)
            else:
                self._park(run, missing)

    def give_up(self, is_lost: Callable[[Piece], bool]) -> list[tuple[Piece, int, int]]:
        """Remove those that wait in vain; return them as ranges."""
        waiting = [run for runs in self._waiting.values() for run in runs if is_lost(run.piece)]
        lost = [(run.piece, run.lo, run.hi) for run in waiting]
        for run in waiting:
            self._keep(run, [])
        return lost

    # ------------------------------------------------------------ giving back

    def withdraw(self, lease: Lease, asked: SpanSet) -> list[tuple[Piece, int, int]]:
        """Remove those tasks of a lease that are in `asked`; return them as ranges."""
        taken: list[tuple[Piece, int, int]] = []
        for run in list(lease.runs):
            parts = asked.overlap(run.lo, run.hi)
            if parts:
                taken += [(run.piece, lo, hi) for lo, hi in parts]
                self._keep(run, asked.missing(run.lo, run.hi))
        if self._emptied > 32 + len(self._heap) // 2:
            # Empty runs go when they reach the head; those that never would hold payloads for ever.
            self._heap = [entry for entry in self._heap if entry[1].lo < entry[1].hi]
            heapify(self._heap)
            self._emptied = 0
        return taken

    def _keep(self, run: Run, rest: list[Span]) -> None:
        """Cut a run down to `rest`: its first range stays in place, others become runs beside it."""
        piece = run.piece
        was = run.hi - run.lo
        if not rest:
            run.lo = run.hi
            piece.lease.runs.discard(run)
            if run.waits_for is None:
                self._emptied += 1
            elif run.waits_for:
                self._unpark(run, run.waits_for)
        else:
            run.lo, run.hi = rest[0]
        if run.waits_for is None:
            self._count(piece.pace, run.hi - run.lo - was)
        for lo, hi in rest[1:]:
            other = Run(piece, lo, hi)
            other.group = run.group
            piece.lease.runs.add(other)
            if run.waits_for is None:
                self._push(other)
            else:  # never a reserved one: that is one task
                self._park(other, run.waits_for)

    def clear(self) -> list[tuple[Piece, int]]:
        """Drop everything; return how many tasks of which pieces."""
        runs = [run for _, run in self._heap]
        runs += [run for waiting in self._waiting.values() for run in waiting]
        runs += self._reserved.values()
        dropped = [(run.piece, run.hi - run.lo) for run in runs if run.lo < run.hi]
        for run in runs:
            if run.waits_for is None:
                run.piece.pace.queued = 0
            run.piece.lease.runs.clear()
        self._heap.clear()
        self._waiting.clear()
        self._reserved.clear()
        self.count = 0
        self.seconds = 0.0
        return dropped

    def check_invariants(self) -> None:
        """Assert that counts and indices agree with the runs."""
        ready = [run for _, run in self._heap if run.lo < run.hi]
        assert all(run.waits_for is None for run in ready)
        assert self.count == sum(run.hi - run.lo for run in ready)
        seconds = sum((run.hi - run.lo) * run.piece.pace.each for run in ready)
        assert abs(seconds - self.seconds) < 1e-6 * (1.0 + seconds), (seconds, self.seconds)
        queued: dict[Pace, int] = {}
        for run in ready:
            queued[run.piece.pace] = queued.get(run.piece.pace, 0) + run.hi - run.lo
        assert all(pace.queued == count for pace, count in queued.items())
        waiting = [(what, run) for what, runs in self._waiting.items() for run in runs]
        assert all(run.waits_for == what and run.lo < run.hi for what, run in waiting)
        parked = [run for _, run in waiting] + [run for run in self._reserved.values() if run.lo < run.hi]
        assert all(run.waits_for is not None for run in parked)
        assert all(run in run.piece.lease.runs for run in (*ready, *parked))
        assert not any(run.piece.lease.dead for run in (*ready, *parked))
