"""A journal's store in memory: real SQLite, committed at once; a life of a master that is over writes nothing more."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence

from manyhands.master.journal_batch import Batch
from manyhands.master.journal_schema import Kept, begin_life, create, read, read_outcomes, write


class MemoryStore:
    """What outlives the lives."""

    def __init__(self) -> None:
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        self.db.execute("BEGIN")
        create(self.db, b"fuzzed")
        self.db.execute("COMMIT")

    def begin(self) -> tuple[bytes, int, Kept]:
        """A new life: (the journal's identity, the life's number, what is kept)."""
        return *begin_life(self.db), read(self.db)


class LifeStore:
    """See `group_commit.Store`: one life's. Build it inside the running loop."""

    def __init__(self, store: MemoryStore) -> None:
        self._loop = asyncio.get_running_loop()
        self._db = store.db
        self.is_over = False

    def commit(self, batches: Sequence[Batch], on_end: Callable[[Exception | None], None]) -> None:
        if self.is_over:
            return
        try:
            write(self._db, list(batches))
        except Exception as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self._loop.call_soon(on_end, error)
        else:
            self._loop.call_soon(on_end, None)

    async def outcomes(self, job: int, *, ordered: bool, after: int) -> list[tuple[int, int, bytes]]:
        return read_outcomes(self._db, job, ordered=ordered, after=after, limit=100)

    def wall(self) -> float:
        return time.time()
