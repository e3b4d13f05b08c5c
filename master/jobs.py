"""One job's state: its blocks, and for every task exactly one place where it is."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace

from manyhands.master.attempts import Counts
from manyhands.master.commands import DispatchPiece
from manyhands.master.events import JobOptions, JobRecovered
from manyhands.master.profiles import Averages
from manyhands.master.saved_states import SavedStates, StateRoom
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.blocks import Block
from manyhands.wire.spans import Span, SpanSet

#: Blocks among which a worker is given what it has the data of.
LOOKAHEAD_BLOCKS = 16


class JobBlocks:
    """The blocks of a job that still have open tasks, by index."""

    __slots__ = ("_blocks", "_firsts", "_left", "_offset")

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._blocks: list[Block | None] = []
        self._left: list[int] = []  # open tasks of each block
        self._offset = 0  # leading blocks that are finished and will be cut off together

    def append(self, block: Block, left: int | None = None) -> None:
        """Add the next block, with `left` open tasks if not all; between it and the last one all is done."""
        self._firsts.append(block.first)
        self._blocks.append(block)
        self._left.append(block.count if left is None else left)

    def at(self, index: int) -> Block:
        """The block that holds an open task."""
        block = self._blocks[bisect_right(self._firsts, index) - 1]
        assert block is not None, f"task {index} is open but its block is gone"
        return block

    def pieces(self, lo: int, hi: int) -> Iterator[tuple[Block, int, int]]:
        """The open tasks [lo, hi), cut at block boundaries."""
        while lo < hi:
            block = self.at(lo)
            end = min(hi, block.end)
            yield block, lo, end
            lo = end

    def finish(self, lo: int, hi: int) -> list[int]:
        """Tasks [lo, hi) have their outcome: blocks without open tasks are let go. Returns their first indices."""
        gone: list[int] = []
        position = bisect_right(self._firsts, lo) - 1
        while lo < hi:
            block = self._blocks[position]
            assert block is not None, f"task {lo} finished twice"
            end = min(hi, block.end)
            self._left[position] -= end - lo
            if not self._left[position]:
                self._blocks[position] = None
                gone.append(block.first)
            lo = end
            position += 1
        self._cut()
        return gone

    def _cut(self) -> None:
        """Let go of finished leading blocks; amortised, as cutting a list's head moves the rest."""
        offset, blocks = self._offset, self._blocks
        while offset < len(blocks) and blocks[offset] is None:
            offset += 1
        if offset > 32 and offset * 2 > len(blocks):
            del self._firsts[:offset], self._blocks[:offset], self._left[:offset]
            offset = 0
        self._offset = offset


