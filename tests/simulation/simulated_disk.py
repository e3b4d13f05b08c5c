"""A disk for the master's journal: real SQLite, but commits take their time, fail for want of room, and are cut off
wherever they are when the master is killed. It outlives the master.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextvars import Context
from random import Random
from typing import Literal

from tests.simulation.party import current
from tests.simulation.story import Story

from manyhands.master.group_commit import NoRoom
from manyhands.master.journal_batch import Batch
from manyhands.master.journal_schema import Kept, begin_life, create, read, read_outcomes, write

#: When the master is to die: now, or around its next commit, which is then lost or durable and never acknowledged.
Moment = Literal["now", "before commit", "after commit"]

#: Seconds that a commit may take.
DELAY = 0.004
SLOW_DELAY = 0.8

#: The tables of which nothing is to be left when all jobs are over.
WORK = ("jobs", "blocks", "done", "outcomes", "tries", "marks", "needs", "inbox", "fragments")

#: Wall time at the beginning.
WALL = 1.7e9


class SimulatedDisk:
    """See journal.Store. Build it inside the running loop."""

    def __init__(self, rng: Random, story: Story) -> None:
        self._loop = asyncio.get_running_loop()
        self._rng = rng
        self._story = story
        self._context = Context()  # nobody's: it is the kernel that writes
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        self.db.execute("BEGIN")
        create(self.db, b"simulated")
        self.db.execute("COMMIT")
        self._life = 0
        self._pending: list[Batch] = []
        self._full_until = self._slow_until = 0.0
        self._clock_offset = 0.0
        self._crash: tuple[Moment, Callable[[], None]] | None = None
        #: Durable ones.
        self.commits = 0
        #: Told that a commit is asked for; what it returns is told when that is durable.
        self.on_commit: Callable[[], Callable[[], None] | None] = lambda: None

    def begin(self) -> tuple[bytes, int, Kept]:
        """A new life of the master opens the journal: (its identity, the life's number, what it holds)."""
        return *begin_life(self.db), read(self.db)

    # ------------------------------------------------------------ what goes wrong

    def fill(self, seconds: float) -> None:
        """No room for so long."""
        self._full_until = self._loop.time() + seconds

    def slow_down(self, seconds: float) -> None:
        """Commits take long for so long."""
        self._slow_until = self._loop.time() + seconds

    def set_clock(self, seconds: float) -> None:
        """Wall time jumps."""
        self._clock_offset += seconds

    def mend(self) -> None:
        """There is room, and it is quick."""
        self._full_until = self._slow_until = 0.0

    def crash_at(self, moment: Moment, crash: Callable[[], None]) -> None:
        """At the next commit, but within a second."""
        self._crash = moment, crash
        self._loop.call_later(1.0, self._crash_now, self._crash)

    def _crash_now(self, planned: tuple[Moment, Callable[[], None]]) -> None:
        if self._crash is planned:
            self._crash = None
            planned[1]()

    def cut_off(self) -> None:
        """The master is dead: what it was writing is durable, or as if it had never been."""
        self._life += 1
        self._crash = None
        pending, self._pending = self._pending, []
        if pending and self._loop.time() >= self._full_until and self._rng.random() < 0.5:
            self._story.tell("the last commit is durable, though nobody knows")
            write(self.db, pending)

    # ------------------------------------------------------------ for the journal

    def wall(self) -> float:
        return WALL + self._loop.time() + self._clock_offset

    def commit(self, batches: Sequence[Batch], on_end: Callable[[Exception | None], None]) -> None:
        assert not self._pending, "a commit while another is being written"
        party = current()
        assert party is not None
        self._pending = list(batches)
        on_durable = self.on_commit()
        delay = self._rng.uniform(0.0, SLOW_DELAY if self._loop.time() < self._slow_until else DELAY)
        self._loop.call_later(
            delay, self._write, self._life, on_durable, on_end, party.context, context=self._context.copy()
        )

    def _write(
        self,
        life: int,
        on_durable: Callable[[], None] | None,
        on_end: Callable[[Exception | None], None],
        context: Context,
    ) -> None:
        if life != self._life:
            return
        if self._crash is not None and self._crash[0] == "before commit":
            self._pending.clear()
            self._crash_now(self._crash)
            return
        batches, self._pending = self._pending, []
        error: Exception | None = None
        if self._loop.time() < self._full_until:
            self._story.tell("the disk is full")
            error = NoRoom("the disk is full")
        else:
            write(self.db, batches)
            self.commits += 1
            if on_durable is not None:
                on_durable()
            if self._crash is not None:
                self._crash_now(self._crash)
                return
        self._loop.call_soon(on_end, error, context=context.copy())

    async def outcomes(self, job: int, *, ordered: bool, after: int) -> list[tuple[int, int, bytes]]:
        await asyncio.sleep(self._rng.uniform(0.0, DELAY))
        return read_outcomes(self.db, job, ordered=ordered, after=after, limit=3)

    def row_counts(self, *tables: str) -> dict[str, int]:
        """How many rows these tables hold, if any."""
        counts = {table: self.db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}
        return {table: count for table, count in counts.items() if count}

    def work_left(self) -> dict[str, int]:
        """What the journal holds of jobs."""
        return self.row_counts(*WORK)
