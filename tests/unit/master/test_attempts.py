"""Counts against a plain counter."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from manyhands.master.attempts import Counts

BOUND = 16
bound = st.integers(0, BOUND)
operations = st.lists(st.tuples(st.sampled_from(["bump", "bump", "forget"]), bound, bound), max_size=25)


@given(operations, bound, bound)
def test_follows_a_counter(steps, lo, hi):
    counts, model = Counts(), Counter()
    for kind, a, b in steps:
        if a >= b:
            continue
        if kind == "bump":
            counts.bump(a, b)
            model.update(range(a, b))
        else:
            counts.forget(a, b)
            for index in range(a, b):
                del model[index]
        assert bool(counts) == any(model.values())
        assert [index for lo, hi in counts.counted() for index in range(lo, hi)] == sorted(+model)
        assert [counts.of(index) for index in range(BOUND)] == [model[index] for index in range(BOUND)]
    if lo < hi:
        runs = counts.split(lo, hi)
        assert [index for a, b, _ in runs for index in range(a, b)] == list(range(lo, hi))
        assert all(model[index] == count for a, b, count in runs for index in range(a, b))


def test_losing_a_range_costs_one_range():
    counts = Counts()
    for _ in range(3):
        counts.bump(0, 100_000)
    assert counts.split(0, 100_000) == [(0, 100_000, 3)]
    assert len(counts._starts) == 2


def test_a_task_that_is_tried_a_million_times_costs_no_more():
    counts = Counts()
    counts.bump(4, 5, 1_000_000)
    for _ in range(3):
        counts.bump(4, 5)
    assert counts.split(0, 9) == [(0, 4, 0), (4, 5, 1_000_003), (5, 9, 0)]
    assert counts.counted() == [(4, 5)]
    assert len(counts._starts) == 2
