"""Who uses a store's folder: a lock file in it, shared by them all; and the removal of folders that nobody uses.

The kernel gives up a dead process's lock, so what is locked by nobody is in use by nobody.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import suppress
from pathlib import Path
from weakref import WeakSet

from manyhands.wire.store_folder import make_private

#: What names of such folders end in, so that nothing else is ever taken for one.
SUFFIX = ".store"
_LOCK = "lock"


class FolderLock:
    """The folder `path` is there as long as this is held. Not held by forked children, nor inherited by programs."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor: int | None = descriptor
        _held.add(self)

    @classmethod
    def take(cls, path: Path) -> FolderLock:
        """Make the folder unless it is there. Raises StoreFolderRefused; OSError."""
        assert path.suffix == SUFFIX
        while True:
            make_private(path)
            try:
                descriptor = _open(path)
            except FileNotFoundError:  # removed meanwhile
                continue
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if _is_current(path, descriptor):
                return cls(path, descriptor)
            os.close(descriptor)

    def release(self) -> None:
        """Let go of the folder; the last one removes it. Does nothing the second time, or in a forked child."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            _remove_if_free(self.path, descriptor)

    def forget(self) -> None:
        """In a forked child: the lock is its parent's."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def remove_abandoned(base: Path) -> None:
    """Remove the folders in `base` that nobody holds the lock of."""
    for path in base.glob(f"*{SUFFIX}"):
        try:
            descriptor = _open(path)
        except FileNotFoundError:  # somebody was faster
            continue
        _remove_if_free(path, descriptor)


def _open(path: Path) -> int:
    """The lock file, made unless it is there."""
    return os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def _is_current(path: Path, descriptor: int) -> bool:
    """Whether the lock file that was opened has not been removed since, nor replaced by another."""
    try:
        return os.path.samestat((path / _LOCK).stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _remove_if_free(path: Path, descriptor: int) -> None:
    """Remove the folder unless somebody else holds its lock. Closes `descriptor`."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pass
    else:
        if _is_current(path, descriptor):
            _remove(path)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    """The lock file goes last: until then nobody else begins to use the folder."""
    for entry in path.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        elif entry.name != _LOCK:
            entry.unlink(missing_ok=True)
    (path / _LOCK).unlink()
    with suppress(OSError):  # somebody begins to use it anew, or a process that outlived its agent wrote into it
        path.rmdir()


def _forget_all() -> None:
    for lock in _held:
        lock.forget()


_held: WeakSet[FolderLock] = WeakSet()
os.register_at_fork(after_in_child=_forget_all)
