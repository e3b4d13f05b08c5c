"""The leaves of a reduction: cuts items as `wire.leaves` says, and encodes each leaf as the item of one task."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import islice
from typing import Any

from manyhands.client.encoding import EncodedCall, Encoding
from manyhands.client.gathering import OpenBlock, Target
from manyhands.wire.blocks import BLOCK_BYTES
from manyhands.wire.errors import EncodeError
from manyhands.wire.leaves import GROWTH, GROWTH_BY_KEY, LEAF_BYTES, RUN_BYTES, leaf_length, run_length
from manyhands.wire.pickling import Share

#: A block is sent when this many seconds went into it, so that slow items do not keep the workers waiting.
BLOCK_SECONDS = 0.005


class Leaves:
    """Of one call; for one thread. `initial`: what the first one begins with, in a tuple, or (); `partitions`: with a
    reduction by key, how many there are, else 0.
    """

    def __init__(
        self,
        encoding: Encoding,
        target: Target,
        items: Iterable[Any],
        initial: tuple[Any, ...],
        partitions: int,
        share: Share | None,
    ) -> None:
        self._encoding = encoding
        self._target = target
        self._iterator = iter(items)
        self._has_ended = False
        self._initial = initial
        self._told = (partitions,) if partitions else ()
        self._growth = GROWTH_BY_KEY if partitions else GROWTH
        self._share = share
        #: Items taken from the iterator that did not fit.
        self._pending: list[Any] = []
        #: Items in leaves so far.
        self.position = 0
        #: Of the last run of items: how many, and their bytes.
        self._last = 1, RUN_BYTES

    @property
    def is_exhausted(self) -> bool:
        """Whether no more leaves will come."""
        return self._has_ended and not self._pending

    def block(self, first: int) -> OpenBlock:
        """The next leaves, `first` the number of the first; none if there are no more items, and nothing initial.

        Raises EncodeError for an item that cannot be pickled, and whatever the items' iterator raises.
        """
        block = OpenBlock(self._target, first)
        deadline = time.monotonic() + BLOCK_SECONDS
        while not self.is_exhausted and block.size < BLOCK_BYTES and time.monotonic() < deadline:
            parts = self._leaf()
            if parts:
                blobs = [blob for part in parts for blob in part.blobs]
                handles = [handle for part in parts for handle in part.handles]
                block.add(b"".join([part.item for part in parts]), blobs, handles)
        return block

    def _leaf(self) -> list[EncodedCall]:
        position = self.position
        begins_with = self._initial if not position else ()
        left, size = leaf_length(position, self._growth), 0
        runs: list[EncodedCall] = []
        while left and size < LEAF_BYTES and (items := self._take(run_length(left, *self._last))):
            runs.append(self._encode(items))
            left -= self._last[0]
            size += self._last[1]
        if not (runs or begins_with):
            return []
        return [self._encode_head(position, begins_with), *runs]

    def _take(self, count: int) -> list[Any]:
        items, self._pending = self._pending[:count], self._pending[count:]
        if not items and not self._has_ended:
            items = list(islice(self._iterator, count))
            self._has_ended = len(items) < count
        return items

    def _encode(self, items: list[Any]) -> EncodedCall:
        """As a list: as many of them as fit, and at least one."""
        while (run := self._try_encode(items)) is None:
            half = len(items) // 2
            self._pending = items[half:] + self._pending
            items = items[:half]
        self.position += len(items)
        self._last = len(items), len(run.item)
        return run

    def _try_encode(self, items: list[Any]) -> EncodedCall | None:
        """None if they are too much to be together. Raises EncodeError."""
        try:
            run = self._encode_part(items, "the items")
        except EncodeError:
            for index, item in enumerate(items, self.position):
                self._encode_part(item, f"item {index}")  # which raises the same, in the user's words
            if len(items) == 1:
                raise
            return None
        return run if len(run.item) <= LEAF_BYTES or len(items) == 1 else None

    def _encode_head(self, position: int, begins_with: tuple[Any, ...]) -> EncodedCall:
        try:
            return self._encode_part((position, *self._told, *begins_with), "the leaf")
        except EncodeError:
            for initial in begins_with:
                self._encode_part(initial, "the initial value")
            raise

    def _encode_part(self, part: Any, what: str) -> EncodedCall:
        return self._encoding.encode_part(part, self._target, what, self._share)
