"""Progress on stderr: what bars have in common, and that of `map(..., progress=True)`."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sized
from typing import Any

#: Seconds between plain lines.
LINE_INTERVAL = 10.0


class Shown(ABC):
    """What is shown of a call: bars where stderr is a terminal, a plain line now and then where it is none.

    Time is read from `clock`, in monotonic seconds.
    """

    def __init__(self, label: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._label = label
        self._clock = clock
        self._started_at = self._line_at = clock()
        #: None: there is no terminal.
        self._bar: Any = make_bar() if sys.stderr is not None and sys.stderr.isatty() else None

    @abstractmethod
    def _text(self) -> str:
        """The plain line."""

    def _print_if_due(self) -> None:
        if self._clock() - self._line_at >= LINE_INTERVAL:
            self._line_at = self._clock()
            self._print_line()

    def close(self) -> None:
        """It has ended, or nobody wants more of it."""
        if self._bar is not None:
            self._bar.stop()
        else:
            self._print_line()

    def _print_line(self) -> None:
        print(f"{self._label}: {self._text()}", file=sys.stderr)  # noqa: T201

    def _elapsed(self) -> float:
        return self._clock() - self._started_at


class Progress(Shown):
    """Counts what was taken."""

    def __init__(self, label: str, total: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(label, clock)
        self._total = total
        self._done = 0
        if self._bar is not None:
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
        else:
            self._print_if_due()

    def _text(self) -> str:
        of_total = "" if self._total is None else f" of {self._total}"
        return f"{self._done}{of_total} done, {self._elapsed():.1f} s"


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
