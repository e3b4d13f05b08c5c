"""The progress bar of `map(..., progress=True)`: on stderr, or a plain line now and then where that is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sized
from typing import Any

#: Seconds between plain lines.
LINE_INTERVAL = 10.0


class Progress:
    """Counts what was taken. Time is read from `clock`, in monotonic seconds."""

    def __init__(self, label: str, total: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._label = label
        self._total = total
        self._clock = clock
        self._done = 0
        self._started_at = self._line_at = clock()
        self._bar: Any = None
        if sys.stderr is not None and sys.stderr.isatty():
            self._bar = make_bar()
            self._line = self._bar.add_task(label, total=total)

    @classmethod
    def of(cls, function: Callable[..., Any], iterables: Iterable[Any]) -> Progress:
        """For a map call."""
        lengths = [len(each) if isinstance(each, Sized) else None for each in iterables]
        known = [length for length in lengths if length is not None]
        return cls(getattr(function, "__name__", "map"), min(known) if len(known) == len(lengths) else None)

    def add(self, count: int) -> None:
        """`count` further results were taken."""
        self._done += count
        if self._bar is not None:
            self._bar.update(self._line, completed=self._done)
        elif self._clock() - self._line_at >= LINE_INTERVAL:
            self._line_at = self._clock()
            self._print_line()

    def close(self) -> None:
        """The last one was taken, or nobody takes any more."""
        if self._bar is not None:
            self._bar.stop()
        else:
            self._print_line()

    def _print_line(self) -> None:
        of_total = "" if self._total is None else f" of {self._total}"
        elapsed = self._clock() - self._started_at
        print(f"{self._label}: {self._done}{of_total} done, {elapsed:.1f} s", file=sys.stderr)  # noqa: T201


def make_bar() -> Any:
    """Bars that are shown from now on until it is stopped: none yet."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    bar = Bar(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True))
    bar.start()
    return bar
