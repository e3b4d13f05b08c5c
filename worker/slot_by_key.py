"""The tasks of map_reduce_by_key in a slot: a leaf's items into the host's store, a partition's segments out of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, Protocol

from manyhands.wire.pair_chunks import Buffer, Pairs
from manyhands.wire.segments import ID_BYTES, Grouped, read_merge
from manyhands.worker.grouping import group
from manyhands.worker.key_table import Encode
from manyhands.worker.merging import gather, merge


class Store(Protocol):
    """See HostStore."""

    def put(self, id: bytes, parts: Sequence[Buffer]) -> None: ...

    def map(self, id: bytes, offset: int = 0, length: int | None = None) -> memoryview: ...


def run_group(
    map_fn: Callable[[Any], Any],
    reduce_fn: Callable[[Any, Any], Any],
    parts: Iterator[Any],
    encode: Encode,
    store: Store,
) -> Grouped:
    """A leaf: (index of its first item, partitions), then lists of items. Raises as `group` does.

    Its datum is in the store, unless there is nothing in it.
    """
    first, partitions = next(parts)
    segments = group(map_fn, reduce_fn, chain.from_iterable(parts), partitions, encode, first=first)
    grouped = Grouped(os.urandom(ID_BYTES), tuple([sum(map(len, segment)) for segment in segments]))
    if any(grouped.lengths):
        store.put(grouped.id, [buffer for segment in segments for buffer in segment])
    return grouped


def run_merge(
    reduce_fn: Callable[[Any, Any], Any],
    item: Buffer,
    decode: Callable[[Buffer], Any],
    encode: Encode,
    store: Store,
) -> Pairs:
    """A partition: see wire.segments. Raises DataMissing, and as `merge` does."""
    partitions, segments = read_merge(item)
    mapped = (store.map(*segment) for segment in segments)  # one after the other, as they are read
    return gather(merge(reduce_fn, mapped, partitions, decode, encode))
