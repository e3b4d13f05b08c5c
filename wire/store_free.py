"""Files of a host store that were dropped, to be written again: that their pages are there saves half of the time.

Who has opened such a file while it had its name goes on using it, so it is not written again before he is done. Who
opens it later sees that its name is gone.
"""

from __future__ import annotations

import os
import secrets
import time
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from manyhands.wire.store_files import is_used

#: Less than this is written in no time.
MIN_BYTES = 1 << 20
MAX_FILES = 128
#: Of the limit of what is in memory, which these files count for, too.
MAX_SHARE = 0.25
#: Files that are looked at closely for one that nobody uses any more: rather a new one than a long search.
_MAX_TRIED = 4


class FreeFile(NamedTuple):
    """What its name tells: these files are looked through at each write."""

    freed_ns: int
    size: int
    name: str


class FreeFiles:
    """Those in `folder`. Everything here is called under the lock of the store's count."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self) -> list[FreeFile]:
        """The one that has been here for longest comes first."""
        found = []
        for name in os.listdir(self.folder):  # noqa: PTH208 - to make paths of all would take longer than to write
            freed_ns, size, _ = name.split("-")
            found.append(FreeFile(int(freed_ns), int(size), name))
        return sorted(found)

    def add(self, path: Path, limit_bytes: int) -> int:
        """Take over a file. Returns how many bytes went: its own if it is small, or others' to make room for it."""
        size = path.stat().st_size
        if not MIN_BYTES <= size <= limit_bytes * MAX_SHARE:
            path.unlink()
            return size
        path.rename(self.folder / f"{time.time_ns()}-{size}-{secrets.token_hex(4)}")
        found = self.find()
        total = kept = sum(each.size for each in found)
        for number, each in enumerate(found):
            if kept <= limit_bytes * MAX_SHARE and len(found) - number <= MAX_FILES:
                break
            (self.folder / each.name).unlink()
            kept -= each.size
        return total - kept

    def take(self, size: int) -> tuple[Path, int] | None:
        """One of `size` bytes, or up to twice that, to be renamed and overwritten; and how many bytes it has."""
        if size < MIN_BYTES:
            return None
        fitting = [each for each in self.find() if size <= each.size <= 2 * size]
        fitting.sort(key=lambda each: each.size)
        for each in islice(fitting, _MAX_TRIED):
            path = self.folder / each.name
            if not is_used(path):
                return path, each.size
        return None

    def clear(self) -> None:
        for each in self.find():
            (self.folder / each.name).unlink()
