"""Feeding a map that has a checkpoint: of the inputs that are pulled, only those without a result are sent."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from manyhands.client.checkpoint_store import Missing
from manyhands.client.checkpoints import Checkpoint, Keeper
from manyhands.client.connection import Connection
from manyhands.client.content_key import KEY_BYTES, content_keys
from manyhands.client.encoding import Encoding
from manyhands.client.feeding import BLOCK_SECONDS, MAX_COUNT, Feeder
from manyhands.client.gathering import OpenBlock
from manyhands.client.map_job import Kept, MapJob, Unsent
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.blocks import BLOCK_BYTES
from manyhands.wire.errors import EncodeError
from manyhands.wire.pickling import Feed

#: Inputs looked up together, at most, unless there is room for more tasks.
_MAX_PULL = 8192
#: Inputs pulled at once.
_MAX_STEP = 256
#: Runs of earlier results that wait for the reader, at most: each is a few numbers.
_MAX_ASIDE = 4096


class RecallingFeeder(Feeder):
    """As Feeder, for calls of `function` as `call` says. With `force`, earlier results are not looked for."""

    def __init__(
        self,
        connection: Connection,
        encoding: Encoding,
        job: MapJob,
        function: Callable[..., Any],
        call: pb.Call,
        inputs: Feed,
        buffersize: int | None,
        checkpoint: Checkpoint,
        *,
        context: Callable[[], Any] | None,
        force: bool,
        keep_unsent: bool,
    ) -> None:
        target = encoding.target(function, call)
        super().__init__(connection, encoding, job, target, inputs, buffersize, keep_unsent=keep_unsent)
        self._function = function
        self._call = call
        self._is_star = call == pb.CALL_STAR
        self._checkpoint = checkpoint
        self._force = force
        self._call_keys = content_keys().calls(function, context)
        self._keeper = job.keeper = Keeper(checkpoint)
        self._keeper.know(target.blobs)
        checkpoint.look_again()
        self._raw: list[Any] = []  # pulled
        # Pulled, with a key, but neither sent nor found so far: inputs and their keys; the number of the first of them.
        self._inputs: list[Any] = []
        self._keys = bytearray()
        self._first = 0
        self._unkeyed: EncodeError | None = None  # comes after them
        self._has_ended = False
        self._pull_count = 0  # grows while everything is found

    def top_up(self, taken: int, taken_bytes: int) -> None:
        """See Feeder."""
        if len(self.aside) < _MAX_ASIDE:
            super().top_up(taken, taken_bytes)

    def _send_block(self, max_count: int) -> None:
        try:
            self._keeper.wait_for_room()
            if not self._inputs and not self._is_drained:
                self._pull(max(max_count, self._pull_count))
            self._sort_out(max_count)
            if not self._inputs:
                if self._unkeyed is not None:
                    self.aside.append((self._job.posted, Unsent(self._unkeyed)))
                    self._unkeyed = None
                    self._first += 1
                if self._is_drained:
                    self._feed = None
                    self._job.seal()
        except BaseException:
            self._feed = None  # what was pulled cannot be sent any more
            raise

    def _pull(self, max_count: int) -> None:
        """More inputs, with their keys; up to one that has no content."""
        feed = self._feed
        assert feed is not None
        deadline = time.monotonic() + BLOCK_SECONDS
        step = 1  # more and more of those that come quickly
        while len(self._inputs) < max_count and time.monotonic() < deadline and not self._is_drained:
            if not self._raw:
                try:
                    self._raw.extend(islice(feed.iterator, step))
                    self._has_ended = len(self._raw) < step
                except Exception as raised:  # noqa: BLE001 - whatever the user's iterator raises
                    self.error, self._has_ended = raised, True
            keys, error = self._call_keys.of_items(self._raw, self._first + len(self._inputs), is_star=self._is_star)
            keyed = len(keys) // KEY_BYTES
            self._keys += keys
            self._inputs += self._raw[:keyed]
            del self._raw[:keyed]
            if error is not None:
                del self._raw[:1]
                if self._keep_unsent:
                    self._unkeyed = error
                else:
                    self._end(error)
                return
            step = min(2 * step, _MAX_STEP, max(1, max_count - len(self._inputs)))

    def _end(self, error: BaseException) -> None:
        """Pull nothing more; the error is raised when the results before it have been taken."""
        self.error, self._has_ended = error, True
        self._raw.clear()

    @property
    def _is_drained(self) -> bool:
        return self._has_ended and not self._raw

    def _sort_out(self, max_count: int) -> None:
        """Send what has no result, `max_count` at most; put aside what has one."""
        segments = [Missing(len(self._inputs))] if self._force else self._checkpoint.find(bytes(self._keys))
        lacking = _Lacking([], bytearray(), [])
        asides: deque[tuple[int, Kept]] = deque()  # each with how many lacking ones stand before it
        at = 0
        for segment in segments:
            if isinstance(segment, Missing):
                hi = min(at + segment.length, at + max_count - len(lacking.inputs))
                lacking.inputs.extend(self._inputs[at:hi])
                lacking.keys.extend(self._keys[KEY_BYTES * at : KEY_BYTES * hi])
                lacking.numbers.extend(range(self._first + at, self._first + hi))
                is_full = hi - at < segment.length
                at = hi
                if is_full:
                    break
            else:
                count = segment.hi - segment.lo
                asides.append((len(lacking.inputs), Kept(count, partial(self._checkpoint.outcomes, segment))))
                at += count
        self._pull_count = 0 if lacking.inputs else min(_MAX_PULL, max(2 * self._pull_count, max_count))
        self._send_lacking(lacking, asides)
        del self._inputs[:at], self._keys[: KEY_BYTES * at]
        self._first += at

    def _send_lacking(self, lacking: _Lacking, asides: deque[tuple[int, Kept]]) -> None:
        job = self._job
        feed = self._encoding.feed(self._target, self._function, self._call, lacking.inputs)
        while not feed.is_exhausted:
            before = feed.position
            block = OpenBlock(self._target, job.posted)
            try:
                encoded, blobs = self._encoding.encode_items(
                    self._target, feed, BLOCK_BYTES, MAX_COUNT, BLOCK_SECONDS, self._connection.share
                )
            except EncodeError as error:  # it has content, and yet cannot be pickled
                told = _numbered(error, lacking.numbers[before])
                self._put_aside(asides, before, 0)
                if not self._keep_unsent:
                    self._end(told)
                    self._inputs.clear()
                    return
                self.aside.append((job.posted, Unsent(told)))
                continue
            block.add_run(encoded.ends, encoded.payload, blobs, encoded.handles)
            self._put_aside(asides, before, block.count)
            if block.count:
                self._keeper.know(blobs)
                keys = lacking.keys[KEY_BYTES * before : KEY_BYTES * feed.position]
                self._keeper.expect(block.first, bytes(keys))
                self._fed_bytes += block.size
                job.post_block(block)
        self._put_aside(asides, len(lacking.inputs), 0)

    def _put_aside(self, asides: deque[tuple[int, Kept]], before: int, count: int) -> None:
        """What stands before or among the next `count` tasks; `before` of the lacking ones have been dealt with."""
        while asides and (asides[0][0] <= before or asides[0][0] < before + count):
            ordinal, kept = asides.popleft()
            self.aside.append((self._job.posted + ordinal - before, kept))


class _Lacking(NamedTuple):
    """Inputs without a result, their keys, and their numbers in the map."""

    inputs: list[Any]
    keys: bytearray
    numbers: list[int]


def _numbered(error: EncodeError, number: int) -> EncodeError:
    """The same of the input's number in the map."""
    told = type(error)(f"item {number}", error.path, error.culprit, error.reason, error.way_out)
    told.__cause__ = error.__cause__
    return told
