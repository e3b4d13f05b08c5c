"""A block in the making: encoded tasks of one function, gathered until it is sent."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.blocks import pack_ends
from manyhands.wire.pickling import Handle, Handles

#: (hash, blob) of a definition.
Blob = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Target:
    """What the tasks of a block call, and how."""

    function: bytes  # hash; empty with CALL_APPLY
    call: pb.Call
    #: The definition and those it refers to.
    blobs: tuple[Blob, ...]


class OpenBlock:
    """Tasks of one target, in order."""

    __slots__ = ("_blobs", "_ends", "_parts", "first", "handles", "size", "target")

    def __init__(self, target: Target, first: int) -> None:
        self.target = target
        #: The index of its first task.
        self.first = first
        #: Payload bytes so far.
        self.size = 0
        self._ends = array("I")
        self._parts: list[bytes] = []
        self._blobs: dict[bytes, bytes] = {}
        #: The data that it refers to, by id.
        self.handles: Handles = {}

    @property
    def count(self) -> int:
        """How many tasks."""
        return len(self._ends)

    def add(self, item: bytes, blobs: Sequence[Blob], handles: Sequence[Handle] = ()) -> None:
        """Append one encoded task, and the definitions and data it refers to."""
        self.size += len(item)
        self._ends.append(self.size)
        self._parts.append(item)
        if blobs:
            self._blobs.update(blobs)
        for handle in handles:
            self.handles[handle.id] = handle

    def cut_to(self, count: int) -> None:
        """Keep only the first `count` tasks, all of them added one by one."""
        del self._ends[count:]
        del self._parts[count:]
        self.size = self._ends[-1] if count else 0

    def add_run(self, ends: array[int], payload: bytes, blobs: Sequence[Blob], handles: Sequence[Handle] = ()) -> None:
        """Append many encoded tasks; `ends` count from the payload's start."""
        base = self.size
        self._ends.extend(ends if not base else array("I", [base + end for end in ends]))
        self._parts.append(payload)
        self.size = base + len(payload)
        if blobs:
            self._blobs.update(blobs)
        for handle in handles:
            self.handles[handle.id] = handle

    def blobs(self) -> list[Blob]:
        """Every definition that the block refers to."""
        return [*self.target.blobs, *self._blobs.items()]

    def body(self, job: int) -> pb.Body:
        """The finished block, as one of `job`."""
        target = self.target
        body = pb.Body()
        block = body.block  # filled in place: a message given to a constructor is copied
        block.job = job
        block.first = self.first
        block.ends = pack_ends(self._ends)
        block.payload = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        block.function = target.function
        block.call = target.call
        block.definitions.extend([digest for digest, _ in self.blobs() if digest != target.function])
        for id in self.handles:
            block.data.add(id=id)
        return body
