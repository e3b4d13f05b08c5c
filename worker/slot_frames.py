"""Frames between agent and slot: length-prefixed structs, encoded and cut here for both ends; pure.

A frame is 8 bytes of length (of what follows the kind), 1 byte of kind, and its body. Integers are little-endian.
Imports nothing heavy: slots load this.
"""

from __future__ import annotations

import os
import sys
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from struct import Struct
from struct import error as struct_error

from manyhands.wire.bounds import SECONDS_MAX
from manyhands.worker.reports import CutDone, Done, Failed, Interrupted, Ready, Report, Saved, Stored, Wanted

# Agent -> slot.
CHUNK = 1
DEFINE = 2
CUT = 3
STATE = 4
STORE = 5
# Slot -> agent.
READY = 16
DONE = 17
FAILED = 18
WANTED = 19
CUT_DONE = 20
INTERRUPTED = 21
SAVED = 22
STORED = 23

HASH_BYTES = 16
NO_HASH = b""
#: What the ids of the data that one slot process makes begin with.
PREFIX_BYTES = 8

_HEAD = Struct("<QB")
_POSITION = Struct("<Q")
#: position, count, job, first index, attempt, call, flags, function, retry_on, context, keep_bytes, keep_as,
#: further definitions, base, name's length
_CHUNK = Struct("<QIQQIBB16s16s16sQ16sIIH")
#: Longer names of jobs are cut.
NAME_BYTES = 1000
_HAS_FUNCTION = 1
_HAS_RETRY_ON = 2
_HAS_CONTEXT = 4
_HAS_KEEP_AS = 8
#: position, count, base, seconds
_DONE = Struct("<QIId")
#: position, retryable, seconds
_FAILED = Struct("<Q?d")
#: position, seconds
_INTERRUPTED = Struct("<Qd")
#: position, id, size
_STORED = Struct("<Q16sQ")

#: Payloads from this size on are not copied out of the frame they came in.
_SHARE_BYTES = 1 << 20

#: Offsets have 32 bits.
OFFSET_MAX = (1 << 32) - 1

#: A longer frame than anybody writes. Rubbish must not pass for the head of a frame that never ends.
FRAME_BYTES_MAX = 1 << 35

_KINDS = frozenset(
    (CHUNK, DEFINE, CUT, STATE, STORE, READY, DONE, FAILED, WANTED, CUT_DONE, INTERRUPTED, SAVED, STORED)
)

Buffer = bytes | memoryview


class FrameError(ValueError):
    """The bytes are no frame of ours."""


@dataclass(slots=True)
class Chunk:
    """Consecutive tasks for a slot: item k is payload[ends[k-1] - base : ends[k] - base], ends[-1] = base."""

    position: int
    count: int
    job: int
    name: str
    first: int
    attempt: int
    call: int
    function: bytes
    retry_on: bytes
    context: bytes
    #: Results of at least so many bytes stay in the store; 0: none does.
    keep_bytes: int
    #: The id under which the only task's result stays there, whatever its size; empty: as `keep_bytes` says.
    keep_as: bytes
    definitions: tuple[bytes, ...]
    base: int
    ends: bytes
    payload: Buffer

    def after_first(self) -> Chunk:
        """All its tasks but the first."""
        base = int.from_bytes(self.ends[:4], "little")
        return replace(
            self,
            position=self.position + 1,
            count=self.count - 1,
            first=self.first + 1,
            base=base,
            ends=self.ends[4:],
            payload=self.payload[base - self.base :],
        )


def pack_offsets(offsets: Iterable[int]) -> bytes:
    """As `wire.blocks.pack_ends`, which slots cannot import: it brings protobuf."""
    packed = array("I", offsets)
    if sys.byteorder != "little":  # pragma: no cover - no such machine in CI
        packed.byteswap()
    return packed.tobytes()


def unpack_offsets(packed: bytes) -> array[int]:
    """The inverse of `pack_offsets`."""
    offsets = array("I", packed)
    if sys.byteorder != "little":  # pragma: no cover
        offsets.byteswap()
    return offsets


