"""How much memory a host store may take. What is too much goes to disk, the least recently used first.

Files are made and removed, and their bytes counted, under one lock that all processes share, and that nobody holds for
long. A process that dies in between leaves a wrong count, which is right again when it is looked at closely: before
anything is moved.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from struct import Struct
from typing import NamedTuple

from manyhands.wire import store_files as files
from manyhands.wire.machine_memory import machine_memory
from manyhands.wire.store_files import Unfinished
from manyhands.wire.store_free import MAX_SHARE, FreeFiles

#: Links beside the data: to the folder on disk for what does not fit into memory, and to one that outlives the store.
SPILL = "spill"
KEPT = "kept"

_COUNT = "count"
_FREE = "free"
_SPILLING = "spilling"
_SHARE_OF_MEMORY = 0.3
_SHARE_OF_FILE_SYSTEM = 0.8
#: What `stat` counts in.
_BLOCK_BYTES = 512
FULL = {errno.ENOSPC, errno.EDQUOT}


class _Count:
    """Bytes in memory, and how many they may be."""

    STORED = Struct("<QQ")

    def __init__(self, used: int, limit: int) -> None:
        self.used = used
        self.limit = limit

    @classmethod
    def read(cls, descriptor: int) -> _Count:
        return cls(*cls.STORED.unpack(os.pread(descriptor, cls.STORED.size, 0)))

    def write(self, descriptor: int) -> None:
        os.pwrite(descriptor, self.STORED.pack(max(self.used, 0), self.limit), 0)


class _Found(NamedTuple):
    """A complete file in memory."""

    last_used: float
    size: int
    name: str


def default_limit(folder: Path) -> int:
    """Bytes: a part of the machine's memory, and what the file system of `folder` has room for."""
    return int(min(_SHARE_OF_MEMORY * machine_memory(), _SHARE_OF_FILE_SYSTEM * shutil.disk_usage(folder).total))


