"""What somebody needs of the data kept in the cluster: a datum, or a range of one."""

from __future__ import annotations

from typing import NamedTuple

from manyhands.protos import manyhands_pb2 as pb


class Need(NamedTuple):
    """`length` bytes of a datum from `offset` on; length 0: all of it."""

    id: bytes
    offset: int = 0
    length: int = 0

    @classmethod
    def of(cls, message: pb.DataNeed) -> Need:
        """The inverse of `message`."""
        return cls(message.id, message.offset, message.length)

    @property
    def is_whole(self) -> bool:
        """Whether who has that has the datum."""
        return not self.length

    def message(self) -> pb.DataNeed:
        """For the wire."""
        return pb.DataNeed(id=self.id, offset=self.offset, length=self.length)

    def range_in(self, size: int) -> tuple[int, int]:
        """First byte and the one behind the last, of a datum of `size` bytes."""
        return (self.offset, self.offset + self.length) if self.length else (0, size)
