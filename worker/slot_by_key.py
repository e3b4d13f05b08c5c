"""What a slot does with a leaf of a reduction by key, and with the segments of a partition: its two calls."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from manyhands.wire.pair_chunks import Buffer, Pairs
from manyhands.wire.segments import INLINE_BYTES, Grouped, Segment, read_merge
from manyhands.worker.grouping import group
from manyhands.worker.key_table import Encode
from manyhands.worker.merging import gather, merge

# pb.Call, as in `slot_calls`.
GROUP = 7
MERGE = 8

#: Each partition's segment, in several buffers.
Segments = list[list[Buffer]]
#: Writes a datum of that many bytes into the store; None: there is no room, or no store.
Put = Callable[[list[Buffer], int], bytes | None]
#: Part of a datum: from an offset on, so many bytes.
Map = Callable[[bytes, int, int], memoryview]


def group_leaf(
    map_fn: Callable[[Any], Any], reduce_fn: Callable[[Any, Any], Any], parts: Iterator[Any], encode: Encode
) -> Segments:
    """A leaf: (index of its first item, number of partitions), then lists of items. Raises as `group` does."""
    first, partitions = next(parts)
    return group(map_fn, reduce_fn, chain.from_iterable(parts), partitions, encode, first=first)


def keep(segments: Segments, put: Put) -> bytes:
    """Into the store, unless they are small; what the master is told of them. Raises OSError if that cannot be."""
    lengths = tuple([sum(map(len, segment)) for segment in segments])
    size = sum(lengths)
    if size <= INLINE_BYTES:
        return Grouped(lengths, content=b"".join(chain.from_iterable(segments))).pack()
    id = put(list(chain.from_iterable(segments)), size)
    if id is None:
        raise OSError(errno.ENOSPC, f"this host's store has no room for the {size} bytes that came of a leaf")
    return Grouped(lengths, id).pack()


def merge_partition(
    reduce_fn: Callable[[Any, Any], Any], item: Buffer, decode: Callable[[Buffer], Any], encode: Encode, map: Map
) -> Pairs:
    """A partition: see wire.segments. Raises as `merge` and `map` do."""
    partitions, segments = read_merge(item)
    mapped = (map(*each) if isinstance(each, Segment) else each for each in segments)  # as they are read
    return gather(merge(reduce_fn, mapped, partitions, decode, encode))