class StoreRoom:
    """The files of the store at `memory`, whoever made them."""

    def __init__(self, memory: Path) -> None:
        self.memory = memory
        self.disk = memory / SPILL
        self.kept = memory / KEPT
        self._free = FreeFiles(memory / _FREE)

    def prepare(self, limit_bytes: int) -> None:
        """Called by each process that joins. The first one's limit holds."""
        for folder in (self.memory, self.disk):
            (folder / files.SLICES).mkdir(mode=0o700, exist_ok=True)
        self._free.folder.mkdir(mode=0o700, exist_ok=True)
        with _locked(self.memory / _COUNT) as descriptor:
            if not os.fstat(descriptor).st_size:
                _Count(0, limit_bytes).write(descriptor)

    def capacity_bytes(self) -> int:
        """Of memory the limit, of the disk what is free."""
        with self._counting() as count:
            return count.limit + shutil.disk_usage(self.disk).free

    def make_file(self, size: int) -> Unfinished:
        """A new file which has the room it needs, in memory or on disk. May move others to disk, and take as long."""
        made = self._make_in_memory(size)
        if made is None:
            self._move_to_disk(size)
            made = self._make_in_memory(size)
        return made or self._make_on_disk(size)

    def finish(self, made: Unfinished, name: str) -> None:
        """Give the file, which is complete, its name."""
        target = made.path.parent / name
        try:
            with self._counting() as count:
                if target.exists():  # with the same bytes, and mapped perhaps
                    self._remove(made.path, count)
                else:
                    made.path.rename(target)
        finally:
            os.close(made.descriptor)

    def abandon(self, made: Unfinished) -> None:
        """Remove a file that was not finished."""
        try:
            with self._counting() as count:
                self._remove(made.path, count)
        finally:
            os.close(made.descriptor)

    def remove(self, ids: Iterable[bytes]) -> None:
        """Whole data and slices, wherever they are."""
        gone = set(ids)
        with self._counting() as count:
            for folder in (self.memory, self.disk):
                for path in files.find_slices(folder, gone):
                    self._remove(path, count)
            for id in gone:
                for folder in (self.memory, self.disk, self.kept):
                    self._remove(folder / files.datum_name(id), count)

    def remove_unfinished(self) -> None:
        """Remove what processes left that died while they wrote."""
        with self._counting() as count:
            for folder in (self.memory, self.disk, self.kept):
                for path in files.find_unfinished(folder):
                    if not files.is_used(path):
                        self._remove(path, count)

    def keep(self, name: str, descriptor: int) -> None:
        """Copy a file to where it outlives the store, for good also after a loss of power."""
        if (self.kept / name).exists():
            return
        with self._counting():
            made = files.make_unfinished(self.kept, 0)
        try:
            _copy(descriptor, made.descriptor)
            os.fsync(made.descriptor)
        except BaseException:
            self.abandon(made)
            raise
        self.finish(made, name)
        folder = os.open(self.kept, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def check_invariants(self) -> None:
        """Assert, while nobody writes, that the count agrees with the files, and is no more than it may be."""
        with self._counting() as count:
            free = sum(each.size for each in self._free.find())
            assert free <= count.limit * MAX_SHARE
            assert count.used == self._sum(self._find()) + free
            assert count.used <= count.limit

    def _make_in_memory(self, size: int) -> Unfinished | None:
        """None if there is no room."""
        with self._counting() as count:
            if free := self._free.take(size):
                path, had = free
                made = files.reuse(path, self.memory, size)
                count.used -= had - size
            elif count.used + size <= count.limit:
                made = files.make_unfinished(self.memory, size)
                count.used += size
            else:
                return None
        return made if self._allocate(made, size) else None

    def _make_on_disk(self, size: int) -> Unfinished:
        with self._counting():
            made = files.make_unfinished(self.disk, size)
        if self._allocate(made, size):
            return made
        raise OSError(errno.ENOSPC, f"neither memory nor disk has room for {size} bytes", str(self.disk.readlink()))

    def _allocate(self, made: Unfinished, size: int) -> bool:
        """Now rather than when it is written; False, and it is gone, if the file system is full."""
        try:
            if os.fstat(made.descriptor).st_blocks * _BLOCK_BYTES < size:  # else one that is reused, and has it all
                os.posix_fallocate(made.descriptor, 0, size)
        except OSError as error:
            self.abandon(made)
            if error.errno not in FULL:
                raise
            return False
        return True

    def _move_to_disk(self, size: int) -> None:
        """Make room for `size` bytes, as far as files that nobody maps allow. One process at a time."""
        with _locked(self.memory / _SPILLING):
            with self._counting() as count:
                self._free.clear()
                found = self._find()
                count.used = self._sum(found)
                if size > count.limit:
                    return
                free = shutil.disk_usage(self.memory).free
                excess = max(count.used + size - count.limit, size - free)
            for each in sorted(found):
                if excess <= 0:
                    break
                with suppress(FileNotFoundError):  # removed meanwhile
                    if not files.is_used(self.memory / each.name):
                        self._spill(each)
                        excess -= each.size

    def _sum(self, found: list[_Found]) -> int:
        """Bytes in memory, complete or not."""
        unfinished = files.find_unfinished(self.memory)
        return sum(each.size for each in found) + sum(path.stat().st_size for path in unfinished)

    def _find(self) -> list[_Found]:
        """The complete files in memory. Their folders do not change meanwhile."""
        paths = [path for path in self.memory.iterdir() if files.DATUM.fullmatch(path.name)]
        paths += (self.memory / files.SLICES).iterdir()
        found: list[_Found] = []
        for path in paths:
            seen = path.stat()
            found.append(_Found(seen.st_mtime, seen.st_size, str(path.relative_to(self.memory))))
        return found

    def _spill(self, found: _Found) -> None:
        """It may be opened and removed meanwhile. Raises FileNotFoundError; OSError if the disk is full."""
        source = self.memory / found.name
        if (self.kept / found.name).exists() or (self.disk / found.name).exists():
            with self._counting() as count:
                self._unlink(source, count)
            return
        descriptor = os.open(source, os.O_RDONLY)
        try:
            made = self._make_on_disk(found.size)
            try:
                _copy(descriptor, made.descriptor)
            except BaseException:
                self.abandon(made)
                raise
        finally:
            os.close(descriptor)
        with self._counting() as count:
            if source.exists():
                made.path.rename(self.disk / found.name)
                self._unlink(source, count)
            else:
                made.path.unlink()
        os.close(made.descriptor)

    def _remove(self, path: Path, count: _Count) -> None:
        """A file that nobody wants, so that it can be written again."""
        with suppress(FileNotFoundError):
            if self._is_in_memory(path):
                count.used -= self._free.add(path, count.limit)
            else:
                path.unlink()

    def _unlink(self, path: Path, count: _Count) -> None:
        """A file whose memory is wanted."""
        with suppress(FileNotFoundError):
            count.used -= path.stat().st_size
            path.unlink()

    def _is_in_memory(self, path: Path) -> bool:
        return path.parent in {self.memory, self.memory / files.SLICES}

    @contextmanager
    def _counting(self) -> Iterator[_Count]:
        with _locked(self.memory / _COUNT) as descriptor:
            count = _Count.read(descriptor)
            try:
                yield count
            finally:
                count.write(descriptor)


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Hold the lock of the file at `path`, against other threads and processes."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        # Also for the child of a fork that happened meanwhile: by closing alone it would hold the lock for ever.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _copy(source: int, target: int) -> None:
    offset = 0
    while sent := os.sendfile(target, source, offset, 1 << 30):
        offset += sent
