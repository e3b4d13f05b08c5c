"""submit: calls are pickled where they are made, gathered into blocks, and their futures completed."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from manyhands.client.connection import Connection
from manyhands.client.data import Arrived
from manyhands.client.encoding import EncodedCall, Encoding
from manyhands.client.futures import Future, Outcome, settle
from manyhands.client.gathering import OpenBlock
from manyhands.client.jobs import Job, Keeper, cancels, open_job
from manyhands.client.options import Options
from manyhands.client.refs import Ref
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.blocks import BLOCK_BYTES, unpack_ends
from manyhands.wire.errors import EncodeError
from manyhands.wire.spans import Span, SpanSet

#: Seconds after which a lone task that had not been sent was kept waiting by a caller that held the interpreter's lock.
LATE = 0.002

#: Seconds that the first question whether a task runs waits for the master's answer.
WATCH_TIMEOUT = 1.0


class SubmitStream:
    """The submits of one client and option set: one job, begun anew should the master forget it.

    The job is sealed when nobody holds the stream any more.
    """

    def __init__(self, connection: Connection, encoding: Encoding, options: Options) -> None:
        self._connection = connection
        self._encoding = encoding
        self._options = options
        self._lock = threading.Lock()
        self._job: SubmitJob | None = None

    def __del__(self) -> None:
        if self._job is not None and self._connection.forked is None:
            self._job.end()

    def submit(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        """From any thread; see `Client.submit`. Does not wait for room."""
        self._connection.check_open()
        return self._send(function, args, kwargs, None)

    def _send(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], key: bytes | None
    ) -> Future[Any]:
        """key: under which the result is to be kept."""
        if self._connection.data is not None:
            args, kwargs = self._connection.data.sharing.constants(args, kwargs)
        try:
            call = self._encoding.encode_call(function, args, kwargs, self._connection.share)
            context = self._encoding.context_hash(self._options)
        except EncodeError as error:
            return Future.failed(error)
        while True:
            job = self._job
            if job is None or job.is_over or job.context != context:
                job = self._begin(context)
            if job.keeper is not None:
                job.keeper.know(call.target.blobs)
                job.keeper.know(call.blobs)
            future = job.add(call, key)
            if future is not None:
                return future

    @property
    def is_current(self) -> bool:
        """Whether it may be used by another view."""
        return True

    def flush(self) -> None:
        """Return when the results that have arrived, and are to be kept, are stored. Raises CheckpointError."""

    def _make_keeper(self) -> Keeper | None:
        return None

    def _begin(self, context: bytes) -> SubmitJob:
        with self._lock:
            latest = self._job
            if latest is not None and not latest.is_over and latest.context == context:
                return latest
            connection = self._connection
            definitions = self._encoding.encode_options(self._options)
            keeper, keeps = self._make_keeper(), self._options.keep_results
            job = SubmitJob(connection, self._encoding, keeper, definitions.context, keeps=keeps)
            opening = open_job(job.number, self._options, "submit", definitions, metered=False)
            connection.post_job(job, opening, definitions.blobs)
            self._job = job
            if latest is not None:
                latest.end()
            return job


class SubmitJob(Job):
    """The job behind a stream, and the owner of its futures."""

    def __init__(
        self,
        connection: Connection,
        encoding: Encoding,
        keeper: Keeper | None = None,
        context: bytes = b"",
        *,
        keeps: bool = False,
    ) -> None:
        """keeps: results are Refs."""
        super().__init__(connection.next_job_number())
        self._keeps = keeps
        #: The hash of what sets up its tasks' context.
        self.context = context
        #: If the results are to be kept.
        self.keeper = keeper
        self._connection = connection
        self._encoding = encoding
        # Reentrant only so that a finalizer which submits is told instead of blocked for ever.
        self._lock = threading.RLock()
        self._adding = False
        self._is_over = False
        self._blocks: deque[OpenBlock] = deque()  # the last one is still open
        self._is_posted = False  # `_flush` has been posted and not begun
        self._posted_at = 0.0  # when that was
        self._lone = -1  # the latest task that was submitted while there was no other
        #: Whether who submits a lone task computes on, rather than wait for it: as he did last time.
        self._computes_on = True
        self._pending: dict[int, Future[Any]] = {}
        self._cancelled: deque[int] = deque()
        #: What has been sent to workers, once somebody has asked.
        self._dispatched: SpanSet | None = None
        self._dispatched_known = threading.Event()

    @property
    def is_over(self) -> bool:
        """Whether it takes no more tasks: the master has forgotten it, or knows that there are no more."""
        return self._is_over

    # ------------------------------------------------------------ from any thread

    def add(self, call: EncodedCall, key: bytes | None = None) -> Future[Any] | None:
        """From any thread: one more task, the result to be kept under `key`; None if the job is over."""
        with self._lock:
            if self._adding:
                raise RuntimeError("a finalizer called submit while its own thread was submitting")
            self._adding = True
            try:
                self._connection.check_open()
                if self._is_over:
                    return None
                index = self.posted
                is_alone = not self._pending
                if self.keeper is not None and key is not None:
                    self.keeper.expect(index, key)
                try:
                    future = self._add(call)
                except BaseException:
                    self._take_back(index)
                    raise
            finally:
                self._adding = False
        self._connection.room.count_unsent(len(call.item))
        if is_alone:
            self._lone = index
            if self._computes_on:
                self._connection.hand_over()
        return future

    def _add(self, call: EncodedCall) -> Future[Any]:
        index = self.posted
        blocks = self._blocks
        if not blocks or blocks[-1].size >= BLOCK_BYTES or blocks[-1].target is not call.target:
            blocks.append(OpenBlock(call.target, index))
        blocks[-1].add(call.item, call.blobs, call.handles)
        future: Future[Any] = Future(self, index)
        self._pending[index] = future
        self.posted = index + 1
        if not self._is_posted:
            self._is_posted = True
            self._posted_at = time.monotonic()
            self._connection.background.post(self._flush)
        return future

    def _take_back(self, index: int) -> None:
        """Ctrl-C struck in the middle of `_add`: undo what it did, or all later indices would be off by one."""
        self._is_posted = False  # perhaps it is; flushing once more does no harm
        self.posted = index
        self._pending.pop(index, None)
        blocks = self._blocks
        if blocks:
            blocks[-1].cut_to(index - blocks[-1].first)
            if not blocks[-1].count:
                blocks.pop()

    def end(self) -> None:
        """From any thread, a finalizer's too: nobody submits any more."""
        if not self._is_over:
            self._connection.background.post(self._seal)

    def cancel(self, index: int) -> None:
        """From any thread: a future was cancelled."""
        self._cancelled.append(index)
        self._connection.background.post(self._send_cancelled)

    def is_dispatched(self, index: int) -> bool:
        """See Owner."""
        connection = self._connection
        connection.check_forked()
        with self._lock:
            is_first = self._dispatched is None
            if self._dispatched is None:
                self._dispatched = SpanSet()
        if is_first:
            connection.post(self, pb.Body(watch=pb.Watch(job=self.number)))
            if not connection.background.is_current:
                self._dispatched_known.wait(WATCH_TIMEOUT)
        with self._lock:
            return index in self._dispatched

    def decode(self, outcome: Outcome) -> tuple[Any, BaseException | None]:
        """See Owner."""
        data = self._connection.data
        if self._keeps and isinstance(outcome, bytes) and data is not None:
            return data.ref_of(outcome), None
        return self._encoding.decode_outcome(outcome)

    def check_forked(self) -> None:
        """See Owner."""
        self._connection.check_forked()

    def is_awaited(self, index: int) -> None:
        """See Owner."""
        if index == self._lone:
            self._computes_on = False

    def stop_intake(self) -> None:
        """See Job. The refusal stands already; this waits for those who have passed it."""
        with self._lock:
            pass

    def read_no_more(self) -> None:
        """See Job. Futures are not limited by who reads them."""

    def cancel_open(self, *, spare_running: bool) -> None:
        """See Job."""
        for body in cancels(self.number, sorted(self._pending), spare_running=spare_running):
            self._connection.send(self, body)

    def give_up_open(self, *, spare_running: bool) -> None:
        """See Job."""
        with self._lock:
            spared = SpanSet(self._dispatched or ()) if spare_running else SpanSet()
        self.on_cancelled([(index, index + 1) for index in self._pending if index not in spared])

    # ------------------------------------------------------------ on the loop's thread

    def _flush(self) -> None:
        with self._lock:
            self._is_posted = False
            blocks, self._blocks = self._blocks, deque()
        if time.monotonic() - self._posted_at > LATE:
            self._computes_on = True
        for block in blocks:
            self._connection.send_block(self, block)

    def _seal(self) -> None:
        if not self._is_over:
            self._flush()
            self._is_over = True
            self._connection.send(self, pb.Body(seal_job=pb.SealJob(job=self.number, total=self.posted)))
            self._connection.count_ended(self, 0)

    def _send_cancelled(self) -> None:
        indices = []
        while self._cancelled:
            index = self._cancelled.popleft()
            if self._pending.pop(index, None) is not None:  # otherwise it has ended meanwhile
                indices.append(index)
                if self.keeper is not None:
                    self.keeper.skip(index, index + 1)
        if indices:
            indices.sort()
            self._flush()  # a cancel must not overtake its block
            for body in cancels(self.number, indices):
                self._connection.send(self, body)
            self._connection.count_ended(self, len(indices))

    def on_results(self, message: pb.Results) -> None:
        """See Job."""
        payload, base, start = message.payload, message.base, 0
        take = self._pending.pop
        ended: list[tuple[Future[Any], Outcome]] = []
        refs = self._adopted(message)
        for index, absolute in enumerate(unpack_ends(message.ends), message.first):
            end = absolute - base
            future = take(index, None)
            if future is not None:  # otherwise it was cancelled
                outcome = payload[start:end]
                if refs is not None:
                    outcome = Arrived.of(outcome, refs.get(index), self.blobs)
                ended.append((future, outcome))
                if self.keeper is not None:
                    self.keeper.keep(index, payload[start:end])
            start = end
        self._connection.count_ended(self, len(ended), seconds=message.seconds, completed=True)
        settle(ended)

    def _adopted(self, message: pb.Results) -> dict[int, Ref[Any]] | None:
        """By index, what has stayed in a store; None if these are but values."""
        data = self._connection.data
        return data.adopt(message, self.blobs) if data is not None and (message.stored or self._keeps) else None

    def on_failure(self, message: pb.Failure) -> None:
        """See Job."""
        future = self._pending.pop(message.index, None)
        if future is not None:
            if self.keeper is not None:
                self.keeper.skip(message.index, message.index + 1)
            self._connection.count_ended(self, 1, seconds=message.seconds, completed=True)
            settle([(future, message)])

    def on_cancelled(self, spans: Sequence[Span]) -> None:
        """See Job."""
        take = self._pending.pop
        indices = [index for lo, hi in spans for index in range(lo, hi)]
        found = [(index, future) for index in indices if (future := take(index, None)) is not None]
        self._connection.count_ended(self, len(found))
        for index, future in found:
            if self.keeper is not None:
                self.keeper.skip(index, index + 1)
            future.finish_cancelled()

    def on_new_master(self) -> None:
        """See Job."""
        if self._dispatched is not None:
            self._connection.send(self, pb.Body(watch=pb.Watch(job=self.number)))

    def on_dispatched(self, spans: Sequence[Span]) -> None:
        """See Job."""
        with self._lock:
            if self._dispatched is not None:
                for lo, hi in spans:
                    self._dispatched.add(lo, hi)
        self._dispatched_known.set()

    def fail(self, cause: BaseException) -> None:
        """See Job."""
        with self._lock:
            self._is_over = True
            blocks, self._blocks = self._blocks, deque()
        self._connection.room.count_unsent(-sum(block.size for block in blocks))
        pending, self._pending = self._pending, {}
        settle([(future, cause) for future in pending.values()])
        self.ended = self.posted
