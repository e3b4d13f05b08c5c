"""Results on their way to the master: joined where they are neighbours, in bodies of bounded size."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.builders import items_of, packed

from manyhands.protos import manyhands_pb2 as pb
from manyhands.worker.pieces import Lease
from manyhands.worker.reports import Done
from manyhands.worker.results import BODY_BYTES, REBASE_COUNT, ResultBuffer
from manyhands.worker.slot_state import Kept

LEASE = Lease(3, 7)
OTHER = Lease(4, 7)


def done(items: Sequence[bytes], base: int = 0, seconds: float = 0.25) -> Done:
    return Done(1, len(items), base, *packed(items, base), seconds)


def runs(buffer: ResultBuffer) -> list[tuple[int, int, dict[int, bytes]]]:
    """(lease, first index, items) of each body."""
    bodies = buffer.take()
    assert not buffer
    assert buffer.bytes == 0
    return [(r.lease, r.first, items_of(r.first, r.base, r.ends, r.payload)) for r in (body.results for body in bodies)]


def test_one_report_is_one_body() -> None:
    buffer = ResultBuffer()
    assert not buffer
    buffer.add(LEASE, 5, done([b"a", b"", b"ccc"], base=9))
    assert buffer
    assert buffer.bytes == 4 + 12
    (body,) = buffer.take()
    ends, payload = packed([b"a", b"", b"ccc"], 9)
    assert body.results == pb.Results(job=7, lease=3, first=5, base=9, ends=ends, payload=payload, seconds=0.25)
    assert buffer.take() == []


def test_neighbours_are_joined_in_whatever_order_they_came() -> None:
    buffer = ResultBuffer()
    buffer.add(LEASE, 7, done([b"h"], base=0))  # one offset is rewritten
    buffer.add(LEASE, 5, done([b"f", b"gg"], base=4))
    buffer.add(LEASE, 8, done([b"i", b"j"], base=8))  # continues the offsets: 4 + 3 + 1
    buffer.add(LEASE, 10, done([b"k", b"l"], base=100))  # few offsets are rewritten
    (body,) = buffer.take()
    results = body.results
    assert results.base == 4
    assert results.seconds == 1.0
    found = items_of(results.first, results.base, results.ends, results.payload)
    assert found == {5: b"f", 6: b"gg", 7: b"h", 8: b"i", 9: b"j", 10: b"k", 11: b"l"}


def test_what_is_not_joined() -> None:
    buffer = ResultBuffer()
    buffer.add(LEASE, 0, done([b"a"]))
    buffer.add(LEASE, 2, done([b"c"]))  # a gap
    buffer.add(OTHER, 3, done([b"d"]))  # another lease
    many = [b"x"] * (REBASE_COUNT + 1)
    buffer.add(OTHER, 4, done(many, base=50))  # many offsets that would have to be rewritten
    assert [(lease, first, len(items)) for lease, first, items in runs(buffer)] == [
        (3, 0, 1),
        (3, 2, 1),
        (4, 3, 1),
        (4, 4, REBASE_COUNT + 1),
    ]


def test_what_is_stored_is_told_with_the_run_that_has_it() -> None:
    buffer = ResultBuffer()
    buffer.add(LEASE, 7, done([b"c"]), [Kept(7, b"2" * 16, 20, is_new=True)])
    buffer.add(
        LEASE, 5, done([b"a", b"b"]), [Kept(5, b"0" * 16, 10, is_new=True), Kept(6, b"1" * 16, 15, is_new=False)]
    )
    buffer.add(LEASE, 9, done([b"e"]), [Kept(9, b"4" * 16, 40, is_new=True)])
    one, other = (body.results for body in buffer.take())
    assert [(each.index, each.id[:1], each.size) for each in one.stored] == [
        (5, b"0", 10),
        (6, b"1", 15),
        (7, b"2", 20),
    ]
    assert [(each.index, each.id[:1], each.size) for each in other.stored] == [(9, b"4", 40)]


def test_what_is_stored_of_results_that_are_dropped() -> None:
    buffer = ResultBuffer()
    kept = [Kept(5, b"0" * 16, 10, is_new=True)]
    buffer.add(LEASE, 5, done([b"a"]), kept)
    buffer.add(LEASE, 6, done([b"b"]))
    assert buffer.clear() == kept
    assert buffer.clear() == []


def test_bodies_stay_small_but_for_single_reports() -> None:
    buffer = ResultBuffer()
    size = BODY_BYTES // 4 - 4
    for index in range(6):
        buffer.add(LEASE, index, done([b"x" * size]))
    buffer.add(LEASE, 6, done([b"y" * (2 * BODY_BYTES)]))
    assert [len(items) for _, _, items in runs(buffer)] == [4, 2, 1]


def test_offsets_never_pass_32_bits() -> None:
    buffer = ResultBuffer()
    buffer.add(LEASE, 0, done([b"abcd"], base=(1 << 32) - 6))
    buffer.add(LEASE, 1, done([b"ef"], base=0))
    assert [items for _, _, items in runs(buffer)] == [{0: b"abcd"}, {1: b"ef"}]


def test_other_bodies_go_along_and_first() -> None:
    buffer = ResultBuffer()
    failure = pb.Body(failure=pb.Failure(job=7, lease=3, index=1))
    buffer.add(LEASE, 0, done([b"a"]))
    buffer.add_body(failure, 10)
    assert buffer.bytes == 15
    assert [body.WhichOneof("kind") for body in buffer.take()] == ["failure", "results"]
    buffer.add_body(failure, 10)
    assert buffer
    buffer.clear()
    assert not buffer
    assert buffer.bytes == 0


@given(
    sizes=st.lists(st.tuples(st.integers(1, 70), st.integers(0, 3), st.integers(0, 200)), min_size=1, max_size=12),
    order=st.randoms(use_true_random=False),
)
@pytest.mark.parametrize("continued", [False, True])
def test_every_result_arrives_as_it_was(sizes, order, continued: bool) -> None:
    reports, expected, index, base = [], {}, 0, 0
    for count, gap, start in sizes:
        items = [b"%d" % (index + k) for k in range(count)]
        expected.update({index + k: item for k, item in enumerate(items)})
        report = done(items, base if continued else start)
        base += len(report.payload)
        reports.append((index, report))
        index += count + max(0, gap - 2)
    order.shuffle(reports)
    buffer = ResultBuffer()
    for first, report in reports:
        buffer.add(LEASE, first, report)
    found: dict[int, bytes] = {}
    for _, _, items in runs(buffer):
        assert not found.keys() & items.keys()
        found |= items
    assert found == expected
