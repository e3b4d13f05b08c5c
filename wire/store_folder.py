"""Where a host store lies: a folder in memory that belongs to this user alone."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import tempfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - what is made there is checked
_DISK = Path("/var/tmp")  # noqa: S108 - likewise
#: Less than this is not worth it.
_MIN_MEMORY_BYTES = 16 << 20
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
#: A link whose target tells one folder from another.
_MARK = "identity"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class StoreFolderRefused(PermissionError):
    """A folder that has to be this user's alone is not; the text says why, and what to do."""


def memory_base() -> Path:
    """The folder of all stores of this user on this host, made unless it is there. Raises as `make_private` does."""
    base = _SHARED_MEMORY if _is_usable(_SHARED_MEMORY) else Path(tempfile.gettempdir())
    return make_private(base / f"manyhands-{os.geteuid()}")


def spill_base() -> Path:
    """The folder on disk for what does not fit into memory, likewise.

    Below /var/tmp unless TMPDIR says otherwise: on many systems /tmp is memory itself.
    """
    base = Path(tempfile.gettempdir()) if "TMPDIR" in os.environ or not os.access(_DISK, os.W_OK) else _DISK
    return make_private(base / f"manyhands-{os.geteuid()}-spill")


def make_private(path: Path) -> Path:
    """Make the folder `path`, unless it is there, for its owner alone. Raises StoreFolderRefused; OSError."""
    while True:
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            with suppress(FileNotFoundError):  # removed meanwhile
                _check_private(path)
                return path
        else:
            return path


def _check_private(path: Path) -> None:
    seen = path.lstat()
    if not stat.S_ISDIR(seen.st_mode):
        raise StoreFolderRefused(f"{path} is no folder: remove it")
    if seen.st_uid != os.geteuid():
        raise StoreFolderRefused(
            f"{path} belongs to another user (uid {seen.st_uid}), who can read and change it: remove it"
        )
    if seen.st_mode & _OTHERS:
        mode = stat.S_IMODE(seen.st_mode)
        raise StoreFolderRefused(f"{path} is open to other users (mode {mode:04o}): run chmod 700 {path}")


def identity_of(path: Path) -> str:
    """Equal in two processes only if `path` is the same folder of the same boot of the same machine.

    By a mark that whoever comes first leaves there: device and inode of one container's /dev/shm are those of the next
    one's. Raises FileNotFoundError.
    """
    mark = path / _MARK
    with suppress(FileExistsError):
        mark.symlink_to(secrets.token_hex())  # to nowhere: made and written at once
    return sha256(f"{_boot_id()} {mark.readlink()}".encode()).hexdigest()[:32]


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        # Better to share with nobody than to take two hosts for one.
        return secrets.token_hex()


def _is_usable(folder: Path) -> bool:
    try:
        return os.access(folder, os.W_OK | os.X_OK) and shutil.disk_usage(folder).total >= _MIN_MEMORY_BYTES
    except OSError:
        return False
