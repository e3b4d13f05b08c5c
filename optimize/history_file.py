"""Evaluations on disk: appended while a search runs, and read by mapping, so that their number takes no memory."""

from __future__ import annotations

import json
import mmap
import os
import tempfile
from pathlib import Path
from typing import Self

import numpy as np

from manyhands.optimize.evaluations import Rows

#: Raised by one with each change of what is stored.
VERSION = 1

_MAGIC = b"mh-history\n"
_HEAD_BYTES = 128


class HistoryFile:
    """One record a row behind a head that says how many parameters and objectives there are.

    Not synced: what the machine has not written when it loses its power is lost.
    """

    def __init__(self, d: int, m: int, path: Path | None = None) -> None:
        """Rows of d parameters and m objectives; at `path`, which may be there already, or in a file without a name
        that is gone with this object and what was read from it. Raises ValueError if `path` holds anything else.
        """
        self.d = d
        self.m = m
        self.path = path
        kinds = [
            ("ids", "<i8"),
            ("U", "<f8", (d,)),
            ("F", "<f8", (m,)),
            ("V", "<f8"),
            ("cost", "<f8"),
            ("status", "|u1"),
        ]
        #: Aligned, so that mapped columns are as quick to read as others.
        self._record = np.dtype(kinds, align=True)
        head = _MAGIC + json.dumps([VERSION, d, m]).encode()
        head = head.ljust(_HEAD_BYTES)
        if path is None:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by close()
        else:
            path.touch(mode=0o600)
            self._file = path.open("r+b", buffering=0)
        size = os.fstat(self._file.fileno()).st_size
        if size < _HEAD_BYTES:
            # Whoever began it did not get as far as its first row.
            os.truncate(self._file.fileno(), 0)
            os.pwrite(self._file.fileno(), head, 0)
            size = _HEAD_BYTES
        elif os.pread(self._file.fileno(), _HEAD_BYTES, 0) != head:
            self._file.close()
            raise ValueError(f"{path} is no history of {d} parameters and {m} objectives in format {VERSION}")
        self._count = (size - _HEAD_BYTES) // self._record.itemsize
        self.truncate(self._count)  # a row that was not written to its end

    def __len__(self) -> int:
        return self._count

    def append(self, rows: Rows) -> None:
        """Raises OSError if there is no room; then none of them counts."""
        records = np.zeros(len(rows.ids), dtype=self._record)
        for name, column in rows._asdict().items():
            records[name] = column
        content = memoryview(records.tobytes())
        at = _HEAD_BYTES + self._count * self._record.itemsize
        while content:
            written = os.pwrite(self._file.fileno(), content, at)
            content, at = content[written:], at + written
        self._count += len(records)

    def truncate(self, count: int) -> None:
        """Forget all rows but the first `count`; of what was read, they must not be looked at any more."""
        if not 0 <= count <= self._count:
            raise ValueError(f"{count} rows of {self._count} cannot be kept")
        os.truncate(self._file.fileno(), _HEAD_BYTES + count * self._record.itemsize)
        self._count = count

    def rows(self, first: int = 0, count: int | None = None) -> Rows:
        """Those from `first` on, `count` of them or all: read-only columns that are mapped, not loaded; they stay when
        the file is closed.
        """
        first = min(max(first, 0), self._count)
        count = self._count - first if count is None else min(max(count, 0), self._count - first)
        if not count:
            records = np.zeros(0, dtype=self._record)
        else:
            begin = _HEAD_BYTES + first * self._record.itemsize
            page = begin - begin % mmap.ALLOCATIONGRANULARITY
            size = begin - page + count * self._record.itemsize
            mapped = mmap.mmap(self._file.fileno(), size, access=mmap.ACCESS_READ, offset=page)
            records = np.frombuffer(mapped, dtype=self._record, count=count, offset=begin - page)
        return Rows(*(records[name] for name in Rows._fields))

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
