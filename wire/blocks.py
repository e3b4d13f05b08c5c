"""The block codec: runs of tasks encoded together, split anywhere by slicing bytes."""

from __future__ import annotations

import sys
from array import array
from dataclasses import dataclass
from itertools import islice
from operator import le

from manyhands.protos import manyhands_pb2 as pb

#: A client closes a block at about this many payload bytes.
BLOCK_BYTES = 64 << 10

HASH_BYTES = 16


class BlockError(ValueError):
    """The bytes do not make a block: who sent them is at fault."""


def pack_ends(ends: array[int]) -> bytes:
    """Offsets as they travel: little-endian 32-bit."""
    if sys.byteorder != "little":  # pragma: no cover - no such machine in CI
        ends = array("I", ends)
        ends.byteswap()
    return ends.tobytes()


def unpack_ends(packed: bytes) -> array[int]:
    """The inverse of `pack_ends`."""
    ends = array("I")
    ends.frombytes(packed)
    if sys.byteorder != "little":  # pragma: no cover
        ends.byteswap()
    return ends


def end_at(packed: bytes, index: int) -> int:
    """The index-th packed offset, without unpacking the others."""
    return int.from_bytes(packed[4 * index : 4 * index + 4], "little")


def check_offsets(base: int, ends: bytes, size: int) -> None:
    """Check that packed offsets cut a payload of `size` bytes into items. Raises BlockError with a sentence.

    Costs some 50 ns for each offset, and hardly anything for a single one.
    """
    count = len(ends) // 4
    if not count or len(ends) % 4:
        raise BlockError(f"at least one task is needed, and 4 bytes for each offset: got {len(ends)} bytes")
    span = end_at(ends, count - 1) - base
    if span != size:
        raise BlockError(f"offsets end at {span}, payload at {size}")
    if count > 1:
        offsets = unpack_ends(ends)
        if offsets[0] < base or not all(map(le, offsets, islice(offsets, 1, None))):
            raise BlockError("offsets run backwards")


@dataclass(slots=True, frozen=True)
class Block:
    """Consecutive tasks of one function: item k is payload[ends[k-1]-base : ends[k]-base]."""

    first: int
    base: int
    ends: bytes
    payload: bytes
    function: bytes
    call: pb.Call
    definitions: tuple[bytes, ...] = ()
    #: What its items refer to of the data kept in the cluster.
    needs: tuple[pb.DataNeed, ...] = ()

    @property
    def count(self) -> int:
        """How many tasks."""
        return len(self.ends) // 4

    @property
    def end(self) -> int:
        """One past the last task's index."""
        return self.first + len(self.ends) // 4

    def slice(self, lo: int, hi: int) -> tuple[int, bytes, bytes]:
        """(base, ends, payload) of tasks [lo, hi). Raises BlockError if offsets run backwards or out."""
        a, b = lo - self.first, hi - self.first
        if not 0 <= a < b <= self.count:
            raise BlockError(f"tasks [{lo}, {hi}) are not all in block [{self.first}, {self.end})")
        if a == 0 and b == self.count:
            return self.base, self.ends, self.payload
        start = end_at(self.ends, a - 1) if a else self.base
        stop = end_at(self.ends, b - 1)
        if not self.base <= start <= stop <= self.base + len(self.payload):
            raise BlockError(f"block [{self.first}, {self.end}): offsets {start}..{stop} run out of the payload")
        return start, self.ends[4 * a : 4 * b], self.payload[start - self.base : stop - self.base]

    def local_bytes(self, store: str) -> int:
        """How much of the data that its tasks need is in this host's store, as far as is known."""
        return 0

    @property
    def data_bytes(self) -> int:
        """How much that is in all."""
        return 0

    def size(self, lo: int, hi: int) -> int:
        """Payload bytes of tasks [lo, hi)."""
        a, b = lo - self.first, hi - self.first
        start = end_at(self.ends, a - 1) if a else self.base
        return end_at(self.ends, b - 1) - start


def measured_as(function: bytes, call: int) -> bytes:
    """What durations are learnt by: combining takes another time than the leaves with the same functions."""
    return function if call <= pb.CALL_APPLY else function + bytes((call,))


def results_size(message: pb.Results, lo: int, hi: int) -> int:
    """Payload bytes of the results of tasks [lo, hi), which the message holds."""
    a, b = lo - message.first, hi - message.first
    start = end_at(message.ends, a - 1) if a else message.base
    return end_at(message.ends, b - 1) - start


def results_slice(message: pb.Results, lo: int, hi: int) -> pb.Results:
    """The results of tasks [lo, hi), which the message holds, alone."""
    whole = Block(message.first, message.base, message.ends, message.payload, b"", pb.CALL_ITEM)
    base, ends, payload = whole.slice(lo, hi)
    seconds = message.seconds * (hi - lo) / whole.count
    stored = [each for each in message.stored if lo <= each.index < hi]
    return pb.Results(job=message.job, first=lo, base=base, ends=ends, payload=payload, seconds=seconds, stored=stored)


def check_block(message: pb.Block) -> None:
    """Check all that a block says of itself. Raises BlockError with a sentence."""
    try:
        check_offsets(message.base, message.ends, len(message.payload))
    except BlockError as error:
        raise BlockError(f"block at {message.first}: {error}") from None
    if message.call not in _CALLS:
        raise BlockError(f"block at {message.first}: unknown way to call {message.call}")
    if message.call == pb.CALL_APPLY and message.function:
        raise BlockError(f"block at {message.first}: its items bring their functions, so it names none")
    hashed = () if message.call == pb.CALL_APPLY else (message.function,)
    if any(len(h) != HASH_BYTES for h in (*hashed, *message.definitions)):
        raise BlockError(f"block at {message.first}: a definition's hash has {HASH_BYTES} bytes")


def read_block(message: pb.Block) -> Block:
    """A received block, checked. Raises BlockError with a sentence."""
    check_block(message)
    return block_of(message)


def block_of(message: pb.Block) -> Block:
    """A block that has been checked."""
    return Block(
        message.first,
        message.base,
        message.ends,
        message.payload,
        message.function,
        message.call,
        tuple(message.definitions),
        tuple(message.data),
    )


#: What a client's blocks may say; the others are the master's own.
_CALLS = frozenset((pb.CALL_ITEM, pb.CALL_STAR, pb.CALL_FULL, pb.CALL_APPLY, pb.CALL_FOLD, pb.CALL_GROUP))
