"""What a checkpoint holds: finds the results of keys, and adds to them. One file, any number of processes."""

from __future__ import annotations

import functools
import threading
import time
import zlib
from array import array
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from manyhands.client.checkpoint_file import FILE_NAME, explained, open_file
from manyhands.client.checkpoint_index import NOWHERE, POSITION_BITS, KeyIndex
from manyhands.client.content_key import KEY_BYTES
from manyhands.wire.errors import CheckpointError

#: Results in one row, at most; their bytes, unless one alone has more.
RUN_COUNT = 1024
RUN_BYTES = 256 << 10
#: SQLite takes no more in one row.
MAX_RESULT_BYTES = 900 << 20
#: Seconds between looks for what was stored meanwhile.
LOOK_INTERVAL = 0.5
#: Rows that enter the index together, at most.
_INDEXED_ROWS = 1024
#: Rows whose keys, and whose results, are kept in memory.
_KEYS_KEPT = 64
_ROWS_KEPT = 4


class Found(NamedTuple):
    """Consecutive results of one row."""

    run: int
    lo: int
    hi: int


class Missing(NamedTuple):
    """So many keys in a row without a result."""

    length: int


class Run(NamedTuple):
    """Results to be added: key k is keys[16 k : 16 k + 16], outcome k payload[ends[k - 1] : ends[k]]."""

    keys: bytes
    ends: Sequence[int]
    payload: bytes


class StoredClass(NamedTuple):
    """A class inside a definition, as it was when that was stored."""

    tracker: str
    module: str
    name: str
    content: bytes


class CheckpointStore:
    """Safe to use from several threads. Everything raises CheckpointError where the file fails.

    is_checked: this process has opened the file before.
    """

    def __init__(self, directory: str, *, is_checked: bool = False) -> None:
        self.path = str(Path(directory) / FILE_NAME)
        self._connection = open_file(directory, is_checked=is_checked)
        self._inode = Path(self.path).stat().st_ino
        self._lock = threading.Lock()
        self._index = KeyIndex()
        self._indexed = 0  # rows up to this one
        self._looked_at = -LOOK_INTERVAL
        self._keys_of = functools.lru_cache(maxsize=_KEYS_KEPT)(self._read_keys)
        self._outcomes_of = functools.lru_cache(maxsize=_ROWS_KEPT)(self._read_outcomes)

    @property
    def is_there(self) -> bool:
        """Whether the file is still in its place; somebody may have deleted it, to begin anew."""
        try:
            return Path(self.path).stat().st_ino == self._inode
        except OSError:
            return False

    # ------------------------------------------------------------ results

    def look_again(self) -> None:
        """Have the next `find` see all that is stored by now."""
        self._looked_at = -LOOK_INTERVAL

    def find(self, keys: bytes) -> list[Found | Missing]:
        """What there is of these keys, in their order; also what others have stored, until half a second ago."""
        with self._lock, explained(self.path):
            self._look()
            places = self._index.find(keys)
            # Runs: of keys without a place, and of places that follow one another.
            breaks = np.flatnonzero(np.diff(places) != np.where(places[:-1] == NOWHERE, 0, 1)) + 1
            edges = [0, *breaks.tolist(), len(places)] if len(places) else []
            segments: list[Found | Missing] = []
            for lo, hi in pairwise(edges):
                place = int(places[lo])
                run, position = _parts(place)
                stored = b"" if place == NOWHERE else self._keys_of(run)
                wanted = keys[KEY_BYTES * lo : KEY_BYTES * hi]
                if wanted == stored[KEY_BYTES * position : KEY_BYTES * (position + hi - lo)]:
                    segments.append(Found(run, position, position + hi - lo))
                elif segments and isinstance(segments[-1], Missing):
                    segments[-1] = Missing(segments[-1].length + hi - lo)
                else:
                    segments.append(Missing(hi - lo))
            return segments

    def find_one(self, key: bytes) -> Found | None:
        """Where the result of one key is; see `find`."""
        with self._lock, explained(self.path):
            self._look()
            place = self._index.find_one(key)
            if place == NOWHERE:
                return None
            run, position = _parts(place)
            stored = self._keys_of(run)[KEY_BYTES * position : KEY_BYTES * (position + 1)]
            return Found(run, position, position + 1) if stored == key else None

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked_at >= LOOK_INTERVAL:
            self._looked_at = now
            self._index_new()

    def outcomes(self, found: Found) -> list[bytes]:
        """The encoded results."""
        with self._lock, explained(self.path):
            return self._outcomes_of(found.run)[found.lo : found.hi]

    def _index_new(self) -> None:
        new = "SELECT id, keys FROM results WHERE id > ? ORDER BY id LIMIT ?"
        while runs := self._connection.execute(new, (self._indexed, _INDEXED_ROWS)).fetchall():
            self._index.add(runs)
            self._indexed = runs[-1][0]

    def _read_keys(self, run: int) -> bytes:
        row = self._connection.execute("SELECT keys FROM results WHERE id = ?", (run,)).fetchone()
        return b"" if row is None else bytes(row[0])

    def _read_outcomes(self, run: int) -> list[bytes]:
        row = self._connection.execute(
            "SELECT keys, ends, checksum, payload FROM results WHERE id = ?", (run,)
        ).fetchone()
        if row is None:
            raise CheckpointError(self.path, "lost results while it was in use", "run this again")
        keys, packed, checksum, payload = row
        if _checksum(keys, packed, payload) != checksum:
            raise CheckpointError(self.path, f"is damaged: row {run} is not as stored", "move it away to begin anew")
        ends = array("Q")
        ends.frombytes(packed)
        return [payload[start:end] for start, end in pairwise((0, *ends))]

    def add(
        self, runs: Iterable[Run], definitions: Iterable[tuple[bytes, bytes]], classes: Iterable[StoredClass]
    ) -> None:
        """All at once or, should the process die meanwhile, nothing."""
        with self._lock, explained(self.path):
            execute = self._connection.execute
            execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany("INSERT OR IGNORE INTO definitions VALUES (?, ?)", definitions)
                self._connection.executemany("INSERT OR IGNORE INTO classes VALUES (?, ?, ?, ?)", classes)
                for run in runs:
                    packed = array("Q", run.ends).tobytes()
                    checksum = _checksum(run.keys, packed, run.payload)
                    execute(
                        "INSERT INTO results (keys, ends, checksum, payload) VALUES (?, ?, ?, ?)",
                        (run.keys, packed, checksum, run.payload),
                    )
                execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    execute("ROLLBACK")
                raise

    # ------------------------------------------------------------ what results refer to

    def find_blob(self, hash: bytes) -> bytes | None:
        """A definition."""
        with self._lock, explained(self.path):
            row = self._connection.execute("SELECT blob FROM definitions WHERE hash = ?", (hash,)).fetchone()
        return None if row is None else bytes(row[0])

    def classes(self) -> list[StoredClass]:
        """All of them."""
        with self._lock, explained(self.path):
            return [StoredClass(*row) for row in self._connection.execute("SELECT * FROM classes")]

    def close(self) -> None:
        """Nobody uses it any more."""
        with self._lock, explained(self.path):
            self._connection.close()


def _parts(place: int) -> tuple[int, int]:
    """(run, position)"""
    return place >> POSITION_BITS, place & ((1 << POSITION_BITS) - 1)


def _checksum(keys: bytes, ends: bytes, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(ends, zlib.crc32(keys)))
