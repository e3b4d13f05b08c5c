"""The story of a simulation: what happened when, kept cheaply and told only when something is wrong."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable

from manyhands.wire.spans import Span

#: Entries kept.
LENGTH = 200_000


class Violation(AssertionError):
    """A property does not hold; `job` (the master's number) and `index` say for which task, if it is one's."""

    def __init__(self, sentence: str, job: int | None = None, index: int | None = None) -> None:
        super().__init__(sentence)
        self.job = job
        self.index = index


class Story:
    """Entries are formatted when they are told."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._entries: deque[tuple[float, str, tuple[object, ...], int | None, tuple[Span, ...]]] = deque(maxlen=LENGTH)

    def tell(self, text: str, *values: object, job: int | None = None, spans: Iterable[Span] = ()) -> None:
        self._entries.append((self._clock(), text, values, job, tuple(spans)))

    def about(self, job: int, index: int) -> list[str]:
        """What happened to one task, and what concerned its whole job."""
        return [
            self._line(entry)
            for entry in self._entries
            if entry[3] == job and (not entry[4] or any(lo <= index < hi for lo, hi in entry[4]))
        ]

    def last(self, count: int) -> list[str]:
        return [self._line(entry) for entry in list(self._entries)[-count:]]

    def digest(self) -> str:
        """Equal for equal stories."""
        lines = "\n".join(self._line(entry) for entry in self._entries)
        return hashlib.blake2b(lines.encode(), digest_size=8).hexdigest()

    @staticmethod
    def _line(entry: tuple[float, str, tuple[object, ...], int | None, tuple[Span, ...]]) -> str:
        at, text, values, job, spans = entry
        where = "" if job is None else f" job {job}"
        which = " ".join(f"[{lo}, {hi})" for lo, hi in spans[:8]) + (" ..." if len(spans) > 8 else "")
        return f"{at:11.5f}{where} {which} {text % values if values else text}"
