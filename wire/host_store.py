"""The data that the processes of one user, cluster and host share: files in memory, named by the data's ids."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from manyhands.wire.data_format import Buffer
from manyhands.wire.data_id import data_id
from manyhands.wire.store_files import Writer, map_range
from manyhands.wire.store_folder import identity_of, make_private, memory_base, spill_base
from manyhands.wire.store_lock import SUFFIX, FolderLock, remove_abandoned

#: Beside the data: a link to the folder on disk for what does not fit into memory.
_SPILL = "spill"
_WHOLE = re.compile("[0-9a-f]{32}")


class DataMissing(LookupError):
    """The datum is not in this host's store. Not an error for users to see."""

    def __init__(self, id: bytes) -> None:
        super().__init__(id)
        self.id = id

    def __str__(self) -> str:
        return f"datum {self.id.hex()} is not in the store of this host"


class HostStore:
    """Everything here may be called by several threads and processes at a time.

    Data are immutable: whoever writes one that is there already writes the same bytes, and nothing is changed. Ranges
    of a datum may be kept without the whole, as *slices*, each known by its offset and length.
    """

    def __init__(self, path: Path, locks: Sequence[FolderLock] = ()) -> None:
        self.path = path
        self.identity = identity_of(path)
        self._locks = locks

    @classmethod
    def join(
        cls, cluster: bytes, *, folder: Path | None = None, disk: Path | None = None, limit_bytes: int | None = None
    ) -> HostStore:
        """The store of this cluster, made unless it is there, to be closed. Removes what dead processes have left.

        folder, disk: where stores, and what does not fit into memory, lie. All processes of a host have to agree on the
        first; who joins first chooses the second.
        Raises StoreFolderRefused; OSError.
        """
        base = folder or memory_base()
        make_private(base)
        remove_abandoned(base)
        lock = FolderLock.take(base / (cluster.hex() + SUFFIX))
        with suppress(FileExistsError):
            (lock.path / _SPILL).symlink_to((disk or spill_base()).absolute() / lock.path.name)
        spill = (lock.path / _SPILL).readlink()
        make_private(spill.parent)
        remove_abandoned(spill.parent)
        return cls(lock.path, [FolderLock.take(spill), lock])

    @staticmethod
    def exists(cluster: bytes, *, folder: Path | None = None) -> bool:
        """Whether somebody has joined it."""
        return ((folder or memory_base()) / cluster.hex()).is_dir()

    @classmethod
    def at(cls, path: Path) -> HostStore:
        """The store that another process has joined, for a process that does not outlive it."""
        return cls(path)

    def close(self) -> None:
        """The last one that had joined removes the store. Nothing in a forked child, or the second time."""
        for lock in self._locks:
            lock.release()

    def __contains__(self, id: bytes) -> bool:
        try:
            self.size(id)
        except DataMissing:
            return False
        return True

    def has(self, id: bytes, offset: int, length: int) -> bool:
        """Whether `map` would find the range: the whole datum is here, or just this slice."""
        try:
            os.close(self._open(id, offset, length)[0])
        except DataMissing:
            return False
        return True

    def size(self, id: bytes) -> int:
        """Of the whole datum. Raises DataMissing."""
        descriptor, _, length = self._open(id)
        os.close(descriptor)
        return length

    def ids(self) -> list[bytes]:
        """Of the data that are here as a whole."""
        names = {path.name for folder in self._folders() if folder.is_dir() for path in folder.iterdir()}
        return [bytes.fromhex(name) for name in sorted(names) if _WHOLE.fullmatch(name)]

    def put(self, id: bytes, parts: Sequence[Buffer]) -> None:
        """Keep the bytes in `parts`, one after the other."""
        if id not in self:
            with self.writer(id, sum(map(len, parts))) as writer:
                writer.write_pieces(0, parts)
                writer.commit()

    def put_new(self, parts: Sequence[Buffer]) -> bytes:
        """Keep the bytes in `parts` under the name that they make. Returns it."""
        with Writer(self.path / "new", sum(map(len, parts))) as writer:
            id = data_id(parts, writer.write_pieces)
            writer.commit(self.path / id.hex())
        return id

    def writer(self, id: bytes, size: int, *, slice_offset: int | None = None) -> Writer:
        """For a datum of `size` bytes; or, with `slice_offset`, for that range of one."""
        if slice_offset is None:
            return Writer(self.path / id.hex(), size)
        path = self.path / _slice_name(id, slice_offset, size)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Writer(path, size)

    def map(self, id: bytes, offset: int = 0, length: int | None = None, *, copy_on_write: bool = False) -> memoryview:
        """A range of a datum, to its end without `length`. No copy: it stays mapped as long as something views it.

        copy_on_write: it may be written to, which nobody else sees. Raises DataMissing; ValueError beyond its end.
        """
        descriptor, offset, length = self._open(id, offset, length)
        try:
            return map_range(descriptor, offset, length, copy_on_write)
        finally:
            os.close(descriptor)

    def read(self, id: bytes, offset: int = 0, length: int | None = None) -> bytes:
        """A copy of a range. Raises as `map` does."""
        descriptor, offset, length = self._open(id, offset, length)
        try:
            return os.pread(descriptor, length, offset)
        finally:
            os.close(descriptor)

    def drop(self, id: bytes) -> None:
        """Remove the datum and its slices. Who has mapped it keeps what is mapped."""
        for folder in self._folders():
            (folder / id.hex()).unlink(missing_ok=True)
            shutil.rmtree(folder / _slices_name(id), ignore_errors=True)

    def _open(self, id: bytes, offset: int = 0, length: int | None = None) -> tuple[int, int, int]:
        """(descriptor, offset in that file, length) of a range."""
        # In memory again, lest it came there while we looked elsewhere.
        folders = (*self._folders(), self.path)
        for folder in folders:
            try:
                descriptor = os.open(folder / id.hex(), os.O_RDONLY)
            except FileNotFoundError:
                continue
            size = os.fstat(descriptor).st_size
            end = size if length is None else offset + length
            if not 0 <= offset <= end <= size:
                os.close(descriptor)
                raise ValueError(f"bytes {offset} to {end} do not lie in the {size} of datum {id.hex()}")
            return descriptor, offset, end - offset
        if length is not None:
            for folder in folders:
                try:
                    return os.open(folder / _slice_name(id, offset, length), os.O_RDONLY), 0, length
                except FileNotFoundError:
                    continue
        raise DataMissing(id)

    def _folders(self) -> tuple[Path, ...]:
        return self.path, self.path / _SPILL


def _slices_name(id: bytes) -> str:
    return f"slices-{id.hex()}"


def _slice_name(id: bytes, offset: int, length: int) -> str:
    return f"{_slices_name(id)}/{offset}-{length}"
