"""Interval sets: many task indices in little memory, as sorted half-open ranges."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import pairwise

#: Ranges in one message, at most: whoever has more to say says it in several.
RANGES_MAX = 4096

Span = tuple[int, int]


class SpanSet:
    """A set of non-negative integers, kept as maximal disjoint half-open ranges.

    Cost follows the number of ranges, not of members: a million consecutive indices are two integers. Hence no
    `len()`: `list(spans)` would make room for each member.
    """

    __slots__ = ("_bounds", "_count")

    # `_bounds` is lo0, hi0, lo1, hi1, ... strictly increasing: an index is a member
    # exactly if an odd number of bounds lies at or below it.

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self._bounds: list[int] = []
        self._count = 0
        for lo, hi in spans:
            self.add(lo, hi)

    @property
    def count(self) -> int:
        """How many members."""
        return self._count

    def __bool__(self) -> bool:
        return self._count > 0

    def __contains__(self, index: int) -> bool:
        return bisect_right(self._bounds, index) % 2 == 1

    def __iter__(self) -> Iterator[Span]:
        bounds = self._bounds
        return iter([(bounds[i], bounds[i + 1]) for i in range(0, len(bounds), 2)])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SpanSet) and self._bounds == other._bounds

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"SpanSet({list(self)})"

    @property
    def span_count(self) -> int:
        """How many ranges it takes."""
        return len(self._bounds) // 2

    @property
    def first(self) -> int:
        """The lowest member; the set must not be empty."""
        return self._bounds[0]

    @property
    def first_span(self) -> Span:
        """The lowest range; the set must not be empty."""
        return self._bounds[0], self._bounds[1]

    def add(self, lo: int, hi: int) -> int:
        """Add [lo, hi); return how many members are new."""
        if lo >= hi:
            return 0
        bounds = self._bounds
        if not bounds or lo > bounds[-1]:
            bounds += (lo, hi)
            self._count += hi - lo
            return hi - lo
        if lo == bounds[-1]:  # in-order growth, the common case
            bounds[-1] = hi
            self._count += hi - lo
            return hi - lo
        i = bisect_left(bounds, lo)
        j = bisect_right(bounds, hi)
        return self._replace(i, j, ([] if i % 2 else [lo]) + ([] if j % 2 else [hi]))

    def remove(self, lo: int, hi: int) -> int:
        """Remove [lo, hi); return how many members went."""
        bounds = self._bounds
        if lo >= hi or not bounds:
            return 0
        i = bisect_left(bounds, lo)
        j = bisect_right(bounds, hi)
        return -self._replace(i, j, ([lo] if i % 2 else []) + ([hi] if j % 2 else []))

    def _replace(self, i: int, j: int, middle: list[int]) -> int:
        """Put `middle` in place of bounds[i:j]; return how much the set grew.

        The members' number is the alternating sum of the bounds, so only the replaced part counts.
        """
        bounds = self._bounds
        sign = 1 if i % 2 else -1
        grown = sign * (_alternating(middle) - _alternating(bounds[i:j]))
        bounds[i:j] = middle
        self._count += grown
        return grown

    def pop_first(self, limit: int) -> Span:
        """Remove and return the lowest range, cut to `limit` members."""
        bounds = self._bounds
        lo, hi = bounds[0], bounds[1]
        if hi - lo <= limit:
            del bounds[:2]
        else:
            hi = lo + limit
            bounds[0] = hi
        self._count -= hi - lo
        return lo, hi

    def overlap(self, lo: int, hi: int) -> list[Span]:
        """The parts of [lo, hi) that are members."""
        return self._parts(lo, hi, member=1)

    def missing(self, lo: int, hi: int) -> list[Span]:
        """The parts of [lo, hi) that are not members."""
        return self._parts(lo, hi, member=0)

    def _parts(self, lo: int, hi: int, member: int) -> list[Span]:
        if lo >= hi:
            return []
        bounds = self._bounds
        i = bisect_right(bounds, lo)
        j = bisect_left(bounds, hi)
        cuts = [lo, *bounds[i:j], hi]
        start = 0 if i % 2 == member else 1
        return [(cuts[k], cuts[k + 1]) for k in range(start, len(cuts) - 1, 2)]

    def copy(self) -> SpanSet:
        """An independent copy."""
        other = SpanSet()
        other._bounds = self._bounds.copy()
        other._count = self._count
        return other

    def clear(self) -> None:
        """Remove everything."""
        self._bounds.clear()
        self._count = 0

    def check_invariants(self) -> None:
        """Assert that bounds increase strictly and the count is theirs."""
        bounds = self._bounds
        assert len(bounds) % 2 == 0
        assert all(a < b for a, b in pairwise(bounds)), bounds
        assert self._count == sum(hi - lo for lo, hi in self)


def _alternating(values: list[int]) -> int:
    return sum(values[0::2]) - sum(values[1::2])


def tail(spans: list[Span], count: int) -> list[Span]:
    """The last `count` indices of sorted disjoint ranges, as ranges."""
    taken: list[Span] = []
    for lo, hi in reversed(spans):
        if count <= 0:
            break
        start = max(lo, hi - count)
        taken.append((start, hi))
        count -= hi - start
    taken.reverse()
    return taken
