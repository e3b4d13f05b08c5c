"""SpanSet against a set of integers."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from manyhands.wire.spans import SpanSet, tail

BOUND = 24
bound = st.integers(0, BOUND)
spans = st.lists(st.tuples(bound, bound), max_size=8)
operations = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "pop", "clear"]), bound, bound), min_size=1, max_size=20
)


def members(spans):
    return {index for lo, hi in spans for index in range(lo, hi)}


@given(operations)
def test_follows_a_set_through_any_operations(steps):
    ours, model = SpanSet(), set()
    for kind, lo, hi in steps:
        if kind == "add":
            assert ours.add(lo, hi) == len(set(range(lo, hi)) - model)
            model |= set(range(lo, hi))
        elif kind == "remove":
            assert ours.remove(lo, hi) == len(set(range(lo, hi)) & model)
            model -= set(range(lo, hi))
        elif kind == "pop" and model:
            first = ours.first
            assert first == min(model)
            taken = set(range(*ours.pop_first(lo + 1)))
            assert taken <= model
            assert min(taken) == first
            assert len(taken) <= lo + 1
            assert len(taken) == lo + 1 or max(taken) + 1 not in model
            model -= taken
        elif kind == "clear" and lo < 3:
            ours.clear()
            model.clear()
        ours.check_invariants()
        assert members(ours) == model
        assert ours.count == len(model)
        assert bool(ours) == bool(model)
        if model:
            assert ours.first_span[0] == min(model)


@given(spans, bound, bound)
def test_overlap_and_missing_split_a_range(given_spans, lo, hi):
    ours, model, asked = SpanSet(given_spans), members(given_spans), set(range(lo, hi))
    inside, outside = ours.overlap(lo, hi), ours.missing(lo, hi)
    assert members(inside) == asked & model
    assert members(outside) == asked - model
    for parts in (inside, outside):
        assert parts == sorted(parts)
        assert all(a < b for a, b in parts)
        assert all(left[1] < right[0] for left, right in pairwise(parts)), "maximal ranges"


@given(spans)
def test_ranges_are_maximal_and_membership_is_theirs(given_spans):
    ours, model = SpanSet(given_spans), members(given_spans)
    assert [index for index in range(BOUND + 1) if index in ours] == sorted(model)
    assert ours.span_count == len(list(ours))
    assert ours == SpanSet((index, index + 1) for index in model)


@given(spans, bound, bound)
def test_a_copy_is_independent(given_spans, lo, hi):
    ours = SpanSet(given_spans)
    copy = ours.copy()
    assert copy == ours
    copy.add(lo, hi)
    copy.remove(0, 3)
    assert ours == SpanSet(given_spans)


@given(spans, st.integers(0, BOUND + 3))
def test_tail_is_the_last_indices(given_spans, count):
    ours = SpanSet(given_spans)
    taken = tail(list(ours), count)
    indices = sorted(members(ours))
    assert members(taken) == set(indices[max(0, len(indices) - count) :])
    assert taken == sorted(taken)


def test_a_million_consecutive_indices_are_one_range():
    ours = SpanSet()
    for lo in range(0, 1_000_000, 1000):
        ours.add(lo, lo + 1000)
    assert ours.span_count == 1
    assert ours.count == 1_000_000
    assert ours.first_span == (0, 1_000_000)


def test_a_list_of_ranges_makes_no_room_for_their_members():
    spans = [(1, 1 << 62), ((1 << 62) + 1, (1 << 63) - 1)]
    ours = SpanSet(spans)
    assert list(ours) == [*ours] == spans
    assert tuple(ours) == tuple(spans)
    assert ours.count == (1 << 63) - 3
