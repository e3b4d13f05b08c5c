"""The progress bar of a search: evaluations, the best score, the rate; a plain line now and then without a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from manyhands.client.progress import LINE_INTERVAL, make_bar

if TYPE_CHECKING:
    from manyhands.optimize.progress import Progress


class SearchBar:
    """Shows what the master says. Time is read from `clock`, in monotonic seconds."""

    def __init__(self, label: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._label = label
        self._clock = clock
        self._progress: Progress | None = None
        self._line_at = clock()
        self._bar: Any = make_bar() if sys.stderr is not None and sys.stderr.isatty() else None
        self._line: Any = None

    def show(self, progress: Progress) -> None:
        """How far it is now."""
        self._progress = progress
        if self._bar is not None:
            if self._line is None:
                self._line = self._bar.add_task(self._label, total=progress.budget)
            self._bar.update(self._line, completed=progress.evaluations, description=self._described(progress))
        elif self._clock() - self._line_at >= LINE_INTERVAL:
            self._line_at = self._clock()
            self._print_line()

    def close(self) -> None:
        """It has ended."""
        if self._bar is not None:
            self._bar.stop()
        else:
            self._print_line()

    def _described(self, progress: Progress) -> str:
        best = "" if progress.best_score is None else f" best {progress.best_score:.6g},"
        return f"{self._label}:{best} {progress.rate:,.0f}/s, efficiency {progress.efficiency:.0%}"

    def _print_line(self) -> None:
        print(f"{self._label}: {self._progress or 'begun'}", file=sys.stderr)  # noqa: T201
