"""The progress bars of a reduction: one for each phase, on stderr, or a plain line where that is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from manyhands.client.detached import Phase
from manyhands.client.progress import LINE_INTERVAL, make_bar


class PhaseProgress:
    """Shows what the master says. Time is read from `clock`, in monotonic seconds."""

    def __init__(self, label: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._label = label
        self._clock = clock
        self._phases: Sequence[Phase] = ()
        self._started_at = self._line_at = clock()
        self._bar: Any = make_bar() if sys.stderr is not None and sys.stderr.isatty() else None
        self._lines: dict[str, Any] = {}

    def show(self, phases: Sequence[Phase]) -> None:
        """How it fares now, if that is known."""
        self._phases = phases or self._phases
        if self._bar is not None:
            for phase in self._phases:
                if phase.name not in self._lines:
                    self._lines[phase.name] = self._bar.add_task(f"{self._label}: {phase.name}")
                self._bar.update(self._lines[phase.name], completed=phase.done, total=phase.total)
        elif self._clock() - self._line_at >= LINE_INTERVAL:
            self._line_at = self._clock()
            self._print_line()

    def close(self) -> None:
        """It has ended."""
        if self._bar is not None:
            self._bar.stop()
        else:
            self._print_line()

    def _print_line(self) -> None:
        phases = ", ".join(f"{phase.name} {phase.done} of {phase.total}" for phase in self._phases)
        elapsed = self._clock() - self._started_at
        print(f"{self._label}: {phases or 'begun'}, {elapsed:.1f} s", file=sys.stderr)  # noqa: T201
