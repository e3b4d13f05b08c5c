"""The data that the processes of one user, cluster and host share: files in memory, named by the data's ids."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Collection, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from manyhands.wire import store_files as files
from manyhands.wire.buffers import Buffer
from manyhands.wire.store_folder import identity_of, make_private, memory_base, spill_base
from manyhands.wire.store_lock import SUFFIX, FolderLock, remove_abandoned
from manyhands.wire.store_room import KEPT, SPILL, StoreRoom, default_limit
from manyhands.wire.store_writer import Writer

#: How exactly it is known when a file was last used, in seconds.
_USE_INTERVAL = 1.0


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

    What does not fit into memory is on disk, and found there as well. So `put` and `writer` may move other data there
    first, and take as long.
    """

    def __init__(self, path: Path, locks: Sequence[FolderLock] = ()) -> None:
        self.path = path
        self.identity = identity_of(path)
        self._room = StoreRoom(path)
        self._locks = locks

    @classmethod
    def join(
        cls,
        cluster: bytes,
        *,
        folder: Path | None = None,
        disk: Path | None = None,
        limit_bytes: int | None = None,
        kept: Path | None = None,
    ) -> HostStore:
        """The store of this cluster, made unless it is there, to be closed. Removes what dead processes have left.

        folder: where stores lie; all processes of a host have to agree. disk: where what does not fit into memory lies;
        limit_bytes: how much does; who joins first chooses these. kept: a folder that outlives the store, whose data
        are found by all; only one process, the master, has one. Raises StoreFolderRefused; OSError.
        """
        with ExitStack() as failing:
            memory = _take(_path(folder or memory_base(), cluster))
            failing.callback(memory.release)
            with suppress(FileExistsError):
                (memory.path / SPILL).symlink_to((disk or spill_base()).absolute() / memory.path.name)
            spill = (memory.path / SPILL).readlink()
            locks = [_take(spill), memory]
            failing.callback(locks[0].release)
            StoreRoom(memory.path).prepare(default_limit(memory.path) if limit_bytes is None else limit_bytes)
            if kept is not None:
                _link(memory.path / KEPT, make_private(kept))
            store = cls(memory.path, locks)
            failing.pop_all()
        return store

    @staticmethod
    def exists(cluster: bytes, *, folder: Path | None = None) -> bool:
        """Whether somebody has joined it."""
        return _path(folder or memory_base(), cluster).is_dir()

    @classmethod
    def at(cls, path: Path) -> HostStore:
        """The store that another process has joined, for a process that does not outlive it."""
        return cls(path)

    def close(self) -> None:
        """The last one that had joined removes the store. Nothing in a forked child, or the second time."""
        for lock in self._locks:
            lock.release()

    def __contains__(self, id: bytes) -> bool:
        """Whether the whole datum is here."""
        try:
            self.size(id)
        except DataMissing:
            return False
        return True

    def has(self, id: bytes, offset: int, length: int) -> bool:
        """Whether `map` would find the range: the whole datum is here, or just this slice."""
        try:
            os.close(self._open(id, offset, length)[0])
        except (DataMissing, ValueError):
            return False
        return True

    def size(self, id: bytes) -> int:
        """Of the whole datum. Raises DataMissing."""
        descriptor, _, length = self._open(id)
        os.close(descriptor)
        return length

    def room_bytes(self) -> int:
        """How much there may be in all: what the limit of memory and the disk allow now."""
        return self._room.capacity_bytes()

    def ids(self) -> list[bytes]:
        """Of the data that are here as a whole."""
        names = {path.name for folder in self._folders() if folder.is_dir() for path in folder.iterdir()}
        return [bytes.fromhex(name) for name in sorted(names) if files.DATUM.fullmatch(name)]

    def put(self, id: bytes, parts: Sequence[Buffer]) -> None:
        """Keep the bytes in `parts`, one after the other."""
        if id not in self:
            with self.writer(id, sum(map(len, parts))) as writer:
                writer.write_pieces(0, parts)
                writer.commit()

    def writer(self, id: bytes, size: int, *, slice_offset: int | None = None) -> Writer:
        """For a datum of `size` bytes; or, with `slice_offset`, for that range of one."""
        name = files.datum_name(id) if slice_offset is None else files.slice_name(id, slice_offset, size)
        return Writer(self._room, name, size)

    def map(self, id: bytes, offset: int = 0, length: int | None = None, *, copy_on_write: bool = False) -> memoryview:
        """A range of a datum, to its end without `length`. No copy: it stays mapped as long as something views it.

        copy_on_write: it may be written to, which nobody else sees. Raises DataMissing; ValueError beyond its end.
        """
        descriptor, offset, length = self._open(id, offset, length)
        try:
            return files.map_range(descriptor, offset, length, copy_on_write)
        finally:
            os.close(descriptor)

    def read(self, id: bytes, offset: int = 0, length: int | None = None) -> bytes:
        """A copy of a range. Raises as `map` does."""
        descriptor, offset, length = self._open(id, offset, length)
        try:
            return files.read_range(descriptor, offset, length)
        finally:
            os.close(descriptor)

    def drop(self, *ids: bytes) -> None:
        """Remove these data and their slices, also where they outlive the store. Who has mapped them keeps them."""
        self._room.remove(ids)

    def persist(self, id: bytes) -> None:
        """Copy a datum to where it outlives the store, durably when this returns. Raises DataMissing; OSError."""
        descriptor, _, _ = self._open(id)
        try:
            self._room.keep(files.datum_name(id), descriptor)
        finally:
            os.close(descriptor)

    def keep_only(self, ids: Collection[bytes]) -> None:
        """Remove what else there is of an earlier life in the folder that outlives the store."""
        names = {files.datum_name(id) for id in ids}
        kept = self._room.kept
        for path in kept.iterdir() if kept.exists() else ():
            if path.name not in names:
                path.unlink()

    def remove_unfinished(self) -> None:
        """Remove what processes that died have left half written: called when one did."""
        self._room.remove_unfinished()

    def check_invariants(self) -> None:
        """Assert, while nobody writes, that counts agree with files."""
        self._room.check_invariants()

    def _open(self, id: bytes, offset: int = 0, length: int | None = None) -> tuple[int, int, int]:
        """(descriptor, offset in that file, length) of a range."""
        if (descriptor := self._find(files.datum_name(id))) is not None:
            size = os.fstat(descriptor).st_size
            end = size if length is None else offset + length
            if 0 <= offset <= end <= size:
                return descriptor, offset, end - offset
            os.close(descriptor)
            raise ValueError(f"bytes {offset} to {end} do not lie in the {size} of datum {id.hex()}")
        if length is not None and (descriptor := self._find(files.slice_name(id, offset, length))) is not None:
            return descriptor, 0, length
        raise DataMissing(id)

    def _find(self, name: str) -> int | None:
        """A descriptor of the file, which counts as used from now on."""
        # In memory again, lest it came there while we looked elsewhere.
        for folder in (*self._folders(), self.path):
            with suppress(FileNotFoundError):
                descriptor = files.open_named(folder / name)
                now = time.time()
                if os.fstat(descriptor).st_mtime < now - _USE_INTERVAL:
                    os.utime(descriptor, (now, now))
                return descriptor
        return None

    def _folders(self) -> tuple[Path, ...]:
        return self._room.memory, self._room.disk, self._room.kept


def _path(base: Path, cluster: bytes) -> Path:
    return base / f"{cluster.hex()}{SUFFIX}"


def _take(path: Path) -> FolderLock:
    """Join a folder, after those beside it that nobody uses have gone."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    remove_abandoned(path.parent)
    return FolderLock.take(path)


def _link(path: Path, target: Path) -> None:
    """Let `path` point to `target`, whatever it was before."""
    made = path.with_name(f"{path.name}-{secrets.token_hex(8)}")
    made.symlink_to(target.absolute())
    made.rename(path)
