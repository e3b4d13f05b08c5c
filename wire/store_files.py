"""The files of a host store: how they are named, written, mapped by who reads them, and whether anybody does."""

from __future__ import annotations

import fcntl
import mmap
import os
import re
import resource
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from weakref import WeakSet

from manyhands.wire.buffers import Buffer

#: What the name of a datum's file looks like.
DATUM = re.compile("[0-9a-f]{32}")
#: The folder of files that hold a range of a datum each.
SLICES = "slices"
_UNFINISHED = ".unfinished-"

#: What is smaller is cheaper to copy than to map.
_MIN_MAPPED_BYTES = 64 << 10
#: Of buffers in one call; the kernel takes 1024.
_MAX_BUFFERS = 512
#: A process may have 65530, by default, for all its purposes.
_MAX_MAPPINGS = 10_000
#: What who has a lease gets when another opens the file. Others than this one, which windows make, end a process.
_LEASE_SIGNAL = signal.SIGWINCH


class Unfinished(NamedTuple):
    """A file that is being written."""

    path: Path
    descriptor: int


def datum_name(id: bytes) -> str:
    return id.hex()


def slice_name(id: bytes, offset: int, length: int) -> str:
    return f"{SLICES}/{id.hex()}-{offset}-{length}"


def find_slices(folder: Path, ids: set[bytes]) -> list[Path]:
    """The slices that `folder` has of these data."""
    names = {id.hex() for id in ids}
    return [path for path in (folder / SLICES).iterdir() if path.name.partition("-")[0] in names]


def find_unfinished(folder: Path) -> list[Path]:
    return list(folder.glob(f"{_UNFINISHED}*"))


def make_unfinished(folder: Path, size: int) -> Unfinished:
    """A new file of `size` bytes that takes no room yet."""
    descriptor, name = tempfile.mkstemp(prefix=_UNFINISHED, dir=folder)  # with mode 0600
    os.ftruncate(descriptor, size)
    return Unfinished(Path(name), descriptor)


def reuse(old: Path, folder: Path, size: int) -> Unfinished:
    """A file that has at least `size` bytes, as the beginning of another one in `folder`."""
    path = old.rename(folder / f"{_UNFINISHED}{old.name}")
    descriptor = os.open(path, os.O_RDWR)
    os.ftruncate(descriptor, size)
    return Unfinished(path, descriptor)


def open_named(path: Path) -> int:
    """A descriptor of the file at `path`, which counts as used from then on. Raises FileNotFoundError."""
    while True:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            # One that has lost its name meanwhile may not have been seen to be used.
            if os.path.samestat(path.stat(), os.fstat(descriptor)):
                return descriptor
        except FileNotFoundError:
            os.close(descriptor)
            raise
        os.close(descriptor)


def is_used(path: Path) -> bool:
    """Whether anybody has the file open or mapped, whoever he is. Raises FileNotFoundError.

    The kernel gives a lease to write only of what nobody else has; it is given back at once. Where there are no leases
    all files are used.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, _LEASE_SIGNAL)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def write_pieces(descriptor: int, offset: int, pieces: Sequence[Buffer]) -> None:
    """One after the other, the first at `offset`. Several threads may write at a time."""
    rest = [memoryview(piece) for piece in pieces if piece]
    while rest:
        written = os.pwritev(descriptor, rest[:_MAX_BUFFERS], offset)
        offset += written
        while rest and written >= len(rest[0]):
            written -= len(rest.pop(0))
        if written:
            rest[0] = rest[0][written:]


def read_range(descriptor: int, offset: int, length: int) -> bytes:
    """A copy of a range that lies in the file."""
    pieces: list[bytes] = []
    while length:
        piece = os.pread(descriptor, length, offset)  # 2 GiB at most
        assert piece, "the file is shorter than it was"
        pieces.append(piece)
        offset += len(piece)
        length -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def map_range(descriptor: int, offset: int, length: int, copy_on_write: bool) -> memoryview:
    """A range that lies in the file, without a copy. It stays mapped as long as the view, or one made from it, lives.

    Copied nevertheless if it is small, or if there are many mappings: each holds a descriptor, too.
    """
    limit = min(_MAX_MAPPINGS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)
    if length < _MIN_MAPPED_BYTES or len(_mapped) >= limit:
        copied = read_range(descriptor, offset, length)
        return memoryview(bytearray(copied) if copy_on_write else copied)
    begin = offset - offset % mmap.ALLOCATIONGRANULARITY
    access = mmap.ACCESS_COPY if copy_on_write else mmap.ACCESS_READ
    mapped = mmap.mmap(descriptor, offset + length - begin, access=access, offset=begin)
    _mapped.add(mapped)
    return memoryview(mapped)[offset - begin :]


_mapped: WeakSet[mmap.mmap] = WeakSet()
