"""The job behind a map: keeps raw runs of results as they arrive, for the thread that reads them."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple

from manyhands.client.connection import Connection
from manyhands.client.gathering import OpenBlock
from manyhands.client.jobs import Job, Keeper
from manyhands.client.refs import Ref
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.blocks import results_slice
from manyhands.wire.errors import EncodeError
from manyhands.wire.spans import Span, SpanSet

#: So many bytes of results that have come and were not read mean that the master waits with the rest of the job.
#: Half of what it lets be unread, as it counts what is on its way, too.
STALLED_BYTES = 32 << 20


class Gap(NamedTuple):
    """Tasks that were cancelled."""

    lo: int
    hi: int


class Unsent(NamedTuple):
    """An input that could not be pickled: there is no task for it."""

    error: EncodeError


class Kept(NamedTuple):
    """Inputs whose results a checkpoint has: there are no tasks for them, either."""

    length: int
    #: Reads the results, encoded.
    outcomes: Callable[[], list[bytes]]


#: What a reader takes: a run of results, a failed task, a cancelled span, or what was never sent.
Entry = pb.Results | pb.Failure | Gap | Unsent | Kept


class Want:
    """A reader that waits: `wake` is called once, on the loop's thread, when there may be something for it."""

    __slots__ = ("_wake", "is_fired")

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self.is_fired = False

    def fire(self) -> None:
        """On the loop's thread only."""
        if not self.is_fired:
            self.is_fired = True
            self._wake()


