"""What was put before is recognised by its bytes, and nothing else is taken for it."""

from __future__ import annotations

import gc
from pickle import PickleBuffer
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyhands.client import recognition
from manyhands.client.recognition import SAMPLE_BYTES, SAMPLES, Recognition
from manyhands.client.refs import Ref
from manyhands.wire.data_format import encode

SIZE = 4 * SAMPLES * SAMPLE_BYTES


class Held:
    """Stands for a Ref."""

    def __init__(self, id: bytes) -> None:
        self.id = id


class Store:
    """Data by id."""

    def __init__(self) -> None:
        self.data: dict[bytes, bytes] = {}
        self.recognition = Recognition(self._stored)

    def _stored(self, id: bytes) -> memoryview | None:
        return memoryview(self.data[id]) if id in self.data else None

    def put(self, *buffers: bytes) -> Held:
        encoded = encode(b"pickle", [PickleBuffer(each) for each in buffers])
        held = Held(len(self.data).to_bytes(16, "big"))
        self.data[held.id] = b"".join(encoded.parts)
        self.recognition.remember(encoded, cast("Ref[Any]", held))
        return held

    def find(self, *buffers: bytes) -> Any:
        return self.recognition.find(encode(b"pickle", [PickleBuffer(each) for each in buffers]))


def test_equal_bytes_are_found_and_others_are_not() -> None:
    store = Store()
    held = store.put(bytes(SIZE))
    assert store.find(bytes(SIZE)) is held
    assert store.find(bytes(SIZE + 1)) is None
    assert store.find(bytes(SIZE // 2), bytes(SIZE // 2)) is None


@given(size=st.integers(0, 50), at=st.integers(0, 49))
def test_they_are_compared_a_slice_at_a_time(size: int, at: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recognition, "_AT_ONCE_BYTES", 7)
        changed = bytearray(size)
        assert recognition.equal_bytes(bytes(size), changed)
        if at < size:
            changed[at] = 1
            assert not recognition.equal_bytes(bytes(size), changed)


@given(at=st.integers(0, SIZE - 1))
def test_a_single_byte_makes_it_another_one(at: int) -> None:
    """Also one that is not looked at first."""
    store = Store()
    store.put(bytes(SIZE))
    changed = bytearray(SIZE)
    changed[at] = 1
    assert store.find(bytes(changed)) is None


def test_what_is_not_on_this_host_any_more_is_not_found() -> None:
    store = Store()
    held = store.put(bytes(SIZE))
    store.data.clear()
    assert store.find(bytes(SIZE)) is None
    del held


def test_who_is_held_by_nobody_is_not_found() -> None:
    store = Store()
    store.put(bytes(SIZE))
    gc.collect()
    assert store.find(bytes(SIZE)) is None
