"""What set-ups have made is kept, the latest used of it, and what is dropped is gone before more is made."""

from __future__ import annotations

import weakref

import pytest

from manyhands.worker.slot_setups import KEPT_MAX, Key, SetUps


class Model:
    def __init__(self) -> None:
        self.itself = self


def key(number: int) -> Key:
    return number.to_bytes(16, "little"), b""


def test_the_latest_used_are_kept() -> None:
    set_ups = SetUps()
    for number in range(KEPT_MAX):
        set_ups.make(key(number), lambda number=number: number)  # type: ignore[misc]
    assert set_ups[key(0)] == 0
    set_ups.make(key(99), lambda: 99)
    assert [key(number) in set_ups for number in (0, 1, 2, 99)] == [True, False, True, True]
    assert (b"\0" * 16, b"f") not in set_ups, "another function's"


def test_what_is_dropped_is_gone_before_the_next_is_made() -> None:
    set_ups = SetUps()
    living: weakref.WeakSet[Model] = weakref.WeakSet()

    def make() -> Model:
        counts.append(len(living))
        model = Model()
        living.add(model)
        return model

    counts: list[int] = []
    for number in range(KEPT_MAX + 3):
        set_ups.make(key(number), make)
    assert counts == [*range(KEPT_MAX), *[KEPT_MAX - 1] * 3]


def test_what_failed_is_not_kept() -> None:
    set_ups = SetUps()
    with pytest.raises(ZeroDivisionError):
        set_ups.make(key(1), lambda: 1 / 0)
    assert key(1) not in set_ups
    set_ups.make(key(1), lambda: None)
    assert set_ups[key(1)] is None
