"""What leaves report and merging tasks are told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyhands.wire.bounds import COUNT_MAX
from manyhands.wire.segments import NO_ID, Grouped, Segment, SegmentsError, pack_merge, read_merge

ids = st.binary(min_size=16, max_size=16).filter(any)
sizes = st.integers(0, 1 << 50)
parts = st.one_of(st.builds(Segment, ids, sizes, sizes), st.binary(max_size=50))


@given(st.one_of(ids, st.just(NO_ID)), st.lists(st.integers(0, 99), min_size=1, max_size=5))
def test_a_leaf_reports_what_came_of_it(id, lengths):
    content = bytes(range(sum(lengths) % 256)) if id == NO_ID else b""
    lengths = tuple(lengths) if id != NO_ID or len(content) == sum(lengths) else (len(content),)
    grouped = Grouped(lengths, id, content)
    assert Grouped.read(grouped.pack(), len(lengths)) == grouped
    for wrong in (grouped.pack() + b"x", grouped.pack()[:-1]):
        with pytest.raises(SegmentsError):
            Grouped.read(wrong, len(lengths))
    with pytest.raises(SegmentsError):
        Grouped.read(grouped.pack(), len(lengths) + 1 + len(content) // 8)


def test_a_datum_has_a_size_that_can_be():
    with pytest.raises(SegmentsError, match="no datum is"):
        Grouped.read(Grouped((COUNT_MAX, 1), b"i" * 16).pack(), 2)


@given(st.integers(1, 4096), st.lists(parts, max_size=5))
def test_a_merging_task_is_told_its_segments(partitions, segments):
    told, read = read_merge(memoryview(pack_merge(partitions, segments)))
    assert (told, list(read)) == (partitions, segments)
