"""How often each task was tried: sparse counts, for whole ranges at once."""

from __future__ import annotations

from manyhands.wire.spans import Span, SpanSet


class Counts:
    """A count for each task index, zero by default.

    Level k holds the indices whose count exceeds k, so losing a worker with 100 000 tasks costs one range.
    """

    __slots__ = ("_levels",)

    def __init__(self) -> None:
        self._levels: list[SpanSet] = []

    def __bool__(self) -> bool:
        return bool(self._levels)

    def bump(self, lo: int, hi: int) -> None:
        """Count [lo, hi) once more."""
        carried: list[Span] = [(lo, hi)]
        for level in self._levels:
            beyond = [part for a, b in carried for part in level.overlap(a, b)]
            for a, b in carried:
                level.add(a, b)
            carried = beyond
            if not carried:
                return
        self._levels.append(SpanSet(carried))

    def counted(self) -> list[Span]:
        """Those whose count is not zero."""
        return list(self._levels[0]) if self._levels else []

    def of(self, index: int) -> int:
        """The count of one index."""
        return sum(1 for level in self._levels if index in level)

    def split(self, lo: int, hi: int) -> list[tuple[int, int, int]]:
        """[lo, hi) as (lo, hi, count) runs of equal count."""
        runs = [(lo, hi, 0)]
        for depth, level in enumerate(self._levels):
            finer: list[tuple[int, int, int]] = []
            for a, b, count in runs:
                if count < depth:
                    finer.append((a, b, count))
                    continue
                finer += [(c, d, count + 1) for c, d in level.overlap(a, b)]
                finer += [(c, d, count) for c, d in level.missing(a, b)]
            runs = finer
        runs.sort()
        return runs

    def forget(self, lo: int, hi: int) -> None:
        """Set [lo, hi) back to zero: those tasks have their outcome."""
        for level in self._levels:
            level.remove(lo, hi)
        while self._levels and not self._levels[-1]:
            self._levels.pop()
