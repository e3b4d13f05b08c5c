"""Feeding a map: pulls its inputs, encodes them and posts them as blocks, in the thread that calls or iterates."""

from __future__ import annotations

import time
from collections import deque
from typing import Protocol

from manyhands.client.connection import Connection
from manyhands.client.encoding import Encoding
from manyhands.client.gathering import OpenBlock, Target
from manyhands.client.map_job import Kept, MapJob, Unsent
from manyhands.wire.blocks import BLOCK_BYTES
from manyhands.wire.errors import EncodeError
from manyhands.wire.pickling import Feed

#: Inputs in the first block: the first task starts while the rest is still being encoded.
FIRST_COUNT = 32
#: Inputs in any other block, at most.
MAX_COUNT = 1 << 16
#: A block is sent when this many seconds went into it, so that slow inputs do not keep the workers waiting.
BLOCK_SECONDS = 0.005
#: A lazily fed map aims to be this many seconds ahead of whoever takes its results,
AHEAD_SECONDS = 1.0
#: at least so many tasks a slot, as far as they fit into so many bytes,
AHEAD_PER_SLOT = 4
AHEAD_FLOOR_BYTES = 64 << 20
#: and at most so many bytes of inputs and results not taken yet.
AHEAD_BYTES = 8 << 20
#: Beside its encoded bytes a task costs its offsets, twice.
_ITEM_OVERHEAD_BYTES = 16


class Window:
    """How many tasks may be on their way at once. Pure; time is an argument.

    The pace follows the reader: what it took lately is what it may have on order for a second. A fast
    reader thereby doubles the window quickly, a slow one is not buried.
    """

    def __init__(self, fixed: int | None, now: float) -> None:
        self._fixed = fixed
        self._rate = 0.0  # tasks a second, as read
        self._since = now
        self._taken = 0

    def size(self, taken: int, item_bytes: float, slots: int, now: float) -> int:
        """Tasks, given how many were `taken` so far and what each costs on the way."""
        if self._fixed is not None:
            return self._fixed
        elapsed = now - self._since
        if elapsed >= 0.02 and taken > self._taken:
            self._rate = (taken - self._taken) / elapsed
            self._since, self._taken = now, taken
        each = item_bytes + _ITEM_OVERHEAD_BYTES
        floor = min(AHEAD_PER_SLOT * slots, max(1, int(AHEAD_FLOOR_BYTES / each)))
        return max(floor, min(int(self._rate * AHEAD_SECONDS), int(AHEAD_BYTES / each)))


class Feeding(Protocol):
    """Where the inputs of a map come from, as its reader sees it. See Feeder."""

    error: BaseException | None

    @property
    def aside(self) -> deque[tuple[int, Unsent | Kept]]: ...
    @property
    def is_exhausted(self) -> bool: ...
    def feed_all(self) -> None: ...
    def feed_some(self) -> None: ...
    def top_up(self, taken: int, taken_bytes: int) -> None: ...
    def close(self) -> None: ...


class Feeder:
    """The inputs of one map. Belongs to one thread at a time."""

    def __init__(
        self,
        connection: Connection,
        encoding: Encoding,
        job: MapJob,
        target: Target,
        feed: Feed,
        buffersize: int | None,
        *,
        keep_unsent: bool = False,
    ) -> None:
        self._connection = connection
        self._encoding = encoding
        self._job = job
        self._target = target
        self._feed: Feed | None = feed
        self._window = Window(buffersize, time.monotonic())
        self._fed_bytes = 0
        self._keep_unsent = keep_unsent
        #: What stands among the results without a task, each with the number of tasks before it: with `keep_unsent`
        #: inputs that could not be pickled, and what an earlier run has left in a checkpoint.
        self.aside: deque[tuple[int, Unsent | Kept]] = deque()
        #: What ended the inputs before their own end: to be raised when the results before it have been taken.
        self.error: BaseException | None = None

    @property
    def is_exhausted(self) -> bool:
        """Whether no more inputs will be pulled."""
        return self._feed is None

    def feed_all(self) -> None:
        """Pull and send everything; waits while the master lags too far behind.

        What it has no room for before results are read is left to who reads them.
        """
        if self._feed is not None:
            self._send_block(FIRST_COUNT)
            self._connection.hand_over()
        while self._feed is not None:
            self._connection.wait_for_room()
            if self._job.is_stalled and self._connection.room.is_full:
                return
            self.feed_some()

    def feed_some(self) -> None:
        """Pull and send another block; without waiting for room."""
        if self._feed is not None:
            self._send_block(MAX_COUNT)

    def top_up(self, taken: int, taken_bytes: int) -> None:
        """Pull as much as the window allows, given how many results were taken, and their bytes.

        Slow inputs are pulled one block at a time, so that results that are there do not wait for them.
        """
        job = self._job
        if self._feed is None or job.failure is not None or job.is_sealed:
            return
        # Results that are still to come bring us here again; without any we go on, a block at a time.
        is_full = self._connection.room.is_full
        if is_full and job.posted > taken:
            return
        started = time.monotonic()
        per_input = self._fed_bytes / job.posted if job.posted else 64.0
        per_result = taken_bytes / taken if taken else 0.0
        slots = max(1, self._connection.cluster.slots)
        room = taken + self._window.size(taken, per_input + per_result, slots, started) - job.posted
        # In proportion, not for every single result, or each would make a block of its own.
        if room * 4 < job.posted - taken:
            return
        while room > 0 and self._feed is not None:
            before = job.posted
            self._send_block(min(MAX_COUNT, room))
            room -= max(1, job.posted - before)
            if is_full or (time.monotonic() - started > BLOCK_SECONDS and (job.has_arrived or self.aside)):
                return

    def close(self) -> None:
        """Pull nothing more."""
        self._feed = None

    def _send_block(self, max_count: int) -> None:
        """Pull some inputs and send them as a block. Raises what new work is refused with, if it is."""
        feed = self._feed
        assert feed is not None
        block = OpenBlock(self._target, self._job.posted)
        try:
            encoded, blobs = self._encoding.encode_items(
                self._target, feed, BLOCK_BYTES, max_count, BLOCK_SECONDS, self._connection.share
            )
        except Exception as error:  # noqa: BLE001 - of the user's iterator, or an input that cannot be pickled
            if self._keep_unsent and isinstance(error, EncodeError):
                self.aside.append((self._job.posted, Unsent(error)))
                if feed.is_exhausted:
                    self._feed = None
            else:
                self.error = error
                self._feed = None
        else:
            block.add_run(encoded.ends, encoded.payload, blobs, encoded.handles)
            if feed.is_exhausted:
                self._feed = None
        try:
            if block.count:
                self._fed_bytes += block.size
                self._job.post_block(block)
            if self._feed is None:
                self._job.seal()
        except BaseException:
            self._feed = None  # what was pulled cannot be sent any more
            raise
