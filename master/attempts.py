"""How often each task was tried: sparse counts, for whole ranges at once."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import pairwise

from manyhands.wire.spans import Span, SpanSet


class Counts:
    """A count for each task index, zero by default.

    Kept as maximal runs of equal count, so losing a worker with 100 000 tasks costs one run, and a task that was tried
    a million times no more than one that was tried once.
    """

    __slots__ = ("_counts", "_starts")

    # Run k begins at _starts[k], ends where the next one begins, and has _counts[k]; before the first, and in the last,
    # all counts are zero. Neighbours differ.

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._counts: list[int] = []

    def __bool__(self) -> bool:
        return bool(self._starts)

    def bump(self, lo: int, hi: int, times: int = 1) -> None:
        """Count [lo, hi) once more, or `times` more."""
        self._replace([(a, b, count + times) for a, b, count in self.split(lo, hi)])

    def counted(self) -> list[Span]:
        """Those whose count is not zero."""
        runs = zip(pairwise(self._starts), self._counts, strict=False)  # the last one has no end, and counts nothing
        return list(SpanSet(span for span, count in runs if count))

    def of(self, index: int) -> int:
        """The count of one index."""
        at = bisect_right(self._starts, index) - 1
        return self._counts[at] if at >= 0 else 0

    def split(self, lo: int, hi: int) -> list[tuple[int, int, int]]:
        """[lo, hi) as (lo, hi, count) runs of equal count."""
        starts = self._starts
        cuts = [lo, *starts[bisect_right(starts, lo) : bisect_left(starts, hi)], hi]
        return [(a, b, self.of(a)) for a, b in pairwise(cuts) if a < b]

    def forget(self, lo: int, hi: int) -> None:
        """Set [lo, hi) back to zero: those tasks have their outcome."""
        if lo < hi:
            self._replace([(lo, hi, 0)])

    def _replace(self, runs: list[tuple[int, int, int]]) -> None:
        """Put adjoining `runs` in place of what is there, and join those that are equal."""
        if not runs:
            return
        lo, hi = runs[0][0], runs[-1][1]
        before, after = self.of(lo - 1), self.of(hi)
        starts, counts = [], []
        last = before
        for start, count in [*((a, count) for a, _, count in runs), (hi, after)]:
            if count != last:
                starts.append(start)
                counts.append(count)
                last = count
        i, j = bisect_left(self._starts, lo), bisect_right(self._starts, hi)
        self._starts[i:j] = starts
        self._counts[i:j] = counts
