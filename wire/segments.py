"""What the tasks of map_reduce_by_key tell one another by way of the master, who reads no pickles: packed numbers.

A leaf reports its datum: an id, and the length of each partition's segment in it, one behind the other. A merging task
is told by how many partitions the keys were cut, and its segments, in the order of the leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate
from struct import Struct
from typing import NamedTuple

from manyhands.wire.bounds import COUNT_MAX

ID_BYTES = 16
_LENGTH = Struct("<Q")
_PARTITIONS = Struct("<I")
_SEGMENT = Struct(f"<{ID_BYTES}sQQ")

#: Each is a task, and a column of what the master keeps of every leaf.
PARTITIONS_MAX = 1024

Buffer = bytes | memoryview


class SegmentsError(ValueError):
    """These bytes were packed by nobody of ours."""


class Segment(NamedTuple):
    """`length` bytes from `offset` on of a datum."""

    id: bytes
    offset: int
    length: int


class Grouped(NamedTuple):
    """A leaf's datum, and the lengths of its segments: one a partition, some of them 0."""

    id: bytes
    lengths: tuple[int, ...]

    def segments(self) -> list[Segment]:
        """Of each partition, where it is."""
        offsets = accumulate(self.lengths, initial=0)
        return [Segment(self.id, offset, length) for offset, length in zip(offsets, self.lengths, strict=False)]

    def pack(self) -> bytes:
        """As it travels."""
        return self.id + b"".join(map(_LENGTH.pack, self.lengths))

    @classmethod
    def read(cls, data: Buffer, partitions: int) -> Grouped:
        """The inverse of `pack`. Raises SegmentsError."""
        if len(data) != ID_BYTES + partitions * _LENGTH.size:
            raise SegmentsError(f"{len(data)} bytes do not tell of the segments of {partitions} partitions")
        lengths = tuple(length for (length,) in _LENGTH.iter_unpack(data[ID_BYTES:]))
        if sum(lengths) > COUNT_MAX:
            raise SegmentsError(f"no datum is {sum(lengths)} bytes long")
        return cls(bytes(data[:ID_BYTES]), lengths)


def pack_merge(partitions: int, segments: Iterable[Segment]) -> bytes:
    """A merging task's item."""
    return _PARTITIONS.pack(partitions) + b"".join(_SEGMENT.pack(*each) for each in segments)


def read_merge(data: Buffer) -> tuple[int, Iterator[Segment]]:
    """The inverse of `pack_merge`."""
    (partitions,) = _PARTITIONS.unpack_from(data)
    return partitions, map(Segment._make, _SEGMENT.iter_unpack(data[_PARTITIONS.size :]))
