"""Cutting items into leaves: each item once, in order, and always at the same places."""

from __future__ import annotations

import operator
import pickle
import threading
from collections.abc import Iterable
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyhands.client.encoding import encoding
from manyhands.client.leaves import Leaves
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.bounds import ITEM_BYTES_MAX
from manyhands.wire.errors import EncodeError
from manyhands.wire.leaves import GROWTH, LEAF_BYTES, RUN_ITEMS, leaf_length

TARGET = encoding().pair(abs, operator.add, pb.CALL_FOLD)


def cut(items: Iterable[Any], initial: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], list[list[Any]], int]]:
    """Each leaf: how it begins, its lists of items, and its bytes."""
    leaves = Leaves(encoding(), TARGET, items, initial, 0, None)
    found = []
    count = 0
    while not leaves.is_exhausted:
        block = leaves.block(count)
        if not block.count:
            break
        count += block.count
        body = block.body(1).block
        start = 0
        for end in memoryview(body.ends).cast("I"):
            file = BytesIO(body.payload[start:end])
            head, *lists = [pickle.load(file) for _ in iter(lambda f=file, e=end - start: f.tell() < e, False)]
            found.append((head, lists, end - start))
            start = end
    return found


def test_the_first_leaves_have_one_item_and_later_ones_more() -> None:
    count = 20 * GROWTH
    leaves = cut(range(count))
    position = 0
    for head, lists, _ in leaves:
        assert head == (position,)
        taken = [item for items in lists for item in items]
        assert taken == list(range(position, min(count, position + leaf_length(position))))
        position += len(taken)
    assert position == count


@given(st.lists(st.sampled_from([10, 60_000, 500_000, 1_200_000]), max_size=40), st.booleans())
@settings(max_examples=20, deadline=None)
def test_where_it_is_cut_the_items_alone_decide(sizes: list[int], has_length: bool) -> None:
    # As if they came after many others: then a leaf has several.
    items = [bytes(size) for size in sizes]
    before = [0] * (3 * GROWTH)
    leaves = cut([*before, *items])
    assert cut(each for each in [*before, *items]) == leaves
    assert [item for _, lists, _ in leaves for run in lists for item in run] == [*before, *items]
    for _, lists, size in leaves:
        assert size <= 2 * LEAF_BYTES + 200_000 or sum(map(len, lists)) == 1 or len(lists[-1]) == 1
        assert all(len(run) <= RUN_ITEMS for run in lists)


def test_what_is_initial_stands_before_the_first_item_only() -> None:
    assert [head for head, _, _ in cut("abc", (None,))] == [(0, None), (1,), (2,)]
    assert cut("", (7,)) == [((0, 7), [], len(pickle.dumps((0, 7), 5)))]
    assert cut("") == []


def test_an_item_that_cannot_be_pickled_is_named() -> None:
    for count in (1, 2500):
        with pytest.raises(EncodeError, match=rf"^item {count}: \['a'\] \(_thread.lock\) cannot be sent"):
            cut([*range(count), {"a": threading.Lock()}, *range(count)])
    with pytest.raises(EncodeError, match=r"^the initial value \(_thread.lock\) cannot be sent"):
        cut([1], (threading.Lock(),))


def test_items_that_are_too_much_together_are_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    from manyhands.wire import pickling

    assert ITEM_BYTES_MAX > 1 << 30
    monkeypatch.setattr(pickling, "ITEM_BYTES_MAX", 30_000)
    items = [0] * (3 * GROWTH) + [bytes(20_000)] * 10
    assert [item for _, lists, _ in cut(items) for run in lists for item in run] == items
