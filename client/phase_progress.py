"""The progress bars of a reduction: one for each phase, on stderr, or a plain line where that is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from manyhands.client.detached import Phase
from manyhands.client.progress import Shown


class PhaseProgress(Shown):
    """Shows what the master says."""

    def __init__(self, label: str, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(label, clock)
        self._phases: Sequence[Phase] = ()
        self._lines: dict[str, Any] = {}

    def show(self, phases: Sequence[Phase]) -> None:
        """How it fares now, if that is known."""
        self._phases = phases or self._phases
        if self._bar is not None:
            for phase in self._phases:
                if phase.name not in self._lines:
                    self._lines[phase.name] = self._bar.add_task(f"{self._label}: {phase.name}")
                self._bar.update(self._lines[phase.name], completed=phase.done, total=phase.total)
        else:
            self._print_if_due()

    def _text(self) -> str:
        phases = ", ".join(f"{phase.name} {phase.done} of {phase.total}" for phase in self._phases)
        return f"{phases or 'begun'}, {self._elapsed():.1f} s"
