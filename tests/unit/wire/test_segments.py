"""What leaves report and merging tasks are told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyhands.wire.bounds import COUNT_MAX
from manyhands.wire.segments import Grouped, Segment, SegmentsError, pack_merge, read_merge

ids = st.binary(min_size=16, max_size=16)
sizes = st.integers(0, 1 << 50)


@given(ids, st.lists(sizes, min_size=1, max_size=5))
def test_a_leaf_reports_its_datum(id, lengths):
    grouped = Grouped(id, tuple(lengths))
    assert Grouped.read(grouped.pack(), len(lengths)) == grouped
    assert Grouped.read(memoryview(grouped.pack()), len(lengths)) == grouped
    segments = grouped.segments()
    assert [segment.length for segment in segments] == lengths
    assert [segment.offset for segment in segments] == [sum(lengths[:k]) for k in range(len(lengths))]
    for wrong in (len(lengths) + 1, len(lengths) - 1):
        with pytest.raises(SegmentsError):
            Grouped.read(grouped.pack(), wrong)


def test_a_datum_has_a_size_that_can_be():
    with pytest.raises(SegmentsError, match="no datum is"):
        Grouped.read(Grouped(bytes(16), (COUNT_MAX, 1)).pack(), 2)


@given(st.integers(1, 4096), st.lists(st.builds(Segment, ids, sizes, sizes), max_size=5))
def test_a_merging_task_is_told_its_segments(partitions, segments):
    told, read = read_merge(memoryview(pack_merge(partitions, segments)))
    assert (told, list(read)) == (partitions, segments)
