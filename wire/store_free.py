"""Files of a host store that were dropped, to be written again: that their pages are there saves half of the time.

Who has opened such a file while it had its name goes on using it, so it is not written again before he is done. Who
opens it later sees that its name is gone.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import NamedTuple

from manyhands.wire.store_files import is_used

#: Less than this is written in no time.
MIN_BYTES = 1 << 20
MAX_FILES = 128
#: Of the limit of what is in memory, which these files count for, too.
MAX_SHARE = 0.25


class FreeFile(NamedTuple):
    freed: float
    size: int
    path: Path


class FreeFiles:
    """Those in `folder`. Everything here is called under the lock of the store's count."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self) -> list[FreeFile]:
        found = [(path.stat(), path) for path in self.folder.iterdir()]
        return [FreeFile(seen.st_mtime, seen.st_size, path) for seen, path in found]

    def add(self, path: Path, limit_bytes: int) -> int:
        """Take over a file. Returns how many bytes went: its own if it is small, or others' to make room for it."""
        size = path.stat().st_size
        if not MIN_BYTES <= size <= limit_bytes * MAX_SHARE:
            path.unlink()
            return size
        os.utime(path)
        path.rename(self.folder / secrets.token_hex(8))
        found = sorted(self.find())
        total = kept = sum(each.size for each in found)
        for number, each in enumerate(found):
            if kept <= limit_bytes * MAX_SHARE and len(found) - number <= MAX_FILES:
                break
            each.path.unlink()
            kept -= each.size
        return total - kept

    def take(self, size: int) -> FreeFile | None:
        """One of `size` bytes, or up to twice that, to be renamed and overwritten."""
        if size < MIN_BYTES:
            return None
        fitting = [each for each in self.find() if size <= each.size <= 2 * size]
        fitting.sort(key=lambda each: each.size)
        return next((each for each in fitting if not is_used(each.path)), None)

    def clear(self) -> None:
        for each in self.find():
            each.path.unlink()
