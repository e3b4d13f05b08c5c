"""What the tasks of map_reduce_by_key tell one another by way of the master, who reads no pickles: packed numbers.

A leaf reports its datum: an id, and the length of each partition's segment in it, one behind the other; what is small
comes with the report instead. A merging task is told by how many partitions the keys were cut, and its segments, in the
order of the leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import Struct
from typing import NamedTuple

from manyhands.wire.bounds import COUNT_MAX

ID_BYTES = 16
#: That of no datum.
NO_ID = bytes(ID_BYTES)
_LENGTH = Struct("<Q")
_PARTITIONS = Struct("<I")
_SEGMENT = Struct(f"<{ID_BYTES}sQQ")

#: Each is a task, and a column of what the master keeps of every leaf.
PARTITIONS_MAX = 1024

#: What came of a leaf is no datum if it has no more bytes: to keep it and to look for it would take longer than to
#: send it along, and the master holds it until all leaves are here.
INLINE_BYTES = 4096

Buffer = bytes | memoryview


class SegmentsError(ValueError):
    """These bytes were packed by nobody of ours."""


class Segment(NamedTuple):
    """`length` bytes from `offset` on of a datum."""

    id: bytes
    offset: int
    length: int


#: A segment: where it is, or itself.
Part = Segment | bytes


class Grouped(NamedTuple):
    """What came of a leaf: the lengths of its segments, one a partition, and the datum with them; or, if they are
    small, the segments themselves, and no id.
    """

    lengths: tuple[int, ...]
    id: bytes = NO_ID
    content: bytes = b""

    def pack(self) -> bytes:
        """As it travels."""
        return self.id + b"".join(map(_LENGTH.pack, self.lengths)) + self.content

    @classmethod
    def read(cls, data: bytes, partitions: int) -> Grouped:
        """The inverse of `pack`. Raises SegmentsError."""
        begin = ID_BYTES + partitions * _LENGTH.size
        if len(data) < begin:
            raise SegmentsError(f"{len(data)} bytes do not tell of the segments of {partitions} partitions")
        lengths = tuple([length for (length,) in _LENGTH.iter_unpack(data[ID_BYTES:begin])])
        grouped = cls(lengths, data[:ID_BYTES], data[begin:])
        size = sum(lengths)
        if len(grouped.content) != (size if grouped.id == NO_ID else 0):
            raise SegmentsError(f"segments of {size} bytes came with {len(grouped.content)} bytes")
        if size > COUNT_MAX:
            raise SegmentsError(f"no datum is {size} bytes long")
        return grouped


def pack_merge(partitions: int, parts: Iterable[Part]) -> bytes:
    """A merging task's item."""
    packed = [_PARTITIONS.pack(partitions)]
    for part in parts:
        if isinstance(part, Segment):
            packed.append(_SEGMENT.pack(*part))
        else:
            packed += (_SEGMENT.pack(NO_ID, 0, len(part)), part)
    return b"".join(packed)


def read_merge(data: Buffer) -> tuple[int, Iterator[Segment | memoryview]]:
    """The inverse of `pack_merge`."""
    view = memoryview(data)
    (partitions,) = _PARTITIONS.unpack_from(view)
    return partitions, _read_parts(view[_PARTITIONS.size :])


def _read_parts(view: memoryview) -> Iterator[Segment | memoryview]:
    begin = 0
    while begin < len(view):
        segment = Segment._make(_SEGMENT.unpack_from(view, begin))
        begin += _SEGMENT.size
        if segment.id != NO_ID:
            yield segment
        else:
            yield view[begin : begin + segment.length]
            begin += segment.length
