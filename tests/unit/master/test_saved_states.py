"""What tasks saved: the latest of each, within the room that all jobs have together."""

from hypothesis import given
from hypothesis import strategies as st

from manyhands.master.saved_states import SavedStates, StateRoom


def test_beyond_the_room_what_was_there_stays() -> None:
    room = StateRoom(10)
    one, other = SavedStates(room), SavedStates(room)
    assert one.keep(3, 0, b"123456")
    assert not other.keep(3, 0, b"12345")
    assert not one.keep(3, 1, b"12345678901")
    assert one[3] == b"123456"
    assert one.keep(3, 1, b"1")
    assert other.keep(3, 0, b"12345")
    one.clear()
    other.drop(0, 3)
    assert room.used_bytes == 5
    other.drop(3, 4)
    assert not other
    assert room.used_bytes == 0


def test_of_two_attempts_the_later_ones_counts() -> None:
    states = SavedStates(StateRoom(100))
    assert not states.is_older(0, 0)
    states.keep(0, 2, b"second")
    assert states.is_older(0, 1)
    assert not states.is_older(0, 2)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.binary(max_size=6)), max_size=60))
def test_the_room_is_what_the_states_take(steps: list[tuple[bool, int, bytes]]) -> None:
    room = StateRoom(12)
    states = SavedStates(room)
    model: dict[int, bytes] = {}
    for keeps, index, state in steps:
        if keeps:
            fits = sum(map(len, model.values())) - len(model.get(index, b"")) + len(state) <= 12
            kept = states.keep(index, 0, state)
            assert kept or not fits
            if kept:
                model[index] = state
        else:
            states.drop(index, index + 2)
            model = {other: kept for other, kept in model.items() if not index <= other < index + 2}
        assert room.used_bytes == states.size_bytes == sum(map(len, model.values()))
        assert states.within(0, 9) == sorted(model)
        assert {index: states[index] for index in model} == model
