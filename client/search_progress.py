"""The progress bar of a search: evaluations, the best score, the rate; a plain line now and then without a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from manyhands.client.progress import Shown

if TYPE_CHECKING:
    from manyhands.optimize.progress import Progress


class SearchBar(Shown):
    """Shows what the master says."""

    def __init__(self, label: str, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(label, clock)
        self._progress: Progress | None = None
        self._line: Any = None

    def show(self, progress: Progress) -> None:
        """How far it is now."""
        self._progress = progress
        if self._bar is not None:
            if self._line is None:
                self._line = self._bar.add_task(self._label, total=progress.budget)
            self._bar.update(self._line, completed=progress.evaluations, description=self._described(progress))
        else:
            self._print_if_due()

    def _described(self, progress: Progress) -> str:
        best = "" if progress.best_score is None else f" best {progress.best_score:.6g},"
        return f"{self._label}:{best} {progress.rate:,.0f}/s, efficiency {progress.efficiency:.0%}"

    def _text(self) -> str:
        return str(self._progress or "begun")
