"""What the agent holds: leases, their pieces of blocks, and runs of tasks that no slot has been fed."""

from __future__ import annotations

from typing import NamedTuple

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.needs import Need
from manyhands.wire.spans import Span, SpanSet


class Limits(NamedTuple):
    """What a task may use; 0: as much as it takes. Durations in seconds.

    memory_option: who set `memory_bytes`, "memory" (the job) or "--memory" (this worker).
    """

    timeout: float = 0.0
    progress_timeout: float = 0.0
    memory_bytes: int = 0
    memory_option: str = "memory"

    @property
    def patience(self) -> float:
        """How soon after its start a task may have to be stopped; 0.0: never."""
        return min((each for each in (self.timeout, self.progress_timeout) if each), default=0.0)


class Pace:
    """How long one task of a function takes, as measured here. `Durations` owns the updates."""

    __slots__ = ("each", "measured", "queued")

    def __init__(self) -> None:
        #: Seconds a task; 0.0 until one has been measured.
        self.each = 0.0
        #: Tasks measured so far.
        self.measured = 0
        #: Tasks in the agent's queue, so that a new `each` can correct the queue's seconds.
        self.queued = 0


#: What a piece waits for: a definition, or data.
Missing = bytes | Need


class Lease:
    """One dispatch of the master. Lives as long as a task of it is held here."""

    __slots__ = ("dead", "job", "name", "number", "open", "runs", "stopped")

    def __init__(self, number: int, job: int, name: str = "") -> None:
        self.number = number
        self.job = job
        #: The job's.
        self.name = name
        #: Tasks neither reported nor given back.
        self.open = 0
        #: The parts that no slot has been fed.
        self.runs: set[Run] = set()
        #: The session that gave it is over: results are nobody's.
        self.dead = False
        #: What the master wants stopped of it: goes back to it should it come to nothing.
        self.stopped: SpanSet | None = None

    def wants_stopped(self, index: int) -> bool:
        """Whether this task is to be stopped if it runs."""
        return self.stopped is not None and index in self.stopped

    def stop(self, spans: SpanSet) -> None:
        """The master wants these stopped."""
        self.stopped = self.stopped or SpanSet()
        for lo, hi in spans:
            self.stopped.add(lo, hi)

    def split(self, lo: int, hi: int) -> tuple[list[Span], list[Span]]:
        """[lo, hi) as (what the master wants stopped, what it does not)."""
        if self.stopped is None:
            return [], [(lo, hi)]
        return self.stopped.overlap(lo, hi), self.stopped.missing(lo, hi)


class Piece:
    """A slice of a block as it was dispatched, never changed but for its count of open tasks."""

    __slots__ = (
        "attempt",
        "base",
        "call",
        "careful",
        "context",
        "count",
        "data",
        "definitions",
        "ends",
        "first",
        "function",
        "keep_as",
        "keep_bytes",
        "lease",
        "limits",
        "needs",
        "open",
        "pace",
        "payload",
        "rank",
        "retry_on",
        "state",
    )

    def __init__(
        self,
        lease: Lease,
        rank: tuple[int, float, int],
        retry_on: bytes,
        context: bytes,
        keep_bytes: int,
        limits: Limits,
        pace: Pace,
        message: pb.Piece,
    ) -> None:
        self.lease = lease
        #: (-priority, tag, arrival): lower runs first.
        self.rank = rank
        self.retry_on = retry_on
        self.context = context
        #: Results of at least so many bytes stay in the store; 0: none does.
        self.keep_bytes = keep_bytes
        #: Of each task.
        self.limits = limits
        self.pace = pace
        self.first = message.first
        self.base = message.base
        self.ends = message.ends
        self.payload = message.payload
        self.function = message.function
        self.call = int(message.call)
        self.attempt = message.attempt
        #: Each is to have been reported before the next one starts.
        self.careful = message.careful
        self.definitions = tuple(message.definitions)
        #: Of its only task: what an earlier attempt saved.
        self.state = message.state
        #: The id under which its only task's result stays in the store; empty: as `keep_bytes` says.
        self.keep_as = message.keep_as
        self.count = len(self.ends) // 4
        self.open = self.count
        #: What must be in the store before these tasks can run.
        self.data = tuple(map(Need.of, message.data))
        #: Every definition a slot must have to run these tasks and judge their exceptions.
        self.needs = tuple(h for h in (self.function, retry_on, context, *self.definitions) if h)

    def slice(self, lo: int, hi: int) -> tuple[int, bytes, bytes]:
        """(base, ends, payload) of tasks [lo, hi).

        Offsets that run backwards or out of the payload give bytes that do not decode: they cost the
        tasks they belong to, never the agent.
        """
        a, b = lo - self.first, hi - self.first
        ends = self.ends
        if b - a == self.count:
            return self.base, ends, self.payload
        start = int.from_bytes(ends[4 * a - 4 : 4 * a], "little") if a else self.base
        stop = int.from_bytes(ends[4 * b - 4 : 4 * b], "little")
        offset = max(0, start - self.base)
        return start, ends[4 * a : 4 * b], self.payload[offset : max(offset, stop - self.base)]


class Run:
    """Consecutive tasks [lo, hi) of a piece in the agent's queue; empty once lo == hi."""

    __slots__ = ("group", "hi", "lo", "piece", "waits_for")

    def __init__(self, piece: Piece, lo: int, hi: int) -> None:
        self.piece = piece
        self.lo = lo
        self.hi = hi
        #: 0: came back from a slot, goes first; 1: as it arrived.
        self.group = 1
        #: The missing definition or datum in whose list this run waits; b"": the slot that it is reserved for;
        #: None: it may be fed.
        self.waits_for: Missing | None = None
