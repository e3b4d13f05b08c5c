"""How many items a leaf takes."""

from __future__ import annotations

import pytest

from manyhands.wire.leaves import GROWTH, LEAF_ITEMS, RUN_ITEMS, leaf_length, run_length


@pytest.mark.parametrize(
    ("position", "length"),
    [
        *((0, 1), (1, 1), (2 * GROWTH - 1, 1), (2 * GROWTH, 2), (10 * GROWTH + 5, 10)),
        *((LEAF_ITEMS * GROWTH, LEAF_ITEMS), (1 << 40, LEAF_ITEMS)),
    ],
)
def test_length_of_a_leaf(position: int, length: int) -> None:
    assert leaf_length(position) == length


@pytest.mark.parametrize(
    ("left", "count", "size", "length"),
    [
        (1000, 100, 500, RUN_ITEMS),  # small ones
        (7, 100, 500, 7),
        (1000, 10, 10 << 10, 64),
        (1000, 1, 1 << 30, 1),  # one of them is more than a run
        (1000, 10, 0, RUN_ITEMS),
    ],
)
def test_length_of_a_run(left: int, count: int, size: int, length: int) -> None:
    assert run_length(left, count, size) == length
