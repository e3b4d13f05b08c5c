"""The journal's file: opened, checked and locked at the start; written by a thread of its own."""

from __future__ import annotations

import asyncio
import fcntl
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from manyhands.master import wal_survey
from manyhands.master.group_commit import NoRoom
from manyhands.master.journal_batch import Batch
from manyhands.master.journal_schema import (
    APPLICATION_ID,
    FIRST_VERSION,
    SCHEMA_VERSION,
    Kept,
    begin_life,
    create,
    read,
    read_outcomes,
    write,
)

#: The file's name in the data directory.
NAME = "journal.sqlite"

#: Bytes: the write-ahead log is cut back to so much whenever it has been worked in.
WAL_BYTES = 16 << 20

#: KiB of pages that SQLite keeps in memory: what is written is seldom read, and soon deleted.
CACHE_KIB = 1024

#: Pages that nothing uses are given back to the system once they make up half of the file, and so many at least.
SPARE_PAGES = 1024
#: So many at once, as commits wait meanwhile.
GIVEN_BACK_PAGES = 512
#: Commits between two looks at that.
LOOK_EVERY = 200

#: Bytes of a file that is given up when the disk is full, so that there is room to start, and to forget things.
RESERVE_BYTES = 4 << 20

#: Outcomes of a detached job that are read at once; each is a run of results of 128 KiB at most, or one large one.
OUTCOMES = 16

_Job = tuple[list[Batch], Callable[[Exception | None], None]]


Connect = Callable[[Path], sqlite3.Connection]


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)


class JournalFault(OSError):
    """The data directory cannot be used; the text says why, and what to do."""


class JournalFile:
    """One master's journal; see `journal.Store`. Open it inside the running loop."""

    def __init__(self, directory: Path, connect: Connect = _connect) -> None:
        """`connect` opens the file once it exists: a seam for tests that watch what reaches the disk when.

        Raises JournalFault: in use by another master, damaged, foreign, of a later version, or not writable.
        """
        self._loop = asyncio.get_running_loop()
        self._path = directory / NAME
        self._reserve = directory / "reserve"
        self._connect = connect
        self._lock = _lock(directory)
        #: Frames of a torn tail that were dropped: never acknowledged to anybody.
        self.dropped_frames = 0
        try:
            try:
                self._db = self._open()
            except JournalFault as fault:
                if not isinstance(fault.__cause__, sqlite3.OperationalError) or not self._give_up_reserve():
                    raise
                self._db = self._open()
            self._make_reserve()
        except BaseException:
            os.close(self._lock)
            raise
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._commits = 0
        self._thread = threading.Thread(target=self._write, name="manyhands-journal", daemon=True)
        self._thread.start()

    # ------------------------------------------------------------ opening

    def _open(self) -> sqlite3.Connection:
        path = self._path
        try:
            if not path.exists():
                _create(path)
            _check_header(path)
            survey = wal_survey.survey(path.with_name(path.name + "-wal"))
            if survey.damaged:
                raise _damaged(path, f"its log is damaged at frame {survey.frames}, before others that are whole")
            self.dropped_frames = survey.torn
            db = self._connect(path)
            try:
                _prepare(db, path)
                #: Which master's journal it is, and the number of this life of it.
                self.identity, self.epoch = begin_life(db)
                self._kept: Kept | None = read(db)
            except BaseException:
                db.close()
                raise
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise JournalFault(f"cannot keep a journal in {path.parent}: {error}; {_ELSEWHERE}") from error
            raise _damaged(path, str(error)) from error
        except OSError as error:
            if isinstance(error, JournalFault):
                raise
            raise JournalFault(f"cannot keep a journal in {path.parent}: {error.strerror}; {_ELSEWHERE}") from error
        return db

    def take_kept(self) -> Kept:
        """What earlier lives left; once."""
        kept, self._kept = self._kept, None
        assert kept is not None
        return kept

    # ------------------------------------------------------------ writing

    def commit(self, batches: Sequence[Batch], on_end: Callable[[Exception | None], None]) -> None:
        """See Store."""
        self._jobs.put((list(batches), on_end))

    def wall(self) -> float:
        """See Store."""
        return time.time()

    async def outcomes(self, job: int, *, ordered: bool, after: int) -> list[tuple[int, int, bytes]]:
        """See Store."""
        return await asyncio.to_thread(self._read_outcomes, job, ordered, after)

    def _read_outcomes(self, job: int, ordered: bool, after: int) -> list[tuple[int, int, bytes]]:
        db = sqlite3.connect(self._path, isolation_level=None)
        try:
            return read_outcomes(db, job, ordered=ordered, after=after, limit=OUTCOMES)
        finally:
            db.close()

    def _write(self) -> None:
        while (job := self._jobs.get()) is not None:
            batches, on_end = job
            failure: Exception | None = None
            try:
                self._write_down(batches)
            except sqlite3.OperationalError as error:
                failure = NoRoom(f"{self._path}: {error}")
            except Exception as error:  # noqa: BLE001 - for the loop, which ends the master with it
                failure = error
            try:
                self._loop.call_soon_threadsafe(on_end, failure)
            except RuntimeError:
                return  # the loop is closed: nobody waits any more

    def _write_down(self, batches: list[Batch]) -> None:
        try:
            write(self._db, batches)
        except sqlite3.OperationalError:
            if not self._give_up_reserve():
                raise
            write(self._db, batches)
        self._commits += 1
        if self._commits % LOOK_EVERY == 0:
            self._give_back()
            self._make_reserve()

    def _give_up_reserve(self) -> bool:
        """Whether there was one."""
        try:
            self._reserve.unlink()
        except OSError:
            return False
        return True

    def _make_reserve(self) -> None:
        """Only while there is plenty of room: it is to help later, not to hurt now."""
        status = os.statvfs(self._path.parent)
        if not self._reserve.exists() and status.f_bavail * status.f_frsize > 4 * RESERVE_BYTES:
            with open(self._reserve, "wb", opener=partial(os.open, mode=0o600)) as file:
                os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)

    def _give_back(self) -> None:
        (free,) = self._db.execute("PRAGMA freelist_count").fetchone()
        (pages,) = self._db.execute("PRAGMA page_count").fetchone()
        if free > SPARE_PAGES and free > pages // 2:
            # As a script, which goes on to the end: executed as a statement it would give back a single page.
            self._db.executescript(f"PRAGMA incremental_vacuum({min(free // 2, GIVEN_BACK_PAGES)})")

    def close(self) -> None:
        """Finish what is being written, and let go of the directory."""
        self._jobs.put(None)
        self._thread.join()
        self._db.close()
        os.close(self._lock)


