"""The names of data: the same however they are cut, and a hash that says what it is of."""

from __future__ import annotations

import random
import threading
from hashlib import sha256
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from manyhands.wire.data_id import LEAF_BYTES, data_id

LARGE = random.Random(1).randbytes(5 * LEAF_BYTES + 12345)


@given(st.lists(st.integers(0, len(LARGE)), max_size=5))
def test_the_cut_does_not_matter(cuts: list[int]) -> None:
    bounds = [0, *sorted(cuts), len(LARGE)]
    view = memoryview(LARGE)
    parts = [view[begin:end] for begin, end in pairwise(bounds)]
    assert data_id(parts) == data_id([LARGE])


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_other_bytes_have_other_names(one: bytes, other: bytes) -> None:
    assert (data_id([one]) == data_id([other])) == (one == other)


def test_the_name_is_a_tree_of_hashes() -> None:
    digests = b"".join(sha256(LARGE[at : at + LEAF_BYTES]).digest() for at in range(0, len(LARGE), LEAF_BYTES))
    assert data_id([LARGE]) == sha256(digests + len(LARGE).to_bytes(8, "little")).digest()[:16]


def test_every_byte_is_visited_once() -> None:
    lock = threading.Lock()
    visited = bytearray(len(LARGE))

    def visit(offset: int, pieces: list[memoryview]) -> None:
        for piece in pieces:
            with lock:
                assert not any(visited[offset : offset + len(piece)])
                visited[offset : offset + len(piece)] = b"\1" * len(piece)
            offset += len(piece)

    data_id([LARGE[:1000], b"", LARGE[1000:]], visit)
    assert all(visited)


def test_a_visitor_that_fails_is_heard() -> None:
    class Full(Exception):
        pass

    def visit(offset: int, pieces: list[memoryview]) -> None:
        if offset == 3 * LEAF_BYTES:
            raise Full

    for data in (LARGE, LARGE[: 3 * LEAF_BYTES + 1]):
        try:
            data_id([data], visit)
        except Full:
            continue
        raise AssertionError("nothing was raised")
