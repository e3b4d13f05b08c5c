"""Data as they lie in bytes: laid out without a copy, taken apart without one, and damaged ones refused."""

from __future__ import annotations

import pickle
from pickle import PickleBuffer
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyhands.wire.data_format import ALIGNMENT_BYTES, DataFormatError, Encoded, decode, encode, take_apart


def encode_object(value: Any) -> Encoded:
    buffers: list[PickleBuffer] = []
    return encode(pickle.dumps(value, protocol=5, buffer_callback=buffers.append), buffers)


def joined(encoded: Encoded) -> memoryview:
    return memoryview(b"".join(encoded.parts))


@given(st.binary(), st.lists(st.binary(max_size=200)))
def test_what_was_laid_out_is_found(pickled: bytes, buffers: list[bytes]) -> None:
    encoded = encode(pickled, [PickleBuffer(each) for each in buffers])
    datum = joined(encoded)
    assert len(datum) == encoded.size
    layout = take_apart(datum)
    assert layout.pickled == pickled
    assert layout.buffers == buffers


@given(st.binary(), st.lists(st.binary(min_size=1, max_size=200)))
def test_buffers_are_aligned(pickled: bytes, buffers: list[bytes]) -> None:
    encoded = encode(pickled, [PickleBuffer(each) for each in buffers])
    offset = 0
    for number, part in enumerate(encoded.parts):
        if number >= 2 and number % 2:  # header, pickle, then padding and buffer by turns
            assert offset % ALIGNMENT_BYTES == 0
        offset += len(part)


def test_buffers_are_not_copied() -> None:
    array = np.arange(1000)
    encoded = encode_object({"a": array, "b": [array]})
    assert len(encoded.parts) == 4  # the array once
    array[0] = 17
    assert decode(joined(encoded))["b"][0][0] == 17


def test_arrays_lie_in_the_datum_and_are_read_only_as_it_is() -> None:
    array = np.arange(1000).reshape(20, 50)
    for each in (array, np.asfortranarray(array), np.zeros((0, 3)), np.array(3.5)):
        datum = joined(encode_object(each))
        copy = decode(datum)
        assert np.array_equal(copy, each)
        assert not copy.flags.writeable
        if copy.size:
            assert np.shares_memory(copy, np.frombuffer(datum, np.uint8))
    writable = decode(memoryview(bytearray(joined(encode_object(array)))))
    writable[0, 0] = 1


def test_a_buffer_with_gaps_is_refused() -> None:
    with pytest.raises(BufferError):
        encode(b"", [PickleBuffer(memoryview(bytes(10))[::2])])


@given(st.binary(max_size=200))
def test_bytes_that_are_no_datum_are_refused(data: bytes) -> None:
    with pytest.raises(DataFormatError):
        take_apart(memoryview(data))


@given(st.data())
def test_a_damaged_datum_is_refused_or_read_within_its_bounds(data: st.DataObject) -> None:
    datum = bytearray(joined(encode_object([b"x" * 40, PickleBuffer(b"y" * 100), PickleBuffer(b"z" * 7)])))
    at = data.draw(st.integers(0, len(datum) - 1))
    datum[at] ^= data.draw(st.integers(1, 255))
    damaged = memoryview(datum)[: data.draw(st.integers(0, len(datum)) | st.just(len(datum)))]
    try:
        layout = take_apart(damaged)
    except DataFormatError:
        return
    assert len(damaged) == len(datum)
    assert sum(map(len, layout.buffers)) + len(layout.pickled) < len(damaged)


@pytest.mark.parametrize("count", [2, 1 << 40, (1 << 64) - 1])
def test_a_count_of_buffers_out_of_nowhere_is_refused(count: int) -> None:
    datum = bytearray(joined(encode_object(PickleBuffer(b"y" * 100))))
    datum[8:16] = count.to_bytes(8, "little")
    with pytest.raises(DataFormatError):
        take_apart(memoryview(datum))


def test_a_datum_cut_short_says_so() -> None:
    datum = joined(encode_object(PickleBuffer(b"y" * 100)))
    with pytest.raises(DataFormatError, match=f"should have {len(datum)} bytes, not {len(datum) - 1}"):
        decode(datum[:-1])


def test_another_version_is_named() -> None:
    datum = bytearray(joined(encode_object(1)))
    datum[7] = 9
    with pytest.raises(DataFormatError, match=r"mhdatum\\t"):
        decode(memoryview(datum))
