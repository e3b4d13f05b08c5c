"""A small disk for the master's data, which can be filled up and freed again; mounting it needs root."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

#: Killed clients leave results of up to 5 MB each in a journal that is restarted ever and again.
SIZE_BYTES = 256 << 20
_CHUNK_BYTES = 64 << 10


class SmallDisk:
    """A file system in memory, at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    @staticmethod
    def is_possible() -> bool:
        return os.geteuid() == 0

    def mount(self) -> None:
        """Raises CalledProcessError where mounting is not allowed."""
        self.path.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES}", "tmpfs", self.path], check=True)

    def unmount(self) -> None:
        # Lazily: somebody's log may still be open there.
        subprocess.run(["umount", "--lazy", self.path], check=True)

    def fill(self) -> None:
        """Not a byte is left."""
        with self._ballast.open("wb", buffering=0) as file:
            for chunk in (bytes(_CHUNK_BYTES), b"\0"):
                try:
                    while True:
                        file.write(chunk)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)
