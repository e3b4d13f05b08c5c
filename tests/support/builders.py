"""Blocks, results and other messages, as short as tests want them."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from hashlib import blake2b

from manyhands.master.events import JobOptions
from manyhands.master.jobs import Job
from manyhands.master.saved_states import StateRoom
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.blocks import HASH_BYTES, Block, pack_ends


def hashed(name: str) -> bytes:
    """A definition's hash."""
    return blake2b(name.encode(), digest_size=HASH_BYTES).digest()


def packed(items: Sequence[bytes], base: int = 0) -> tuple[bytes, bytes]:
    """(ends, payload) of items."""
    ends = array("I")
    position = base
    for item in items:
        position += len(item)
        ends.append(position)
    return pack_ends(ends), b"".join(items)


def make_block(first: int, items: Sequence[bytes], function: str = "f", base: int = 0) -> Block:
    """Tasks first, first + 1, ... with these pickles."""
    ends, payload = packed(items, base)
    return Block(first, base, ends, payload, hashed(function), pb.CALL_ITEM)


def make_results(job: int, lease: int, first: int, items: Sequence[bytes], seconds: float = 0.0) -> pb.Results:
    """The successes of tasks first, first + 1, ..."""
    ends, payload = packed(items)
    return pb.Results(job=job, lease=lease, first=first, ends=ends, payload=payload, seconds=seconds)


def items_of(first: int, base: int, ends: bytes, payload: bytes) -> dict[int, bytes]:
    """What a message with this framing says of each index. The inverse of `packed`, written independently."""
    found = {}
    start = base
    for k in range(len(ends) // 4):
        end = int.from_bytes(ends[4 * k : 4 * k + 4], "little")
        found[first + k] = payload[start - base : end - base]
        start = end
    return found


def make_job(number: int = 1, priority: int = 0, client: int = 1) -> Job:
    """One that has nothing yet."""
    return Job(number, client, JobOptions(priority=priority), StateRoom(1 << 20))
