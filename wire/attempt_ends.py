"""How an attempt of a task ended that took down what it ran in: for people, in `TaskCrashed`."""

from __future__ import annotations

import signal as signals
import time
from typing import NamedTuple


class AttemptEnd(NamedTuple):
    """How one attempt of a crashed task ended.

    exit_code, signal: of its process, both None if the whole worker was lost, and `lost` then says how the master
    noticed; at: Unix time; seconds: that it had run, 0 if not known; memory: why memory may have run out, "" if nothing
    speaks for it; stderr_tail: the last lines it wrote.
    """

    worker: str
    exit_code: int | None = None
    signal: int | None = None
    lost: str = ""
    at: float = 0.0
    seconds: float = 0.0
    memory: str = ""
    stderr_tail: str = ""

    def __str__(self) -> str:
        if self.lost:
            end = f"worker {self.worker!r} was lost ({self.lost}) while it ran, or was about to"
        else:
            ran = f" after {self.seconds:.3g} s" if self.seconds else ""
            end = f"its process ended by {end_of(self.exit_code, self.signal)}{ran} on worker {self.worker!r}"
        when = time.strftime("%Y-%m-%d %H:%M:%S: ", time.localtime(self.at)) if self.at else ""
        return f"{when}{end}" + (f"; {self.memory}" if self.memory else "")


def end_of(exit_code: int | None, signal: int | None) -> str:
    """In words."""
    if signal is not None:
        return _signal_name(signal)
    return "an unknown cause" if exit_code is None else f"exit code {exit_code}"


def _signal_name(number: int) -> str:
    try:
        return f"signal {number} ({signals.Signals(number).name})"
    except ValueError:
        return f"signal {number}"
