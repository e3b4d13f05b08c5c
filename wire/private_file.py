"""Files that only their owner may read: written whole or not at all, and refused when others could have had them."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class NotPrivate(PermissionError):
    """A file that has to be private is not; the text says why, and what to do."""


def write(path: Path, content: bytes) -> None:
    """Replace the file at `path`, readable by its owner alone, also after a loss of power. Raises OSError.

    Folders that are missing are made, for the owner alone, too.
    """
    make_folder(path.parent)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # with mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def make_folder(path: Path) -> None:
    """Make the folder at `path`, and those above it that are missing, for their owner alone. Raises OSError."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)


def read(path: Path) -> bytes:
    """What `path` holds. Raises NotPrivate if others may read or write it, or another user owns it; OSError."""
    with path.open("rb") as file:
        seen = os.fstat(file.fileno())  # of what was opened, whatever bears the name by now
        if seen.st_uid not in {os.geteuid(), 0}:
            raise NotPrivate(f"{path} belongs to another user (uid {seen.st_uid}), who can read and change it")
        if seen.st_mode & _OTHERS:
            mode = stat.S_IMODE(seen.st_mode)
            raise NotPrivate(f"{path} is open to other users (mode {mode:04o}): run chmod 600 {path}")
        return file.read()


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
