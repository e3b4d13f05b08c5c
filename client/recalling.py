"""Feeding a map that has a checkpoint: of the inputs that are pulled, only those without a result are sent."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

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
from manyhands.wire.errors import ContentError, EncodeError
from manyhands.wire.pickling import Feed

#: Inputs looked up together, at most, unless there is room for more tasks.
_MAX_PULL = 8192
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
        force: bool,
        keep_unsent: bool,
    ) -> None:
        target = encoding.target(function, call)
        super().__init__(connection, encoding, job, target, inputs, buffersize, keep_unsent=keep_unsent)
        self._function = function
        self._call = call
        self._checkpoint = checkpoint
        self._force = force
        self._call_keys = content_keys().calls(function)
        self._keeper = job.keeper = Keeper(checkpoint)
        self._keeper.know(target.blobs)
        checkpoint.writer.flush()  # so that what this process has computed a moment ago is found
        # Pulled, but neither sent nor found so far: inputs and their keys; the number of the first of them.
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
            if not self._inputs and not self._has_ended:
                self._pull(max(max_count, self._pull_count))
            self._sort_out(max_count)
            if not self._inputs:
                if self._unkeyed is not None:
                    self.aside.append((self._job.posted, Unsent(self._unkeyed)))
                    self._unkeyed = None
                    self._first += 1
                if self._has_ended:
                    self._feed = None
                    self._job.seal()
        except BaseException:
            self._feed = None  # what was pulled cannot be sent any more
            raise

    def _pull(self, max_count: int) -> None:
        feed = self._feed
        assert feed is not None
        is_item, key = self._call == pb.CALL_ITEM, self._call_keys.key
        deadline = time.monotonic() + BLOCK_SECONDS
        number = self._first
        try:
            for item in feed.iterator:
                self._keys += key((item,) if is_item else item, what=f"item {number}")
                self._inputs.append(item)
                number += 1
                if number - self._first >= max_count or time.monotonic() > deadline:
                    return
        except Exception as error:  # noqa: BLE001 - of the user's iterator, or an input that has no content
            if self._keep_unsent and isinstance(error, ContentError):
                self._unkeyed = error
                return
            self.error = error
        self._has_ended = True

    def _sort_out(self, max_count: int) -> None:
        """Send what has no result, `max_count` at most; put aside what has one."""
        segments = [Missing(len(self._inputs))] if self._force else self._checkpoint.find(bytes(self._keys))
        lacking: list[int] = []  # positions in `_inputs`
        asides: deque[tuple[int, Kept]] = deque()  # each with how many lacking ones stand before it
        at = 0
        for segment in segments:
            if isinstance(segment, Missing):
                count = min(segment.length, max_count - len(lacking))
                lacking += range(at, at + count)
                at += count
                if count < segment.length:
                    break
            else:
                count = segment.hi - segment.lo
                asides.append((len(lacking), Kept(count, partial(self._checkpoint.outcomes, segment))))
                at += count
        self._pull_count = 0 if lacking else min(_MAX_PULL, max(2 * self._pull_count, max_count))
        self._send_lacking(lacking, asides)
        del self._inputs[:at], self._keys[: KEY_BYTES * at]
        self._first += at

    def _send_lacking(self, lacking: list[int], asides: deque[tuple[int, Kept]]) -> None:
        inputs, keys, job = self._inputs, self._keys, self._job
        feed = self._encoding.feed(self._target, self._function, self._call, [inputs[at] for at in lacking])
        while not feed.is_exhausted:
            before = feed.position
            block = OpenBlock(self._target, job.posted)
            try:
                encoded, blobs = self._encoding.encode_items(self._target, feed, BLOCK_BYTES, MAX_COUNT, BLOCK_SECONDS)
            except EncodeError as error:  # it has content, and yet cannot be pickled
                self._put_aside(asides, before, 0)
                if not self._keep_unsent:
                    self.error, self._has_ended = self._numbered(error, lacking[before]), True
                    self._inputs.clear()
                    return
                self.aside.append((job.posted, Unsent(self._numbered(error, lacking[before]))))
                continue
            block.add_run(encoded.ends, encoded.payload, blobs)
            self._put_aside(asides, before, block.count)
            if block.count:
                sent = lacking[before : feed.position]
                self._keeper.know(blobs)
                self._keeper.expect(block.first, b"".join([keys[KEY_BYTES * at : KEY_BYTES * (at + 1)] for at in sent]))
                self._fed_bytes += block.size
                job.post_block(block)
        self._put_aside(asides, len(lacking), 0)

    def _put_aside(self, asides: deque[tuple[int, Kept]], before: int, count: int) -> None:
        """What stands before or among the next `count` tasks; `before` of the lacking ones have been dealt with."""
        while asides and (asides[0][0] <= before or asides[0][0] < before + count):
            ordinal, kept = asides.popleft()
            self.aside.append((self._job.posted + ordinal - before, kept))

    def _numbered(self, error: EncodeError, at: int) -> EncodeError:
        """The same of the input's number in the map."""
        told = type(error)(f"item {self._first + at}", error.path, error.culprit, error.reason, error.way_out)
        told.__cause__ = error.__cause__
        return told
