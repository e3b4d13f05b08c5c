"""Histories: what one client asked for and saw, a JSON line each, written before the next thing happens."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Invoked:
    """A task is about to be submitted. `at` is the system's monotonic clock in seconds, here and below."""

    at: float
    task: str
    kind: str
    #: Bytes of its result.
    size: int = 0
    retries: int = 0
    #: When the first result that it needs, or is, and that stays with workers was asked for; 0: there is none.
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class Cancel:
    """The client called cancel(), which returned `agreed`."""

    at: float
    task: str
    agreed: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """The client saw an outcome. how: "value", "raised" or "cancelled"; detail: digest, or the exception's type."""

    at: float
    task: str
    how: str
    detail: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Left:
    """The client saw an outcome of everything, shut down in good order, and ended."""

    at: float


Event = Invoked | Cancel | Ended | Left
_KINDS: dict[str, type[Event]] = {kind.__name__: kind for kind in (Invoked, Cancel, Ended, Left)}


class HistoryWriter:
    """Appends to a file, from any thread; what `write` returned from outlives a kill -9 of the process."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644)
        self._lock = threading.Lock()

    def write(self, event: Event) -> None:
        line = (json.dumps([type(event).__name__, asdict(event)]) + "\n").encode()
        with self._lock:
            written = os.write(self._fd, line)
        assert written == len(line), "a short write: is the disk full?"


def parse_event(line: str) -> Event:
    """Raises ValueError, KeyError or TypeError for a line that no `HistoryWriter` wrote."""
    kind, values = json.loads(line)
    return _KINDS[kind](**values)


def read_history(path: Path) -> list[Event]:
    """All complete lines; a last one without its end belongs to a client that was killed while it wrote."""
    return [parse_event(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
