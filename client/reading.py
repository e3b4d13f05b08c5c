"""Reading a map: takes runs of results as they arrive, decodes them where they are wanted, keeps the window full."""

from __future__ import annotations

import concurrent.futures
import pickle
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

from manyhands.client.connection import Connection
from manyhands.client.data import Arrived
from manyhands.client.encoding import Encoding, items_of, undecodable
from manyhands.client.feeding import Feeding
from manyhands.client.map_job import Entry, Gap, Kept, MapJob, Unsent, count_of
from manyhands.client.progress import Progress
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.errors import CheckpointError

#: What takes the place of an exception among the results.
StandIn = Callable[[BaseException], Any]

#: The master is told what the reader has taken in steps of so many bytes.
CONSUMED_STEP_BYTES = 1 << 20


class Reader:
    """One map's results, taken by one thread at a time."""

    def __init__(
        self,
        connection: Connection,
        encoding: Encoding,
        job: MapJob,
        feeder: Feeding,
        stand_in: StandIn | None,
        *,
        keeps: bool = False,
    ) -> None:
        """keeps: results are Refs."""
        self._keeps = keeps
        self._connection = connection
        self._encoding = encoding
        self._job = job
        self.feeder = feeder
        self._stand_in = stand_in
        #: Results taken so far, and their bytes.
        self.taken = 0
        self._taken_bytes = 0
        self._told_bytes = 0
        self._aside_taken = 0  # values without a task that were taken since the last entry
        self._is_ended = False

    def poll(self) -> Entry | None:
        """What has arrived next; None if nothing has. Raises what ended the map early; see `is_ended` for its end."""
        self._connection.check_forked()
        job, feeder = self._job, self.feeder
        if not feeder.is_exhausted:
            try:
                feeder.top_up(self.taken, self._taken_bytes)
            except RuntimeError as refused:  # shut down: what was sent before still counts
                feeder.error = refused
        if feeder.aside and (feeder.aside[0][0] <= self.taken or not job.is_ordered):
            return feeder.aside.popleft()[1]
        entry = job.take()
        if entry is not None:
            return entry
        if job.failure is not None:
            self._is_ended = True
            raise job.failure
        if self._has_taken_all:
            self._is_ended = True
            if feeder.error is not None:
                raise feeder.error
            if not feeder.is_exhausted:
                raise RuntimeError("the client was shut down before all inputs of this map were pulled")
        return None

    @property
    def _has_taken_all(self) -> bool:
        return self._job.is_sealed and self.taken == self._job.posted

    @property
    def is_ended(self) -> bool:
        """Whether everything has been taken, or nothing more will come."""
        return self._is_ended

    def values(self, entry: Entry) -> Iterator[Any]:
        """Decode an entry's results, lazily. Raises what a failed task raised, CancelledError for a cancelled one,
        unless something stands in for it.
        """
        if isinstance(entry, pb.Results):
            return self._run_values(entry)
        if isinstance(entry, Kept):
            self._aside_taken += entry.length
            self._connection.stats.recalled(entry.length)
            return self._decoded(entry.outcomes())
        if self._stand_in is not None:
            return self._stand_ins(entry, self._stand_in)
        if isinstance(entry, Gap):
            raise concurrent.futures.CancelledError
        assert isinstance(entry, pb.Failure), "only a stand-in has inputs left out"
        _, exception = self._encoding.decode_outcome(entry)
        assert exception is not None
        try:
            raise exception
        finally:
            del exception  # or its traceback and this frame keep each other alive

    def _run_values(self, run: pb.Results) -> Iterator[Any]:
        if self._keeps and self._connection.data is not None:
            refs = self._job.refs.get(run.first, {})
            data, blobs = self._connection.data, self._job.blobs
            outcomes = [Arrived.of(item, refs.get(index), blobs) for index, item in enumerate(items_of(run), run.first)]
            return map(data.ref_of, outcomes)
        aside = self.feeder.aside
        if aside and self._job.is_ordered and aside[0][0] < self.taken + count_of(run):
            return self._with_asides(self._decoded(items_of(run)))
        return self._encoding.decode_run(run) if self._stand_in is None else self._decoded(items_of(run))

    def _with_asides(self, values: Iterator[Any]) -> Iterator[Any]:
        """The values of a run, and between them what stands aside of the tasks there."""
        aside = self.feeder.aside
        for index, value in enumerate(values, self.taken):
            while aside and aside[0][0] == index:
                yield from self.values(aside.popleft()[1])
            yield value

    def _decoded(self, outcomes: list[bytes]) -> Iterator[Any]:
        """Raises whatever unpickling raises, unless something stands in for it."""
        stand_in = self._stand_in
        if stand_in is None:
            return map(pickle.loads, outcomes)
        decoded = self._encoding.decode_each(outcomes)
        return (value if exception is None else stand_in(exception) for value, exception in decoded)

    def _stand_ins(self, entry: Gap | Unsent | pb.Failure, stand_in: StandIn) -> Iterator[Any]:
        match entry:
            case Gap():
                for _ in range(entry.lo, entry.hi):
                    yield stand_in(concurrent.futures.CancelledError())
            case Unsent():
                self._aside_taken += 1
                yield stand_in(entry.error)
            case pb.Failure():
                _, exception = self._encoding.decode_outcome(entry)
                assert exception is not None
                yield stand_in(exception)

    def done_with(self, entry: Entry) -> int:
        """The entry's values have been taken; return how many, those aside of it included."""
        count = count_of(entry)
        self.taken += count
        count, self._aside_taken = count + self._aside_taken, 0
        if isinstance(entry, pb.Results):
            self._job.refs.pop(entry.first, None)
            self._taken_bytes += len(entry.payload)
            if self._taken_bytes - self._told_bytes >= CONSUMED_STEP_BYTES:
                self._told_bytes = self._taken_bytes
                self._job.consumed(self._taken_bytes)
        return count

    def wake_on_arrival(self, wake: Callable[[], None]) -> bool:
        """See MapJob.wake_on_arrival."""
        # The seal once more, as a shutdown in another thread may have come after `poll`.
        return self._job.wake_on_arrival(wake) and not self._has_taken_all

    def wait(self, deadline: float | None) -> None:
        """Block until `poll` is worth another try. Raises TimeoutError at `deadline`, a monotonic time."""
        arrival = threading.Lock()
        arrival.acquire()
        if not self.wake_on_arrival(arrival.release):
            return
        timeout = -1 if deadline is None else max(0.0, deadline - time.monotonic())
        if not arrival.acquire(timeout=timeout):
            raise TimeoutError

    def close(self, *, was_read: bool) -> None:
        """Nobody will read on: the rest is cancelled. What was never read runs to its end, as with any Executor."""
        self.feeder.close()
        if not self._is_ended:
            self._is_ended = True
            self._job.abandon(cancel=was_read)


def iterate(
    keep_alive: object, reader: Reader, deadline: float | None, progress: Progress | None
) -> Generator[Any, None, None]:
    """The results, after a first None that only starts the generator, so that its end is always noticed.

    While it lives, so does `keep_alive`: the client's session, which would not feed the map any more otherwise.
    """
    was_read = False
    try:
        yield None
        was_read = True
        while True:
            entry = reader.poll()
            if entry is None:
                if reader.is_ended:
                    return
                reader.wait(deadline)
                continue
            values = reader.values(entry)
            try:
                yield from values
            except CheckpointError:
                raise
            except Exception as error:
                raise undecodable(error) from error
            count = reader.done_with(entry)
            del entry
            if progress is not None:
                progress.add(count)
    finally:
        reader.close(was_read=was_read)
        if progress is not None:
            progress.close()
