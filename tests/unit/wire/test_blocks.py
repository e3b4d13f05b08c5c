"""The block codec: slices are the tasks' own bytes, and what makes no block is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.builders import hashed, items_of, make_block, packed

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.blocks import Block, BlockError, end_at, pack_ends, read_block, unpack_ends

items = st.lists(st.binary(max_size=6), min_size=1, max_size=12)
bases = st.integers(0, 1 << 31)


@given(items, bases, st.integers(0, 1 << 40), st.data())
def test_a_slice_holds_its_tasks_bytes_and_slices_again(given_items, base, first, data):
    block = make_block(first, given_items, base=base)
    model = {first + k: item for k, item in enumerate(given_items)}
    for _ in range(2):
        lo = data.draw(st.integers(block.first, block.end - 1))
        hi = data.draw(st.integers(lo + 1, block.end))
        found = items_of(lo, *block.slice(lo, hi))
        assert found == {index: model[index] for index in range(lo, hi)}
        assert block.size(lo, hi) == sum(map(len, found.values()))
        block = Block(lo, *block.slice(lo, hi), block.function, block.call)
        assert block.count == hi - lo
        assert block.end == hi


@given(st.lists(st.integers(0, (1 << 32) - 1)))
def test_offsets_travel(ends):
    from array import array

    wire = pack_ends(array("I", ends))
    assert len(wire) == 4 * len(ends)
    assert list(unpack_ends(wire)) == ends
    assert [end_at(wire, k) for k in range(len(ends))] == ends


@pytest.mark.parametrize(("lo", "hi"), [(4, 6), (5, 5), (6, 5), (7, 9), (0, 1)])
def test_a_slice_outside_the_block_is_refused(lo, hi):
    with pytest.raises(BlockError, match=r"not all in block \[5, 8\)"):
        make_block(5, [b"a", b"bb", b"c"]).slice(lo, hi)


@given(st.lists(st.integers(0, 12), min_size=2, max_size=6), st.integers(0, 3), st.data())
def test_wild_offsets_never_give_bytes_of_the_wrong_length(ends, base, data):
    from array import array

    block = Block(0, base, pack_ends(array("I", ends)), bytes(8), hashed("f"), pb.CALL_ITEM)
    lo = data.draw(st.integers(0, len(ends) - 1))
    hi = data.draw(st.integers(lo + 1, len(ends)))
    try:
        start, cut, payload = block.slice(lo, hi)
    except BlockError:
        return
    if (lo, hi) != (0, len(ends)):
        assert len(payload) == end_at(cut, hi - lo - 1) - start >= 0


def message(**changes):
    ends, payload = packed([b"a", b"", b"ccc"], base=7)
    fields = {
        "job": 1, "first": 3, "base": 7, "ends": ends, "payload": payload,
        "function": hashed("f"), "call": pb.CALL_ITEM, "definitions": [hashed("g")],
    }  # fmt: skip
    return pb.Block(**{**fields, **changes})


def test_a_good_block_is_read_as_sent():
    block = read_block(message())
    assert (block.first, block.end, block.count, block.base) == (3, 6, 3, 7)
    assert items_of(3, *block.slice(3, 6)) == {3: b"a", 4: b"", 5: b"ccc"}
    assert block.definitions == (hashed("g"),)


def test_a_call_that_brings_its_own_function_needs_no_hash():
    assert read_block(message(call=pb.CALL_APPLY, function=b"")).function == b""


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"ends": b""}, "at least one task"),
        ({"ends": b"12345"}, "4 bytes for each offset"),
        ({"payload": b"xx"}, "offsets end at 4, payload at 2"),
        ({"base": 0}, "offsets end at 11, payload at 4"),
        ({"call": pb.CALL_UNSPECIFIED}, "unknown way to call 0"),
        ({"call": 77}, "unknown way to call 77"),
        ({"function": b"short"}, "a definition's hash has 16 bytes"),
        ({"function": b""}, "a definition's hash has 16 bytes"),
        ({"definitions": [b"x" * 17]}, "a definition's hash has 16 bytes"),
    ],
)
def test_what_makes_no_block_is_refused_with_a_reason(changes, sentence):
    with pytest.raises(BlockError, match=sentence):
        read_block(message(**changes))
