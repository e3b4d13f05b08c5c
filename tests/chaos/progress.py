"""Progress of a run while it goes on: reads the histories as they grow."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.history import Ended, Invoked, parse_event

#: With so many tasks open, altogether, the system counts as loaded.
LOADED = 10


class Progress:
    """Call `refresh`, then look."""

    def __init__(self, histories: Path) -> None:
        self._histories = histories
        self._offsets: dict[str, int] = {}
        self._open: dict[str, set[str]] = {}
        self.invoked = 0
        self.ended = 0
        #: Monotonic seconds of the latest outcome that a client saw.
        self.last_outcome = 0.0

    def refresh(self) -> None:
        for path in self._histories.iterdir():
            with path.open("rb") as file:
                file.seek(self._offsets.get(path.name, 0))
                lines = file.read()
            lines = lines[: lines.rfind(b"\n") + 1]
            self._offsets[path.name] = self._offsets.get(path.name, 0) + len(lines)
            for line in lines.decode().splitlines():
                self._take(path.name, line)

    def _take(self, client: str, line: str) -> None:
        open_tasks = self._open.setdefault(client, set())
        match parse_event(line):
            case Invoked(task=task):
                open_tasks.add(task)
                self.invoked += 1
            case Ended(task=task, at=at):
                open_tasks.discard(task)
                self.ended += 1
                self.last_outcome = max(self.last_outcome, at)

    def forget(self, client: str) -> None:
        """It was killed: nobody waits for what it had open."""
        self._open.pop(client, None)

    @property
    def open_tasks(self) -> int:
        return sum(map(len, self._open.values()))

    @property
    def is_loaded(self) -> bool:
        return self.open_tasks >= LOADED