_ELSEWHERE = "name another folder with --data-dir"


def _lock(directory: Path) -> int:
    """Hold the directory for this process, as long as it lives."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalFault(f"cannot keep a journal in {directory}: {error.strerror}; {_ELSEWHERE}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise JournalFault(
            f"another master keeps its journal in {directory}: stop that one, or {_ELSEWHERE}"
        ) from error
    return descriptor


def _check_header(path: Path) -> None:
    with path.open("rb") as file:
        header = file.read(100)
    if header[:16] != b"SQLite format 3\0" or int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise JournalFault(f"{path} is not a manyhands journal: move it away, or {_ELSEWHERE}")
    version = int.from_bytes(header[60:64], "big")
    if version > SCHEMA_VERSION:
        raise JournalFault(
            f"{path} was written by a later manyhands (format {version}, this one reads up to {SCHEMA_VERSION}): "
            f"install that version, or {_ELSEWHERE}"
        )
    if version < FIRST_VERSION:
        raise JournalFault(
            f"{path} was written by a manyhands before its first release (format {version}, this one reads from "
            f"{FIRST_VERSION} on): finish its jobs with that version, move it away, or {_ELSEWHERE}"
        )


def _create(path: Path) -> None:
    """Make an empty journal; whole or not at all, whenever we are stopped."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)  # the files that SQLite puts beside it are for the same eyes
    db = sqlite3.connect(fresh, isolation_level=None)
    try:
        db.execute("PRAGMA page_size = 8192")
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        db.execute("BEGIN")
        create(db, os.urandom(16))
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        db.execute("COMMIT")
    finally:
        db.close()
    fresh.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    db.execute("PRAGMA journal_mode = WAL").fetchall()
    # Every commit is on the disk when it returns: acknowledgements promise just that.
    db.execute("PRAGMA synchronous = FULL")
    db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    db.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}").fetchall()
    (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise _damaged(path, verdict.splitlines()[-1])


def _damaged(path: Path, what: str) -> JournalFault:
    return JournalFault(
        f"{path} is damaged ({what}): restore it and the files beside it from a backup, or move them away "
        "to begin anew without the jobs in it"
    )
