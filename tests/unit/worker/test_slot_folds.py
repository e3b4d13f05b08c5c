"""Leaves and partial results, as a slot computes them."""

from __future__ import annotations

import functools
import pickle
from typing import Any

import pytest

from manyhands.protos import manyhands_pb2 as pb
from manyhands.worker import slot_folds
from manyhands.worker.slot_folds import folder


def item(*parts: Any) -> bytes:
    return b"".join(map(pickle.dumps, parts))


def show(a: str, b: str) -> str:
    return f"({a}+{b})"


def test_numbers_are_the_protocols() -> None:
    assert (slot_folds.FOLD, slot_folds.COMBINE) == (pb.CALL_FOLD, pb.CALL_COMBINE)


@pytest.mark.parametrize("lists", [[], [[1]], [[1, 2, 3]], [[1], [2, 3], [4]]])
@pytest.mark.parametrize("initial", [(), ("x",)])
def test_a_leaf_is_what_reduce_says(lists: list[list[int]], initial: tuple[str, ...]) -> None:
    fold = folder(pb.CALL_FOLD, (str, show), pickle.load)
    if not lists and not initial:
        return
    flat = [each for items in lists for each in items]
    assert fold(item((100, *initial), *lists)) == functools.reduce(show, map(str, flat), *initial)


def test_partial_results_from_left_to_right() -> None:
    assert folder(pb.CALL_COMBINE, (None, show), pickle.load)(item("a", "b", "c")) == "((a+b)+c)"


@pytest.mark.parametrize("wrong", [10, 11, 14])
def test_an_error_says_at_which_item(wrong: int) -> None:
    def check(value: int) -> int:
        if value == wrong:
            raise ValueError(value)
        return value

    with pytest.raises(ValueError, match=str(wrong)) as raised:
        folder(pb.CALL_FOLD, (check, max), pickle.load)(item((10,), [10, 11], [12, 13, 14]))
    assert raised.value.__notes__ == [f"(raised at item {wrong} of the reduction)"]


def test_a_stop_of_the_users_is_an_error() -> None:
    """`reduce(..., map(...))` would take it for the end of the items."""

    def stop(value: int) -> int:
        raise StopIteration

    with pytest.raises(StopIteration):
        folder(pb.CALL_FOLD, (stop, max), pickle.load)(item((0,), [1]))
