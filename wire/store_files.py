"""One file of a host store: written under another name until it is complete, mapped by who reads it."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from manyhands.wire.data_format import Buffer

#: Of buffers in one call; the kernel takes 1024.
_MAX_BUFFERS = 512
#: What files that are not complete begin with.
UNFINISHED = ".unfinished-"


class Writer:
    """A file to be. Used by `with` it is abandoned unless it was committed."""

    def __init__(self, path: Path, size: int) -> None:
        """Reserves what `size` bytes take of memory or disk: writes cannot fail for want of it. Raises OSError."""
        self._path = path
        self._size = size
        self._descriptor, name = tempfile.mkstemp(prefix=UNFINISHED, dir=path.parent)  # with mode 0600
        self._temporary = Path(name)
        self._is_open = True
        try:
            if size:
                os.posix_fallocate(self._descriptor, 0, size)
        except BaseException:
            self.abandon()
            raise

    def write(self, offset: int, data: Buffer) -> None:
        self.write_pieces(offset, [memoryview(data)])

    def write_pieces(self, offset: int, pieces: Sequence[Buffer]) -> None:
        """One after the other, the first at `offset`. Several threads may write at a time."""
        rest = [memoryview(piece) for piece in pieces if piece]
        end = offset + sum(map(len, rest))
        if not 0 <= offset <= end <= self._size:
            raise ValueError(f"bytes {offset} to {end} do not lie in the {self._size} of {self._path.name}")
        while rest:
            written = os.pwritev(self._descriptor, rest[:_MAX_BUFFERS], offset)
            offset += written
            while rest and written >= len(rest[0]):
                written -= len(rest.pop(0))
            if written:
                rest[0] = rest[0][written:]

    def commit(self, path: Path | None = None) -> None:
        """Give the file its name: the one it was made for, or `path` in the same folder."""
        target = path or self._path
        self._close()
        if target.exists():  # its bytes are the same, and somebody may have mapped them
            self._temporary.unlink(missing_ok=True)
        else:
            self._temporary.rename(target)

    def abandon(self) -> None:
        """Does nothing after `commit`."""
        if self._is_open:
            self._close()
            self._temporary.unlink(missing_ok=True)

    def _close(self) -> None:
        self._is_open = False
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.abandon()


def map_range(descriptor: int, offset: int, length: int, copy_on_write: bool) -> memoryview:
    """The bytes of a file, without a copy; mapped as long as the view or one made from it lives."""
    if not length:
        return memoryview(b"")
    begin = offset - offset % mmap.ALLOCATIONGRANULARITY
    access = mmap.ACCESS_COPY if copy_on_write else mmap.ACCESS_READ
    mapped = mmap.mmap(descriptor, offset + length - begin, access=access, offset=begin)
    return memoryview(mapped)[offset - begin :]
