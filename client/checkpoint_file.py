"""A checkpoint's file: that it is ours and whole, and its tables."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from manyhands.wire.errors import CheckpointError

FILE_NAME = "results.sqlite"
#: "mhck": tells our files from other programs'.
APPLICATION_ID = 0x6D68636B
#: Of the tables, and of what outcomes and definitions look like. A file of another version is refused.
SCHEMA_VERSION = 1
#: Seconds to wait for another client that writes.
BUSY_TIMEOUT = 60.0
_CACHE_KIB = 4096
#: A larger file is not read through at the beginning; what is damaged is noticed when it is read.
_MAX_CHECKED_BYTES = 256 << 20

#: results: runs of results, as they arrived. keys: 16 bytes each; ends: where each outcome ends in the payload, 8 bytes
#: each; checksum: CRC-32 of keys, ends and payload. definitions: what outcomes refer to. classes: the classes in
#: those, by the number that cloudpickle gave them, each with its name and content where they were stored.
_TABLES = """
CREATE TABLE results (id INTEGER PRIMARY KEY, keys BLOB NOT NULL, ends BLOB NOT NULL, checksum INTEGER NOT NULL,
    payload BLOB NOT NULL) STRICT;
CREATE TABLE definitions (hash BLOB PRIMARY KEY, blob BLOB NOT NULL) STRICT;
CREATE TABLE classes (tracker TEXT PRIMARY KEY, module TEXT NOT NULL, name TEXT NOT NULL, content BLOB NOT NULL) STRICT;
"""


@contextlib.contextmanager
def explained(path: str) -> Iterator[None]:
    """Say in words what SQLite and the operating system have to say. Raises CheckpointError."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise CheckpointError(path, f"cannot be used: {error}", _advice(str(error))) from error
    except sqlite3.DatabaseError as error:
        raise CheckpointError(path, f"is damaged: {error}", "move it away to begin anew") from error
    except OSError as error:
        raise CheckpointError(path, f"cannot be used: {error.strerror or error}", _advice(str(error))) from error


def _advice(trouble: str) -> str:
    if "full" in trouble or "No space" in trouble:
        return "free some space and run this again: what was stored before is still there"
    if "locked" in trouble:
        return "another process holds it; wait for its end, or give each its own checkpoint"
    return "check the path and its permissions, or name another one"


def open_file(directory: str, *, is_checked: bool = False) -> sqlite3.Connection:
    """The file in this directory, made if it is not there. Raises CheckpointError for one that is not ours or damaged.

    is_checked: somebody did so a moment ago. The connection may be used by one thread at a time.
    """
    path = str(Path(directory) / FILE_NAME)
    with explained(path):
        Path(directory).mkdir(mode=0o700, parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
        try:
            if not is_checked:
                _check(connection, path)
            _write_ahead(connection)
            # A killed process loses nothing with that; a power failure perhaps the latest results, but never the file.
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        except BaseException:
            connection.close()
            raise
    return connection


def _check(connection: sqlite3.Connection, path: str) -> None:
    try:
        connection.execute("BEGIN IMMEDIATE")
        tables = _value(connection, "SELECT count(*) FROM sqlite_schema")
        application, version = (_value(connection, f"PRAGMA {name}") for name in ("application_id", "user_version"))
        if not tables and not application:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            for statement in _TABLES.strip().split(";\n"):
                connection.execute(statement.rstrip(";"))
        connection.execute("COMMIT")
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        if "not a database" in str(error):
            raise CheckpointError(path, "is no checkpoint but some other file", "name another one") from error
        raise
    if (tables or application) and application != APPLICATION_ID:
        raise CheckpointError(path, "is another program's database", "name another one")
    if (tables or application) and version != SCHEMA_VERSION:
        way_out = "use that version, or name another checkpoint"
        raise CheckpointError(path, f"was made by another version of manyhands (its format is {version})", way_out)
    if Path(path).stat().st_size > _MAX_CHECKED_BYTES:
        return
    trouble = _value(connection, "PRAGMA quick_check(1)")
    if trouble != "ok":
        sentence = " ".join(trouble.split())
        raise CheckpointError(path, f"is damaged: {sentence}", "move it away to begin anew")


def _write_ahead(connection: sqlite3.Connection) -> None:
    """SQLite itself does not wait here: of several that make the file at once, all but one would be turned away."""
    deadline = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _value(connection: sqlite3.Connection, statement: str) -> Any:
    return connection.execute(statement).fetchone()[0]
