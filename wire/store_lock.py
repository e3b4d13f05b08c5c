"""Who uses a store's folder: all who hold a shared lock on it; and the removal of folders that nobody uses.

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
            with suppress(FileNotFoundError):  # removed meanwhile
                descriptor = _open(path)
                fcntl.flock(descriptor, fcntl.LOCK_SH)
                if _is_current(path, descriptor):
                    return cls(path, descriptor)
                os.close(descriptor)

    def release(self) -> None:
        """Let go of the folder; the last one removes it. Does nothing the second time, or in a forked child."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            _remove_unless_locked(self.path, descriptor)

    def forget(self) -> None:
        """In a forked child: the lock is its parent's."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def remove_abandoned(base: Path) -> None:
    """Remove the folders in `base` that nobody has locked."""
    for path in base.glob(f"*{SUFFIX}"):
        with suppress(FileNotFoundError):  # somebody was faster
            _remove_unless_locked(path, _open(path))


def _open(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def _is_current(path: Path, descriptor: int) -> bool:
    """Whether the folder that was opened has not been removed since, nor replaced by another."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _remove_unless_locked(path: Path, descriptor: int) -> None:
    """Remove the folder unless somebody else has locked it. Closes `descriptor`."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_current(path, descriptor):
            # What a process that outlives its agent still writes is left for the next who looks.
            shutil.rmtree(path, ignore_errors=True)
    except BlockingIOError:
        pass
    finally:
        os.close(descriptor)


def _forget_all() -> None:
    for lock in _held:
        lock.forget()


_held: WeakSet[FolderLock] = WeakSet()
os.register_at_fork(after_in_child=_forget_all)