class Job:
    """Where each task of a job is: queued, staged, leased, waiting for a retry, or done.

    Staged and leased spans are listed with the workers; here are only their numbers.
    """

    __slots__ = (
        "attempts",
        "averages",
        "blocks",
        "cancelled",
        "cancelling",
        "client",
        "consumed_bytes",
        "copied",
        "count",
        "crash_reports",
        "delivered_bytes",
        "dispatched",
        "done",
        "doubled",
        "failed",
        "failure_counts",
        "lacks_data",
        "leased",
        "number",
        "options",
        "priority",
        "queued",
        "sealed_at",
        "staged",
        "states",
        "succeeded",
        "suspects",
        "tag",
        "unlimited",
        "waiting",
        "watched",
    )

    def __init__(self, number: int, client: int, options: JobOptions, state_room: StateRoom) -> None:
        self.number = number
        self.client = client
        self.options = options
        self.priority = options.priority
        #: Place in the fair queue; see `queues.py`.
        self.tag = 0.0
        self.blocks = JobBlocks()
        #: Tasks received so far: indices are [0, count).
        self.count = 0
        #: How many there will be; None until the client says so.
        self.sealed_at: int | None = None
        self.queued = SpanSet()
        self.waiting = SpanSet()
        self.done = SpanSet()
        #: Leased, and to be dropped instead of queued again should they come back.
        self.cancelling = SpanSet()
        #: Every task that was ever sent to a worker; None while nobody needs to know.
        self.dispatched: SpanSet | None = SpanSet() if options.queue_timeout else None
        #: Whether the client wants to hear of each dispatch.
        self.watched = False
        #: Tasks in the workers' deques, and under leases (a task under two counts twice).
        self.staged = 0
        self.leased = 0
        #: Some tasks may be under two leases, or queued as well as leased.
        self.doubled = False
        #: See events.JobLacksData.
        self.lacks_data = False
        #: Those of which a second copy was sent out, or may have been; see `speculation`.
        self.copied = SpanSet()
        #: What its tasks took; None while nobody needs to know.
        self.averages = Averages() if options.speculate else None
        #: Every failure, crash and loss; the failures alone, against retries.
        self.attempts = Counts()
        self.failure_counts = Counts()
        #: What tasks saved for their next attempt.
        self.states = SavedStates(state_room)
        #: How slots and workers died under a task that is still open.
        self.crash_reports: dict[int, list[pb.CrashReport]] = {}
        #: Those that may have taken a worker down; see `losses`.
        self.suspects = SpanSet()
        self.succeeded = self.failed = self.cancelled = 0
        self.delivered_bytes = 0
        self.consumed_bytes = 0
        self.unlimited = not options.metered

    def restore(self, event: JobRecovered) -> None:
        """Take over what was known of a job that has nothing yet."""
        self.sealed_at = event.sealed_at
        self.done = SpanSet(event.done)
        ends = [block.end for block in event.blocks] + [hi for _, hi in event.done]
        self.count = max(ends, default=0)
        self.queued = SpanSet(self.done.missing(0, self.count))
        for block in event.blocks:
            left = sum(hi - lo for lo, hi in self.done.missing(block.first, block.end))
            if left:
                self.blocks.append(block, left)
        for tries in event.tries:
            if tries.index not in self.done:
                self.attempts.bump(tries.index, tries.index + 1, tries.attempts)
                self.failure_counts.bump(tries.index, tries.index + 1, tries.failures)
                if tries.crashes:
                    self.crash_reports[tries.index] = list(tries.crashes)
        self.states.restore((index, state) for index, state in event.states if index not in self.done)
        self.succeeded, self.failed, self.cancelled = event.succeeded, event.failed, event.cancelled
        self.delivered_bytes, self.consumed_bytes = event.delivered_bytes, event.consumed_bytes
        self.unlimited = self.unlimited or event.unlimited

    @property
    def is_finished(self) -> bool:
        """Whether every task there will ever be has its outcome."""
        return self.sealed_at is not None and self.done.count == self.sealed_at

    @property
    def first_open(self) -> int:
        """The lowest index without an outcome: what an ordered reader waits for."""
        if not self.done:
            return 0
        lo, hi = self.done.first_span
        return hi if lo == 0 else 0

    def next_index(self, store: str) -> int:
        """The task that is to be taken next by who finds data in this store: of the first ones that with most of its
        data there; there is one queued.
        """
        first = self.queued.first
        if not self.blocks.at(first).needs:
            return first
        return max(self._queued_blocks(), key=lambda each: self.blocks.at(each).local_bytes(store))

    def _queued_blocks(self) -> Iterator[int]:
        """The first queued task of each of the first blocks that have any."""
        index = self.queued.first
        for _ in range(LOOKAHEAD_BLOCKS):
            yield index
            rest = self.queued.overlap(self.blocks.at(index).end, self.count)
            if not rest:
                return
            index = rest[0][0]

    def take(self, limit: int, limit_bytes: int, store: str = "") -> list[Span]:
        """Remove up to `limit` tasks of one function, and about `limit_bytes`, from the queue's head; of tasks that
        need data those for which most is in the `store`.
        """
        taken: list[Span] = []
        function: bytes | None = None
        while limit > 0 and self.queued:
            index = self.next_index(store)
            block = self.blocks.at(index)
            if function is None:
                function = block.function
            elif function != block.function or limit_bytes <= 0:
                break
            per_task = max(1, len(block.payload) // block.count)
            if self.states:  # which may be large
                limit_bytes -= len(self.states[index])
                room = 1
            else:
                room = min(limit, block.end - index, max(1, limit_bytes // per_task))
            if index == self.queued.first:
                lo, hi = self.queued.pop_first(room)
            else:
                lo, hi = index, min(index + room, self.queued.overlap(index, block.end)[0][1])
                self.queued.remove(lo, hi)
            if taken and taken[-1][1] == lo:
                taken[-1] = taken[-1][0], hi
            else:
                taken.append((lo, hi))
            limit -= hi - lo
            limit_bytes -= per_task * (hi - lo)
        return taken

    def dispatch_pieces(self, spans: list[Span]) -> list[DispatchPiece]:
        """Spans cut at block boundaries and where the attempt number changes."""
        pieces: list[DispatchPiece] = []
        for lo, hi in spans:
            for block, a, b in self.blocks.pieces(lo, hi):
                if not (self.attempts or self.suspects):
                    pieces.append(DispatchPiece(block, a, b, 0))
                    continue
                for c, d, n in self.attempts.split(a, b):
                    pieces += [DispatchPiece(block, lo, hi, n, careful=True) for lo, hi in self.suspects.overlap(c, d)]
                    pieces += [DispatchPiece(block, lo, hi, n) for lo, hi in self.suspects.missing(c, d)]
        return pieces if not self.states else [part for piece in pieces for part in self._with_states(piece)]

    def _with_states(self, piece: DispatchPiece) -> Iterator[DispatchPiece]:
        """A piece, cut so that each task that has saved something is one of its own."""
        lo = piece.lo
        for index in self.states.within(piece.lo, piece.hi):
            if lo < index:
                yield replace(piece, lo=lo, hi=index)
            yield replace(piece, lo=index, hi=index + 1, state=self.states[index])
            lo = index + 1
        if lo < piece.hi:
            yield replace(piece, lo=lo)

    def finish(self, lo: int, hi: int) -> list[int]:
        """Tasks [lo, hi), none of them done before, have their outcome. Returns the blocks that are let go."""
        self.done.add(lo, hi)
        gone = self.blocks.finish(lo, hi)
        if self.states:
            self.states.drop(lo, hi)
        for counts in (self.attempts, self.failure_counts):
            if counts:
                counts.forget(lo, hi)
        if self.crash_reports:
            for index in [index for index in self.crash_reports if lo <= index < hi]:
                del self.crash_reports[index]
        for spans in (self.cancelling, self.suspects):
            if spans:
                spans.remove(lo, hi)
        return gone

    def check_invariants(self, staged: list[Span], leased: list[Span]) -> None:
        """Assert that every task is in exactly one place, given what the workers hold of this job.

        A leased task may be done, or in another place besides: a late result or a lost worker's return.
        """
        for spans in (self.queued, self.waiting, self.done, self.cancelling):
            spans.check_invariants()
        assert self.staged == sum(hi - lo for lo, hi in staged), (self.staged, staged)
        assert self.leased == sum(hi - lo for lo, hi in leased), (self.leased, leased)
        places = SpanSet()
        for lo, hi in [*self.queued, *self.waiting, *self.done, *staged]:
            assert places.add(lo, hi) == hi - lo, f"job {self.number}: [{lo}, {hi}) is in two places"
        for lo, hi in leased:
            places.add(lo, hi)
        expected = [(0, self.count)] if self.count else []
        assert list(places) == expected, f"job {self.number}: of {expected} only {places} are accounted for"
        assert self.done.count == self.succeeded + self.failed + self.cancelled
