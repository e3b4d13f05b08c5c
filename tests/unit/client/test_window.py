"""How far ahead of its reader a lazily fed map is."""

from hypothesis import given
from hypothesis import strategies as st

from manyhands.client.feeding import AHEAD_BYTES, Window


def test_it_begins_with_a_few_tasks_a_slot() -> None:
    assert Window(None, 0.0).size(0, 10, slots=4, now=0.0) == 16


def test_it_follows_the_reader() -> None:
    window = Window(None, 0.0)
    assert window.size(1000, 10, slots=1, now=0.1) == 10_000
    assert window.size(1100, 10, slots=1, now=1.1) == 100
    assert window.size(1101, 10, slots=1, now=2.1) == 4  # never below a few a slot
    assert window.size(1101, 10, slots=1, now=1000.0) == 4


def test_its_bytes_are_bounded() -> None:
    window = Window(None, 0.0)
    assert window.size(10_000_000, 10, slots=1, now=1.0) * 10 <= AHEAD_BYTES
    assert window.size(0, 10 << 20, slots=64, now=1.0) == 6
    assert window.size(0, 1 << 30, slots=64, now=1.0) == 1


def test_buffersize_fixes_it() -> None:
    window = Window(7, 0.0)
    assert window.size(0, 10, slots=100, now=0.0) == window.size(10**6, 10**9, slots=1, now=1.0) == 7


@given(
    st.lists(st.tuples(st.floats(0, 10), st.integers(0, 10**7), st.floats(1, 1e9)), max_size=20),
    st.integers(1, 1000),
)
def test_there_is_always_room_for_one(steps: list[tuple[float, int, float]], slots: int) -> None:
    window, now, taken = Window(None, 0.0), 0.0, 0
    for elapsed, count, item_bytes in steps:
        now += elapsed
        taken += count
        assert window.size(taken, item_bytes, slots, now) >= 1
