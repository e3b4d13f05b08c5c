"""Arrays that come again: the same Ref for the same bytes, never for others, whatever is changed in between."""

from __future__ import annotations

import gc
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from manyhands.client.refs import Ref
from manyhands.client.sharing import AT_ONCE_BYTES, REMEMBERED, Sharing

SMALL, LARGE = 1000, AT_ONCE_BYTES // 8


class Kept:
    """Stands for a Ref: what was kept under it, as it was then."""

    def __init__(self, array: np.ndarray) -> None:
        self.value = array.copy()


class Keeper:
    """Keeps arrays, and counts."""

    def __init__(self) -> None:
        self.kept = 0
        self.sharing = Sharing(self._keep)

    def _keep(self, array: Any) -> tuple[Ref[Any], Any]:
        self.kept += 1
        kept = Kept(array)
        return cast("Ref[Any]", kept), kept.value

    def ref(self, array: np.ndarray) -> Kept | None:
        return cast("Kept | None", self.sharing.ref(array))


@pytest.fixture
def keeper() -> Keeper:
    return Keeper()


def test_a_large_one_is_kept_at_once_and_once(keeper: Keeper) -> None:
    array = np.zeros(LARGE)
    first = keeper.ref(array)
    assert first is not None
    assert keeper.ref(array) is first
    assert keeper.kept == 1


def test_a_small_one_the_second_time_unless_it_was_changed(keeper: Keeper) -> None:
    array = np.zeros(SMALL)
    assert keeper.ref(array) is None
    array[7] = 1.0
    assert keeper.ref(array) is None
    kept = keeper.ref(array)
    assert kept is not None
    assert keeper.ref(array) is kept
    assert keeper.kept == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda array: array.__setitem__(-1, 1.0),
        lambda array: array.__setitem__(0, -0.0),
        lambda array: array.__setitem__(0, np.nan),
        lambda array: array.resize((LARGE // 2, 2), refcheck=False),
        lambda array: setattr(array, "dtype", np.int64),
    ],
    ids=["the last byte", "a zero's sign", "no number", "its shape", "its type"],
)
def test_what_was_changed_is_another_one(keeper: Keeper, change: Any) -> None:
    array = np.zeros(LARGE)
    before = keeper.ref(array)
    change(array)
    after = keeper.ref(array)
    assert after is not before
    assert keeper.ref(array) is after


def test_no_number_is_itself(keeper: Keeper) -> None:
    array = np.full(LARGE, np.nan)
    assert keeper.ref(array) is keeper.ref(array)


def test_what_cannot_be_compared_travels_as_it_is(keeper: Keeper) -> None:
    assert keeper.ref(np.zeros((LARGE, 2))[:, 0]) is None
    assert keeper.ref(np.full(LARGE, None)) is None
    assert not keeper.kept


def test_an_array_s_end_is_its_datum_s(keeper: Keeper) -> None:
    array = np.zeros(LARGE)
    keeper.ref(array)
    assert len(keeper.sharing._met) == 1
    del array
    gc.collect()
    assert not keeper.sharing._met


def test_few_are_remembered(keeper: Keeper) -> None:
    arrays = [np.full(SMALL, float(number)) for number in range(REMEMBERED + 1)]
    for array in arrays * 2:
        keeper.ref(array)
    assert len(keeper.sharing._met) == REMEMBERED


class Sharings(RuleBasedStateMachine):
    """Arrays made, changed, sent and dropped in any order: what is sent is what the array was at that moment."""

    def __init__(self) -> None:
        super().__init__()
        self.keeper = Keeper()
        self.arrays: list[np.ndarray] = []

    @rule(size=st.sampled_from([SMALL, LARGE]), fill=st.integers(0, 2))
    def make(self, size: int, fill: int) -> None:
        self.arrays.append(np.full(size, float(fill)))

    @precondition(lambda self: self.arrays)
    @rule(data=st.data(), fill=st.integers(0, 2))
    def change(self, data: st.DataObject, fill: int) -> None:
        array = data.draw(st.sampled_from(self.arrays))
        array[data.draw(st.integers(0, SMALL - 1))] = fill

    @precondition(lambda self: self.arrays)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        del self.arrays[data.draw(st.integers(0, len(self.arrays) - 1))]

    @precondition(lambda self: self.arrays)
    @rule(data=st.data())
    def send(self, data: st.DataObject) -> None:
        array = self.arrays[data.draw(st.integers(0, len(self.arrays) - 1))]
        kept = self.keeper.ref(array)
        assert kept is None or np.array_equal(kept.value, array)
        again = self.keeper.ref(array)
        assert again is not None, "it has come a second time"
        assert kept is None or again is kept
        assert np.array_equal(again.value, array)


TestSharings = Sharings.TestCase
TestSharings.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


def test_bytes_and_texts_that_come_again(keeper: Keeper) -> None:
    large, text, small = bytes(AT_ONCE_BYTES), "x" * (AT_ONCE_BYTES // 4), b"small"
    keep = keeper.sharing._keep

    def kept(value: Any) -> tuple[Ref[Any], Any]:
        return keep(np.frombuffer(value if isinstance(value, bytes) else value.encode(), "u1"))

    sharing = Sharing(kept)
    args, kwargs = sharing.constants((1, large, small), {"text": text, "n": None})
    assert args == (1, large, small)
    assert kwargs == {"text": text, "n": None}
    again, named = sharing.constants((large,), {"text": text})
    assert isinstance(again[0], Kept), "met for the second time"
    assert isinstance(named["text"], Kept)
    assert sharing.constants((), {"text": text})[1]["text"] is named["text"]
    assert keeper.kept == 2
    equal = bytes(bytearray(large))
    assert sharing.constants((equal,), {})[0][0] is equal, "another one"
