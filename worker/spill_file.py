"""What outgrew a slot's memory, for the rest of its task: a nameless file of segments, several for each part."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterable
from pathlib import Path


class SpillFile:
    """First written, then read; the system removes it whatever becomes of the process."""

    def __init__(self, folder: Path | None, parts: int) -> None:
        """folder: where; None: where Python keeps temporary files."""
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed when it has been mapped, or forgotten
        self._extents: list[list[tuple[int, int]]] = [[] for _ in range(parts)]

    def write(self, part: int, chunks: Iterable[bytes]) -> None:
        """Append a segment to a part."""
        begin = end = self._file.tell()
        for chunk in chunks:
            end += self._file.write(chunk)
        if end > begin:
            self._extents[part].append((begin, end))

    def read(self) -> list[list[memoryview]]:
        """Of each part its segments, in the order in which they were written. They are mapped, so the process has room
        for them, and live as long as they are used. Nothing is written any more.
        """
        with self._file as file:
            if not any(self._extents):
                return [[] for _ in self._extents]
            file.flush()
            mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        return [[mapped[begin:end] for begin, end in extents] for extents in self._extents]
