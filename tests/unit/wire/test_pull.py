"""Pulls: every byte once, whatever order parts come in; nonsense is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.needs import Need
from manyhands.wire.pull import FETCH_BYTES, FETCHES_MAX, NotThere, Pull, serve
from manyhands.wire.session import ProtocolError

ID = bytes(range(16))


class Memory:
    """A store whose data say at each MiB where that lies: no test needs real content."""

    def __init__(self, size: int) -> None:
        self.size = size

    def read(self, id: bytes, offset: int, length: int) -> bytes:
        if id != ID:
            raise KeyError(id)
        if offset + length > self.size:
            raise ValueError("beyond the end")
        return offset.to_bytes(8, "little").ljust(length, b".")[:length]


def part(fetch: pb.Fetch) -> pb.Part:
    return serve(fetch, Memory(1 << 40))


@st.composite
def needs(draw: st.DrawFn) -> tuple[Need, int]:
    size = draw(st.integers(1, 9 * FETCH_BYTES + 5))
    if draw(st.booleans()):
        return Need(ID), size
    offset = draw(st.integers(0, size - 1))
    return Need(ID, offset, draw(st.integers(1, size - offset))), size


@given(needs(), st.data())
def test_every_byte_comes_once_whatever_happens(asked: tuple[Need, int], data: st.DataObject) -> None:
    need, size = asked
    begin, end = need.range_in(size)
    pull = Pull(need, size)
    on_the_way: list[pb.Fetch] = []
    answered: list[pb.Part] = []
    kept: dict[int, int] = {}
    while not pull.is_done:
        on_the_way += pull.fetches()
        assert 0 < len(on_the_way) <= FETCHES_MAX
        step = data.draw(st.sampled_from(["part", "part", "part", "restart", "again"]))
        if step == "restart":
            pull.restart()
            on_the_way.clear()
        elif step == "again" and answered:
            assert not pull.on_part(data.draw(st.sampled_from(answered)))
        else:
            fetch = on_the_way.pop(data.draw(st.integers(0, len(on_the_way) - 1)))
            answer = part(fetch)
            assert pull.on_part(answer)
            assert answer.offset not in kept
            kept[answer.offset] = len(answer.data)
            answered.append(answer)
    assert pull.fetches() == []
    at = begin
    for offset, length in sorted(kept.items()):
        assert offset == at
        at += length
    assert at == end


@given(needs(), st.data())
def test_a_wrong_part_is_refused_and_changes_nothing(asked: tuple[Need, int], data: st.DataObject) -> None:
    need, size = asked
    begin, end = need.range_in(size)
    pull = Pull(need, size)
    fetch = pull.fetches()[0]
    right = part(fetch)
    wrong = pb.Part()
    wrong.CopyFrom(right)
    match data.draw(st.sampled_from(["id", "before", "inside", "beyond", "short", "long", "empty"])):
        case "id":
            wrong.id = bytes(16)
        case "before" if begin:
            wrong.offset = data.draw(st.integers(0, begin - 1))
        case "inside":
            wrong.offset += data.draw(st.integers(1, FETCH_BYTES - 1))
        case "beyond":
            wrong.offset = data.draw(st.integers(end, (1 << 64) - 1))
        case "short":
            wrong.data = right.data[:-1]
        case "long":
            wrong.data = right.data + b"."
        case _:
            wrong.data = b""
    with pytest.raises(ProtocolError):
        pull.on_part(wrong)
    assert pull.on_part(right)


def test_a_part_that_was_not_asked_for_yet_is_dropped() -> None:
    pull = Pull(Need(ID), 20 * FETCH_BYTES)
    pull.fetches()
    late = pb.Part(id=ID, offset=19 * FETCH_BYTES, data=bytes(FETCH_BYTES))
    assert not pull.on_part(late)
    assert not pull.is_done


def test_an_empty_datum_has_nothing_to_ask_for() -> None:
    pull = Pull(Need(ID), 0)
    assert pull.is_done
    assert pull.fetches() == []


def test_a_need_beyond_the_datum_is_refused() -> None:
    with pytest.raises(ProtocolError):
        Pull(Need(ID, 5, 6), 10)


def test_a_source_without_the_datum_says_so() -> None:
    pull = Pull(Need(bytes(16)), 10)
    with pytest.raises(NotThere):
        pull.on_part(part(pull.fetches()[0]))


@pytest.mark.parametrize(
    "fetch",
    [
        pb.Fetch(id=ID, length=0),
        pb.Fetch(id=ID, length=FETCH_BYTES + 1),
        pb.Fetch(id=ID[1:], length=1),
        pb.Fetch(id=ID, offset=1 << 63, length=1),
    ],
)
def test_nobody_is_served_what_cannot_be_asked_for(fetch: pb.Fetch) -> None:
    with pytest.raises(ProtocolError):
        serve(fetch, Memory(100))