class FrameCutter:
    """Cuts a stream of bytes into frames, whatever the pieces it arrives in."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._have = 0
        self._need = 0

    @property
    def missing(self) -> int:
        """Bytes that the frame under way still lacks, as far as is known."""
        return max(0, self._need - self._have)

    def feed(self, data: bytes) -> list[tuple[int, memoryview]]:
        """Add what arrived; return the (kind, body) of each frame that is now complete. Raises FrameError."""
        if self._parts:
            self._parts.append(data)
            self._have += len(data)
            if self._have < self._need:
                return []
            data = b"".join(self._parts)
            self._parts = []
        frames: list[tuple[int, memoryview]] = []
        view = memoryview(data)
        size = len(data)
        offset = 0
        need = _HEAD.size
        while size - offset >= _HEAD.size:
            length, kind = _HEAD.unpack_from(data, offset)
            if kind not in _KINDS or length > FRAME_BYTES_MAX:
                raise FrameError(f"its pipe holds no frame but {bytes(view[offset : offset + 32])!r}")
            start = offset + _HEAD.size
            if start + length > size:
                need = _HEAD.size + length
                break
            offset = start + length
            frames.append((kind, view[start:offset]))
        self._need = need
        self._have = size - offset
        if self._have:
            self._parts = [data[offset:]]
        return frames


# ---------------------------------------------------------------- agent -> slot


def write_chunk(
    chunk: Chunk,
) -> list[Buffer]:
    """The frame in parts, so that large payloads are not copied."""
    flags = (
        (_HAS_FUNCTION if chunk.function else 0)
        | (_HAS_RETRY_ON if chunk.retry_on else 0)
        | (_HAS_CONTEXT if chunk.context else 0)
        | (_HAS_KEEP_AS if chunk.keep_as else 0)
    )
    definitions = b"".join(chunk.definitions)
    name = chunk.name.encode(errors="replace")[:NAME_BYTES]
    ends = chunk.ends
    length = _CHUNK.size + len(name) + len(definitions) + len(ends) + len(chunk.payload)
    head = _HEAD.pack(length, CHUNK) + _CHUNK.pack(
        chunk.position,
        chunk.count,
        chunk.job,
        chunk.first,
        chunk.attempt,
        chunk.call,
        flags,
        chunk.function,
        chunk.retry_on,
        chunk.context,
        chunk.keep_bytes,
        chunk.keep_as,
        len(chunk.definitions),
        chunk.base,
        len(name),
    )
    return [head + name + definitions + ends, chunk.payload]


def read_chunk(body: memoryview) -> Chunk:
    """The inverse of `write_chunk`."""
    position, count, job, first, attempt, call, flags, *rest = _CHUNK.unpack_from(body)
    function, retry_on, context, keep_bytes, keep_as, further, base, length = rest
    after_name = _CHUNK.size + length
    start = after_name + HASH_BYTES * further
    stop = start + 4 * count
    hashes = bytes(body[after_name:start])
    payload: Buffer = body[stop:]
    if len(payload) < _SHARE_BYTES:
        payload = bytes(payload)
    return Chunk(
        position,
        count,
        job,
        bytes(body[_CHUNK.size : after_name]).decode(errors="replace"),
        first,
        attempt,
        call,
        function if flags & _HAS_FUNCTION else NO_HASH,
        retry_on if flags & _HAS_RETRY_ON else NO_HASH,
        context if flags & _HAS_CONTEXT else NO_HASH,
        keep_bytes,
        keep_as if flags & _HAS_KEEP_AS else b"",
        tuple(hashes[k : k + HASH_BYTES] for k in range(0, len(hashes), HASH_BYTES)),
        base,
        bytes(body[start:stop]),
        payload,
    )


def write_define(hash: bytes, blob: bytes) -> list[Buffer]:
    """A definition."""
    return [_HEAD.pack(HASH_BYTES + len(blob), DEFINE) + hash, blob]


def read_define(body: memoryview) -> tuple[bytes, bytes]:
    """(hash, blob)."""
    return bytes(body[:HASH_BYTES]), bytes(body[HASH_BYTES:])


def write_store(prefix: bytes, path: str) -> list[Buffer]:
    """The folder of the store to use from now on; ids of what is written there begin with `prefix`."""
    encoded = os.fsencode(path)
    return [_HEAD.pack(PREFIX_BYTES + len(encoded), STORE) + prefix + encoded]


def read_store(body: memoryview) -> tuple[bytes, str]:
    """The inverse of `write_store`."""
    return bytes(body[:PREFIX_BYTES]), os.fsdecode(bytes(body[PREFIX_BYTES:]))


def write_cut(cut: int) -> list[Buffer]:
    """Everything at or above `cut` was taken back."""
    return [_HEAD.pack(_POSITION.size, CUT) + _POSITION.pack(cut)]


def read_cut(body: memoryview) -> int:
    """The inverse of `write_cut`."""
    cut: int = _POSITION.unpack(body)[0]
    return cut


# ---------------------------------------------------------------- slot -> agent


def write_state(position: int, state: bytes) -> list[Buffer]:
    """What an earlier attempt of the task at `position` saved; goes before its chunk."""
    return [_HEAD.pack(_POSITION.size + len(state), STATE) + _POSITION.pack(position), state]


def read_state(body: memoryview) -> tuple[int, bytes]:
    """The inverse of `write_state`."""
    return _POSITION.unpack_from(body)[0], bytes(body[_POSITION.size :])


def write_ready() -> bytes:
    return _HEAD.pack(0, READY)


def write_done(position: int, count: int, base: int, ends: bytes, payload: bytes, seconds: float) -> bytes:
    """See `reports.Done`."""
    length = _DONE.size + len(ends) + len(payload)
    return b"".join(
        (_HEAD.pack(length, DONE), _DONE.pack(position, count, base, seconds), ends, payload),
    )


def write_failed(position: int, payload: bytes, retryable: bool, seconds: float) -> bytes:
    """See `reports.Failed`."""
    head = _HEAD.pack(_FAILED.size + len(payload), FAILED)
    return head + _FAILED.pack(position, retryable, seconds) + payload


def write_interrupted(position: int, seconds: float) -> bytes:
    """See `reports.Interrupted`."""
    return _HEAD.pack(_INTERRUPTED.size, INTERRUPTED) + _INTERRUPTED.pack(position, seconds)


def write_saved(position: int, state: bytes) -> bytes:
    """See `reports.Saved`."""
    return _HEAD.pack(_POSITION.size + len(state), SAVED) + _POSITION.pack(position) + state


def write_stored(position: int, id: bytes, size: int) -> bytes:
    """See `reports.Stored`."""
    return _HEAD.pack(_STORED.size, STORED) + _STORED.pack(position, id, size)


def write_wanted(hashes: Sequence[bytes]) -> bytes:
    """See `reports.Wanted`."""
    return _HEAD.pack(HASH_BYTES * len(hashes), WANTED) + b"".join(hashes)


def write_cut_done(cut: int) -> bytes:
    """See `reports.CutDone`."""
    return _HEAD.pack(_POSITION.size, CUT_DONE) + _POSITION.pack(cut)


def read_report(kind: int, body: memoryview) -> Report:
    """What a slot wrote. Raises FrameError: user code can write to the slot's pipe."""
    try:
        if kind == DONE:
            position, count, base, seconds = _DONE.unpack_from(body)
            stop = _DONE.size + 4 * count
            if stop > len(body):
                raise FrameError(f"{count} results do not fit into {len(body)} bytes")
            ends, payload = bytes(body[_DONE.size : stop]), bytes(body[stop:])
            return Done(position, count, base, ends, payload, _checked(seconds))
        if kind == FAILED:
            position, retryable, seconds = _FAILED.unpack_from(body)
            return Failed(position, bytes(body[_FAILED.size :]), retryable, _checked(seconds))
        if kind == INTERRUPTED:
            position, seconds = _INTERRUPTED.unpack(body)
            return Interrupted(position, _checked(seconds))
        if kind == SAVED:
            return Saved(_POSITION.unpack_from(body)[0], bytes(body[_POSITION.size :]))
        if kind == STORED:
            return Stored(*_STORED.unpack(body))
        if kind == WANTED:
            hashes = bytes(body)
            return Wanted(tuple(hashes[k : k + HASH_BYTES] for k in range(0, len(hashes), HASH_BYTES)))
        if kind == CUT_DONE:
            return CutDone(_POSITION.unpack(body)[0])
        if kind == READY:
            return Ready()
    except struct_error as error:
        raise FrameError(f"frame of kind {kind} with {len(body)} bytes: {error}") from error
    raise FrameError(f"frames of kind {kind} are unknown")


def _checked(seconds: float) -> float:
    if not 0.0 <= seconds <= SECONDS_MAX:
        raise FrameError(f"no task takes {seconds} seconds")
    return seconds
