"""How (key, value) pairs lie in bytes: in chunks, so that a reader holds one of them and never all.

A chunk is its length (4 bytes, little-endian) and a pickle of (list of keys, list of values): to write and to read it
takes less than half the time of a list of pairs.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from itertools import chain
from pickle import PickleBuffer
from struct import Struct
from typing import Any, SupportsIndex

#: Chunks are about so long,
AIM_BYTES = 1 << 18
#: and no longer, unless one pair is.
CHUNK_BYTES_MAX = 1 << 20

_LENGTH = Struct("<I")
_FIRST_COUNT = 64

Buffer = bytes | memoryview


class Pairs:
    """A task's result: `chunks`, which pickle takes out of band, so that large ones are mapped and never copied."""

    def __init__(self, chunks: Buffer) -> None:
        self.chunks = chunks

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        """Unpickles one chunk after the other. Raises ChunkError, and whatever unpickling does."""
        return chain.from_iterable(zip(*pickle.loads(chunk), strict=True) for chunk in read_chunks(self.chunks))

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[type[Pairs], tuple[PickleBuffer]]:
        return Pairs, (PickleBuffer(self.chunks),)


class ChunkError(ValueError):
    """These bytes are no chunks of pairs."""


def write_pairs(keys: list[Any], values: list[Any], encode: Callable[[Any], bytes]) -> Iterator[bytes]:
    """The chunks of these pairs, one after the other. Raises what `encode` does."""
    begin, count = 0, _FIRST_COUNT
    while begin < len(keys):
        end = begin + count
        chunk = encode((keys[begin:end], values[begin:end]))
        count = min(count, len(keys) - begin)
        if len(chunk) > CHUNK_BYTES_MAX and count > 1:
            count //= 2
            continue
        yield _LENGTH.pack(len(chunk)) + chunk
        begin = end
        # Pairs may grow: no more than twice as many as went well.
        count = max(1, min(2 * count, count * AIM_BYTES // len(chunk)))


def read_chunks(data: Buffer) -> Iterator[memoryview]:
    """The pickles in `data`, which are not copied. Raises ChunkError."""
    view = memoryview(data)
    begin, size = 0, len(view)
    while begin < size:
        if size - begin < _LENGTH.size:
            raise ChunkError(f"{size - begin} bytes are left, less than a chunk's length")
        (length,) = _LENGTH.unpack_from(view, begin)
        begin += _LENGTH.size
        if length > size - begin:
            raise ChunkError(f"a chunk of {length} bytes, but only {size - begin} are left")
        yield view[begin : begin + length]
        begin += length
