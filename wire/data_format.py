"""How an object lies in a datum: a header, its pickle, and the pickle's out-of-band buffers.

magic and version   8 bytes
count of buffers    8 bytes, little-endian, as all numbers
length of the pickle
length of each buffer
the pickle          protocol 5
each buffer         begins at a multiple of 64 bytes, so that a mapped datum decodes without a copy
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from pickle import PickleBuffer
from struct import Struct
from typing import Any, NamedTuple

from manyhands.wire.buffers import Buffer

#: What the vector instructions of today's processors want at most, and a line of their caches.
ALIGNMENT_BYTES = 64

_MAGIC = b"mhdatum\x01"
#: Magic, count of buffers, length of the pickle.
_HEADER = Struct("<8sQQ")
_LENGTH_BYTES = 8
_PADDING = bytes(ALIGNMENT_BYTES)


class DataFormatError(ValueError):
    """Bytes that are no datum; the text says why."""


class Encoded(NamedTuple):
    """An object laid out: `parts`, one after the other, are the datum of `size` bytes. The buffers are not copied."""

    parts: tuple[Buffer, ...]
    size: int


class Layout(NamedTuple):
    """A datum taken apart, without a copy."""

    pickled: memoryview
    buffers: list[memoryview]


def encode(pickled: Buffer, buffers: Iterable[PickleBuffer]) -> Encoded:
    """Lay out what `pickle` made with a `buffer_callback`. Raises BufferError for a buffer that is not contiguous."""
    contents = [buffer.raw() for buffer in buffers]
    lengths = b"".join(len(each).to_bytes(_LENGTH_BYTES, "little") for each in contents)
    parts: list[Buffer] = [_HEADER.pack(_MAGIC, len(contents), len(pickled)) + lengths, pickled]
    size = len(parts[0]) + len(pickled)
    for content in contents:
        begin = _aligned(size)
        parts += [_PADDING[: begin - size], content]
        size = begin + len(content)
    return Encoded(tuple(parts), size)


def take_apart(datum: memoryview) -> Layout:
    """The inverse of `encode`. Raises DataFormatError; what the pickle holds is not looked at."""
    if len(datum) < _HEADER.size:
        raise DataFormatError(f"no datum: {len(datum)} bytes are less than a header")
    magic, count, pickle_length = _HEADER.unpack_from(datum)
    if magic != _MAGIC:
        raise DataFormatError(f"no datum, or one of another version of manyhands: it begins with {magic!r}")
    end = _HEADER.size + count * _LENGTH_BYTES
    lengths = datum[_HEADER.size : end]
    if len(lengths) != count * _LENGTH_BYTES:
        raise DataFormatError(f"a damaged datum: {len(datum)} bytes cannot hold the lengths of {count} buffers")
    begin, end = end, end + pickle_length
    pickled = datum[begin:end]
    buffers: list[memoryview] = []
    for at in range(0, len(lengths), _LENGTH_BYTES):
        begin = _aligned(end)
        end = begin + int.from_bytes(lengths[at : at + _LENGTH_BYTES], "little")
        buffers.append(datum[begin:end])
    if end != len(datum):
        raise DataFormatError(f"a damaged datum: it should have {end} bytes, not {len(datum)}")
    return Layout(pickled, buffers)


def decode(datum: memoryview) -> Any:
    """The object. Its arrays lie in `datum`, read-only if that is, and keep it alive.

    Raises DataFormatError; whatever unpickling raises.
    """
    pickled, buffers = take_apart(datum)
    return pickle.loads(pickled, buffers=buffers)


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