class MapJob(Job):
    """Between the loop's thread, which stores, and one reader, which takes."""

    #: Whether results are taken in the order of the tasks.
    is_ordered: ClassVar[bool]

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection.next_job_number())
        self._connection = connection
        self._lock = threading.Lock()
        self._is_sealed = False
        self._seal_sent = False
        self._is_discarded = False
        self._want: Want | None = None
        self._told = SpanSet()
        self._arrived_bytes = self._read_bytes = 0
        #: If the results are to be kept.
        self.keeper: Keeper | None = None
        #: Of runs that have arrived and were not read, by first index: what of their results is in a store, by index.
        self.refs: dict[int, dict[int, Ref[Any]]] = {}
        #: Why nothing more will come, if so.
        self.failure: BaseException | None = None

    # ------------------------------------------------------------ for the feeding thread

    def post_block(self, block: OpenBlock) -> None:
        """Send the next tasks. Raises what new work is refused with, if it is."""
        with self._lock:
            if self.failure is not None:
                raise self.failure
            self._connection.check_open()
            if self._is_sealed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self.posted += block.count
            self._connection.post_block(self, block)

    def seal(self) -> None:
        """From any thread: there will be no more tasks."""
        with self._lock:
            if not self._is_sealed:
                self._is_sealed = True
                self._connection.background.post(self._send_seal)

    def stop_intake(self) -> None:
        """See Job."""
        self.seal()

    # ------------------------------------------------------------ for the reading thread

    @property
    @abstractmethod
    def has_arrived(self) -> bool:
        """Whether `take` would return something."""

    @abstractmethod
    def take(self) -> Entry | None:
        """What the reader is to have next, or None if it has not arrived."""

    @property
    def is_stalled(self) -> bool:
        """See Job."""
        return self._arrived_bytes - self._read_bytes > STALLED_BYTES and not self._is_discarded

    @property
    def is_sealed(self) -> bool:
        """Whether `posted` is final."""
        return self._is_sealed

    def wake_on_arrival(self, wake: Callable[[], None]) -> bool:
        """Have `wake` called on the loop's thread when `take` is worth another try; False if it is already."""
        self._want = Want(wake)
        return not (self.has_arrived or self.failure is not None)

    def consumed(self, total_bytes: int) -> None:
        """The reader has taken so many bytes of results since the beginning."""
        self._read_bytes = total_bytes
        if self.keeper is not None:
            self.keeper.wait_for_room()
        self._connection.post(self, pb.Body(consumed=pb.Consumed(job=self.number, bytes=total_bytes)))

    def abandon(self, *, cancel: bool) -> None:
        """From any thread, a finalizer's too: nobody will read on. Cancel the rest, or let it run for its effects."""
        self._is_discarded = True
        self._connection.background.post(partial(self._abandon, cancel))

    # ------------------------------------------------------------ on the loop's thread

    @abstractmethod
    def _store(self, entry: Entry, first: int) -> None: ...

    @abstractmethod
    def _clear(self) -> None: ...

    def _arrived(self, entry: Entry, first: int) -> None:
        if not self._is_discarded:
            self._store(entry, first)
            if self._want is not None and self.has_arrived:
                self._want.fire()

    def on_results(self, message: pb.Results) -> None:
        """See Job."""
        lo, hi = message.first, message.first + count_of(message)
        parts = self._first_time(lo, hi)
        for a, b in parts:
            part = message if (a, b) == (lo, hi) else results_slice(message, a, b)
            if self.keeper is not None:
                self.keeper.keep_run(part)
            if part.stored and self._connection.data is not None:
                self.refs[a] = self._connection.data.adopt(part, self.blobs)
            self._arrived_bytes += len(part.payload)
            self._count(b - a, seconds=part.seconds, completed=True)
            self._arrived(part, a)

    def on_failure(self, message: pb.Failure) -> None:
        """See Job."""
        if self._first_time(message.index, message.index + 1):
            if self.keeper is not None:
                self.keeper.skip(message.index, message.index + 1)
            self._count(1, seconds=message.seconds, completed=True)
            self._arrived(message, message.index)

    def on_cancelled(self, spans: Sequence[Span]) -> None:
        """See Job."""
        parts = [part for lo, hi in spans for part in self._first_time(lo, hi)]
        self._count(sum(hi - lo for lo, hi in parts))
        for lo, hi in parts:
            if self.keeper is not None:
                self.keeper.skip(lo, hi)
            self._arrived(Gap(lo, hi), lo)

    def _count(self, count: int, *, seconds: float = 0.0, completed: bool = False) -> None:
        self._connection.count_ended(self, count, seconds=seconds, completed=completed)

    def _first_time(self, lo: int, hi: int) -> list[Span]:
        """Those of tasks [lo, hi) whose outcome has not come before: a restarted master may tell some again."""
        parts = self._told.missing(lo, hi)
        for a, b in parts:
            self._told.add(a, b)
        return parts

    def on_dispatched(self, spans: Sequence[Span]) -> None:
        """See Job."""
        raise AssertionError("a map's tasks have no futures to be asked, so nobody watches it")

    def fail(self, cause: BaseException) -> None:
        """See Job."""
        self.failure = cause
        self.ended = self.posted
        if self._want is not None:
            self._want.fire()

    @property
    def is_over(self) -> bool:
        """See Job."""
        return self._seal_sent and self.ended == self.posted

    def _send_seal(self) -> None:
        self._connection.send(self, pb.Body(seal_job=pb.SealJob(job=self.number, total=self.posted)))
        self._seal_sent = True
        self._connection.count_ended(self, 0)
        if self._want is not None:
            self._want.fire()

    def _abandon(self, cancel: bool) -> None:
        self._clear()
        self.refs.clear()
        if cancel:
            self._connection.cancel_job(self)
        else:
            self.seal()
            self.read_no_more()

    def read_no_more(self) -> None:
        """From any thread: let the job run to its end although nobody reads."""
        consumed = pb.Consumed(job=self.number, unlimited=True)
        self._connection.post(self, pb.Body(consumed=consumed))

    def cancel_open(self, *, spare_running: bool) -> None:
        """See Job."""
        if self.posted:
            ranges = [pb.Range(lo=0, hi=self.posted)]
            cancel = pb.Cancel(job=self.number, ranges=ranges, spare_running=spare_running)
            self._connection.send(self, pb.Body(cancel=cancel))

    def give_up_open(self, *, spare_running: bool) -> None:
        """See Job. Which of a map's tasks have started nobody has asked."""
        self.on_cancelled([(0, self.posted)])


class OrderedMapJob(MapJob):
    """Results in the order of the inputs."""

    is_ordered = True

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._runs: dict[int, Entry] = {}  # by first index: every task is stored once, so runs are never nested
        self._next = 0

    @property
    def has_arrived(self) -> bool:
        """See MapJob."""
        return self._next in self._runs

    def take(self) -> Entry | None:
        """See MapJob."""
        entry = self._runs.pop(self._next, None)
        if entry is not None:
            self._next += count_of(entry)
        return entry

    def _store(self, entry: Entry, first: int) -> None:
        self._runs[first] = entry

    def _clear(self) -> None:
        self._runs.clear()


class UnorderedMapJob(MapJob):
    """Results as they come."""

    is_ordered = False

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._runs: deque[Entry] = deque()

    @property
    def has_arrived(self) -> bool:
        """See MapJob."""
        return bool(self._runs)

    def take(self) -> Entry | None:
        """See MapJob."""
        return self._runs.popleft() if self._runs else None

    def _store(self, entry: Entry, first: int) -> None:
        self._runs.append(entry)

    def _clear(self) -> None:
        self._runs.clear()


def count_of(entry: Entry) -> int:
    """How many tasks an entry ends."""
    match entry:
        case pb.Results():
            return len(entry.ends) // 4
        case Gap(lo, hi):
            return hi - lo
        case Unsent() | Kept():
            return 0
        case _:
            return 1
