"""The journal's tables: how a batch is written into them, and what is read back."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator
from dataclasses import astuple, dataclass, field
from typing import get_args

from manyhands.master.journal_batch import Batch, Counters, JobChange, Mark, Opening, Statement, Tries
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.spans import SpanSet

#: "mhjl": how `file` and we tell a journal from any other SQLite database.
APPLICATION_ID = 0x6D686A6C
#: Raised when an older manyhands could misread the file; later ones read all that a release wrote, from the first on.
SCHEMA_VERSION = 2
FIRST_VERSION = 2

#: Made where it is missing: the first journals of version 2 have no such table.
DATA = """
CREATE TABLE IF NOT EXISTS data (session BLOB, id BLOB, size INTEGER NOT NULL, PRIMARY KEY (session, id)) WITHOUT ROWID
"""

SCHEMA = """
CREATE TABLE master (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE workers (session BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE clients (session BLOB PRIMARY KEY, received INTEGER NOT NULL, hello BLOB NOT NULL,
                      ended_at REAL NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE fragments (session BLOB, fragment INTEGER, part INTEGER, data BLOB NOT NULL,
                        PRIMARY KEY (session, fragment, part));
CREATE TABLE definitions (hash BLOB PRIMARY KEY, blob BLOB NOT NULL);
CREATE TABLE jobs (job INTEGER PRIMARY KEY, session BLOB NOT NULL, number INTEGER NOT NULL, opening BLOB NOT NULL,
                   sealed_at INTEGER, succeeded INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,
                   cancelled INTEGER NOT NULL DEFAULT 0, delivered_bytes INTEGER NOT NULL DEFAULT 0,
                   consumed_bytes INTEGER NOT NULL DEFAULT 0, unlimited INTEGER NOT NULL DEFAULT 0,
                   finished INTEGER NOT NULL DEFAULT 0, total INTEGER NOT NULL DEFAULT 0,
                   finished_at REAL NOT NULL DEFAULT 0);
CREATE TABLE needs (job INTEGER, hash BLOB, PRIMARY KEY (job, hash)) WITHOUT ROWID;
CREATE TABLE blocks (job INTEGER, first INTEGER, arrived_at REAL NOT NULL, block BLOB NOT NULL,
                     PRIMARY KEY (job, first));
CREATE TABLE done (job INTEGER, lo INTEGER, hi INTEGER NOT NULL, PRIMARY KEY (job, lo)) WITHOUT ROWID;
CREATE TABLE outcomes (job INTEGER, key INTEGER, body BLOB NOT NULL, PRIMARY KEY (job, key));
CREATE TABLE tries (job INTEGER, task INTEGER, attempts INTEGER NOT NULL, failures INTEGER NOT NULL,
                    crashes BLOB NOT NULL, due REAL NOT NULL, delay REAL NOT NULL, PRIMARY KEY (job, task));
CREATE TABLE states (job INTEGER, task INTEGER, state BLOB NOT NULL, PRIMARY KEY (job, task));
CREATE TABLE marks (job INTEGER, mark TEXT, lo INTEGER, hi INTEGER, PRIMARY KEY (job, mark, lo, hi)) WITHOUT ROWID;
CREATE TABLE inbox (job INTEGER, position INTEGER, body BLOB NOT NULL, PRIMARY KEY (job, position));
"""
SCHEMA += DATA

_COUNTERS = (
    "UPDATE jobs SET succeeded = ?, failed = ?, cancelled = ?, delivered_bytes = ?, consumed_bytes = ?, "
    "unlimited = ?, finished = ?, total = ?, finished_at = ? WHERE job = ?"
)

_OF_TASKS = ("blocks", "done", "tries", "states", "marks", "inbox")
_OF_A_JOB = ("jobs", "blocks", "done", "outcomes", "tries", "states", "marks", "needs", "inbox")


def driver_key(key: int) -> int:
    """Under which key, among a job's outcomes, there is what its driver keeps under `key`; and the inverse."""
    return -2 - key


def create(db: sqlite3.Connection, identity: bytes) -> None:
    """Make the tables of a journal by that name, inside a transaction of the caller's."""
    for statement in SCHEMA.strip().split(";"):
        db.execute(statement)
    db.execute("INSERT INTO master VALUES ('identity', ?), ('epoch', 0)", (identity,))


def begin_life(db: sqlite3.Connection) -> tuple[bytes, int]:
    """Another life of the master begins: (the journal's identity, the life's number), durable on return."""
    db.execute(DATA)
    (identity,) = db.execute("SELECT value FROM master WHERE key = 'identity'").fetchone()
    (last,) = db.execute("SELECT value FROM master WHERE key = 'epoch'").fetchone()
    db.execute("UPDATE master SET value = ? WHERE key = 'epoch'", (last + 1,))
    return identity, last + 1


def statements(batch: Batch) -> Iterator[Statement]:
    """What writes a batch. Idempotent, so that a batch may be written again."""
    yield "DELETE FROM workers WHERE session = ?", [(s,) for s, there in batch.workers.items() if not there]
    yield "INSERT OR REPLACE INTO workers VALUES (?)", [(s,) for s, there in batch.workers.items() if there]
    yield "DELETE FROM clients WHERE session = ?", [(session,) for session in batch.gone]
    yield "DELETE FROM fragments WHERE session = ?", [(session,) for session in batch.gone]
    yield "DELETE FROM data WHERE session = ?", [(session,) for session in batch.gone]
    # What was released may be held again since.
    yield "DELETE FROM data WHERE session = ? AND id = ?", batch.released_data
    yield "INSERT OR REPLACE INTO data VALUES (?, ?, ?)", [(*key, size) for key, size in batch.held_data.items()]
    yield (
        "INSERT OR REPLACE INTO clients (session, received, hello) VALUES (?, 0, ?)",
        [(session, hello.SerializeToString()) for session, hello in batch.hellos.items()],
    )
    yield "UPDATE clients SET ended_at = ? WHERE session = ?", [(at, s) for s, at in batch.ended.items()]
    yield "UPDATE clients SET received = ? WHERE session = ?", [(n, s) for s, n in batch.received.items()]
    yield "DELETE FROM fragments WHERE session = ? AND fragment = ?", [*batch.dead_fragments]
    yield (
        "INSERT OR REPLACE INTO fragments VALUES (?, ?, ?, ?)",
        [(*key, part, data) for key, parts in batch.fragments.items() for part, data in parts],
    )
    # What was dropped may have come again since.
    yield "DELETE FROM definitions WHERE hash = ?", [(hash,) for hash in batch.dead_definitions]
    yield "INSERT OR IGNORE INTO definitions VALUES (?, ?)", list(batch.definitions.items())
    closed = [(number,) for number, change in batch.jobs.items() if change.closed]
    for table in _OF_A_JOB:
        yield f"DELETE FROM {table} WHERE job = ?", closed  # noqa: S608 - our own names
    for number, change in batch.jobs.items():
        yield from _job_statements(number, change)


def _job_statements(number: int, change: JobChange) -> Iterator[Statement]:
    if (opening := change.opening) is not None:
        yield (
            "INSERT OR REPLACE INTO jobs (job, session, number, opening) VALUES (?, ?, ?, ?)",
            [(number, opening.session, opening.number, opening.message.SerializeToString())],
        )
    if change.detached:
        yield "UPDATE jobs SET session = x'' WHERE job = ?", [(number,)]
    yield "INSERT OR IGNORE INTO needs VALUES (?, ?)", [(number, hash) for hash in change.needs]
    if change.sealed_at is not None:
        yield "UPDATE jobs SET sealed_at = ? WHERE job = ?", [(change.sealed_at, number)]
    if change.counters is not None:
        yield _COUNTERS, [(*astuple(change.counters), number)]
    yield (
        "INSERT OR REPLACE INTO blocks VALUES (?, ?, ?, ?)",
        [(number, first, at, block.SerializeToString()) for first, (at, block) in change.blocks.items()],
    )
    yield "DELETE FROM blocks WHERE job = ? AND first = ?", [(number, first) for first in change.dead_blocks]
    if change.done_anew is not None:
        yield "DELETE FROM done WHERE job = ?", [(number,)]
        yield "INSERT INTO done VALUES (?, ?, ?)", [(number, lo, hi) for lo, hi in change.done_anew]
    yield "INSERT OR REPLACE INTO done VALUES (?, ?, ?)", [(number, lo, hi) for lo, hi in change.done]
    yield (
        "INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?)",
        [(number, key, body.SerializeToString()) for key, body in change.outcomes.items()],
    )
    yield "DELETE FROM outcomes WHERE job = ? AND key = ?", [(number, key) for key in change.dead_outcomes]
    yield (
        "INSERT OR REPLACE INTO tries VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (number, task, t.attempts, t.failures, _packed(t.crashes), t.due, t.delay)
            for task, t in change.tries.items()
        ],
    )
    yield (
        "DELETE FROM states WHERE job = ? AND task >= ? AND task < ?",
        [(number, lo, hi) for lo, hi in change.dead_states],
    )
    yield (
        "INSERT OR REPLACE INTO states VALUES (?, ?, ?)",
        [(number, task, state) for task, state in change.states.items()],
    )
    yield "DELETE FROM tries WHERE job = ? AND task >= ? AND task < ?", [(number, *span) for span in change.dead_tries]
    if change.marks_anew is not None:
        yield "DELETE FROM marks WHERE job = ?", [(number,)]
    marks = [*(change.marks_anew or ()), *change.marks]
    yield "INSERT OR IGNORE INTO marks VALUES (?, ?, ?, ?)", [(number, mark, *span) for mark, span in marks]
    yield (
        "INSERT OR REPLACE INTO inbox VALUES (?, ?, ?)",
        [(number, position, body.SerializeToString()) for position, body in change.inbox.items()],
    )
    yield "DELETE FROM inbox WHERE job = ? AND position = ?", [(number, position) for position in change.dead_inbox]
    if change.is_concluded:
        for table in _OF_TASKS:
            yield f"DELETE FROM {table} WHERE job = ?", [(number,)]  # noqa: S608 - our own names
        yield "DELETE FROM outcomes WHERE job = ? AND key <= ?", [(number, driver_key(0))]


def write(db: sqlite3.Connection, batches: list[Batch]) -> None:
    """Commit these batches, in order, or nothing. Raises sqlite3.Error."""
    db.execute("BEGIN IMMEDIATE")
    try:
        for batch in batches:
            for statement, rows in statements(batch):
                if rows:
                    db.executemany(statement, rows)
        db.execute("COMMIT")
    except sqlite3.Error:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _packed(parts: tuple[bytes, ...]) -> bytes:
    return b"".join(struct.pack("<I", len(part)) + part for part in parts)


def _unpacked(data: bytes) -> tuple[bytes, ...]:
    parts, at = [], 0
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        parts.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    return tuple(parts)


# ------------------------------------------------------------ reading


def new_marks() -> dict[Mark, SpanSet]:
    """None of each."""
    return {mark: SpanSet() for mark in get_args(Mark)}


@dataclass(slots=True)
class KeptClient:
    """A client's session, as far as it was applied."""

    session: bytes
    received: int
    hello: pb.Hello
    #: Wall time, in seconds, when its connection was closed; 0: it was not.
    ended_at: float
    fragments: dict[int, list[bytes]] = field(default_factory=dict)


@dataclass(slots=True)
class KeptJob:
    """A job with everything of it that is still of use. `outcomes` by key, as `Journal.ended` was given them."""

    job: int
    opening: Opening
    sealed_at: int | None
    counters: Counters
    #: With the wall time, in seconds, at which they arrived.
    blocks: list[tuple[float, pb.Block]] = field(default_factory=list)
    done: SpanSet = field(default_factory=SpanSet)
    outcomes: dict[int, pb.Body | None] = field(default_factory=dict)
    tries: dict[int, Tries] = field(default_factory=dict)
    states: dict[int, bytes] = field(default_factory=dict)
    #: Definitions that its results may refer to, for those who read them later.
    needs: list[bytes] = field(default_factory=list)
    #: Of open tasks.
    marks: dict[Mark, SpanSet] = field(default_factory=new_marks)


@dataclass(slots=True)
class Kept:
    """All of a journal."""

    workers: list[bytes] = field(default_factory=list)
    #: The highest number of a fragment's part.
    parts: int = 0
    clients: list[KeptClient] = field(default_factory=list)
    definitions: dict[bytes, bytes] = field(default_factory=dict)
    jobs: list[KeptJob] = field(default_factory=list)
    #: Messages that wait for definitions: (job, position, body), in order.
    inbox: list[tuple[int, int, pb.Body]] = field(default_factory=list)
    #: What clients hold: (session, id, bytes).
    data: list[tuple[bytes, bytes, int]] = field(default_factory=list)


def read_outcomes(
    db: sqlite3.Connection, job: int, *, ordered: bool, after: int, limit: int
) -> list[tuple[int, int, bytes]]:
    """Up to `limit` outcomes of a job beyond `after`, as (position, key, body): by key if `ordered`, which is then the
    position, else in the order in which they were written.
    """
    position = "key" if ordered else "rowid"
    return db.execute(
        f"SELECT {position}, key, body FROM outcomes WHERE job = ? AND {position} > ? ORDER BY {position} LIMIT ?",  # noqa: S608 - one of two
        (job, after, limit),
    ).fetchall()


def read(db: sqlite3.Connection) -> Kept:
    """Everything that was committed."""
    (parts,) = db.execute("SELECT coalesce(max(part), 0) FROM fragments").fetchone()
    return Kept(
        [session for (session,) in db.execute("SELECT session FROM workers")],
        parts,
        _read_clients(db),
        dict(db.execute("SELECT hash, blob FROM definitions")),
        _read_jobs(db),
        [
            (job, position, pb.Body.FromString(body))
            for job, position, body in db.execute("SELECT job, position, body FROM inbox ORDER BY job, position")
        ],
        db.execute("SELECT session, id, size FROM data").fetchall(),
    )


def _read_clients(db: sqlite3.Connection) -> list[KeptClient]:
    clients: dict[bytes, KeptClient] = {}
    for session, received, hello, ended_at in db.execute("SELECT session, received, hello, ended_at FROM clients"):
        clients[session] = KeptClient(session, received, pb.Hello.FromString(hello), ended_at)
    for session, fragment, data in db.execute(
        "SELECT session, fragment, data FROM fragments ORDER BY session, fragment, part"
    ):
        clients[session].fragments.setdefault(fragment, []).append(data)
    return list(clients.values())


def _read_jobs(db: sqlite3.Connection) -> list[KeptJob]:
    jobs: dict[int, KeptJob] = {}
    for job, session, number, opening, sealed_at, *counts in db.execute(
        "SELECT job, session, number, opening, sealed_at, succeeded, failed, cancelled, delivered_bytes, "
        "consumed_bytes, unlimited, finished, total, finished_at FROM jobs ORDER BY job"
    ):
        was_asked = Opening(session, number, pb.OpenJob.FromString(opening))
        jobs[job] = KeptJob(job, was_asked, sealed_at, Counters(*counts))
    for job, arrived_at, block in db.execute("SELECT job, arrived_at, block FROM blocks ORDER BY job, first"):
        jobs[job].blocks.append((arrived_at, pb.Block.FromString(block)))
    for job, lo, hi in db.execute("SELECT job, lo, hi FROM done ORDER BY job, lo"):
        jobs[job].done.add(lo, hi)
    # A detached job's are read where they are, by those who ask for them.
    for job, key, body in db.execute(
        "SELECT outcomes.job, key, CASE WHEN session <> x'' OR key <= ? THEN body END "
        "FROM outcomes JOIN jobs ON jobs.job = outcomes.job ORDER BY outcomes.job, key",
        (driver_key(0),),
    ):
        jobs[job].outcomes[key] = None if body is None else pb.Body.FromString(body)
    for job, hash in db.execute("SELECT job, hash FROM needs"):
        jobs[job].needs.append(hash)
    for job, task, attempts, failures, crashes, due, delay in db.execute(
        "SELECT job, task, attempts, failures, crashes, due, delay FROM tries"
    ):
        jobs[job].tries[task] = Tries(attempts, failures, _unpacked(crashes), due, delay)
    for job, task, state in db.execute("SELECT job, task, state FROM states"):
        jobs[job].states[task] = state
    for job, mark, lo, hi in db.execute("SELECT job, mark, lo, hi FROM marks"):
        for span in jobs[job].done.missing(lo, hi):
            jobs[job].marks[mark].add(*span)
    return list(jobs.values())
