"""Starts of tasks, as the slots wrote them down: see tasks.py."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Start(NamedTuple):
    """One attempt. `at`: monotonic seconds."""

    at: float
    task: str
    worker: str
    pid: int


def read_starts(folder: Path) -> list[Start]:
    """Of all slots that there were."""
    found = []
    for path in folder.iterdir():
        worker, _, pid = path.name.rpartition(".")
        for line in path.read_text().splitlines():
            at, task = line.split(" ")
            found.append(Start(float(at), task, worker, int(pid)))
    return found
