"""Group commit: one batch of changes is being written at a time; what comes meanwhile gathers in the next.

So a commit grows with the load, and its cost hardly does. Acknowledgements wait for the commit that makes them true.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from manyhands.master.journal_batch import Batch

#: Seconds that a change waits for others to be committed with.
COMMIT_INTERVAL = 0.005

#: Seconds until a commit that found no room is tried again.
RETRY_INTERVAL = 1.0


class NoRoom(Exception):
    """The disk took nothing more; the text says what the system said. Whatever was committed is safe."""


class Store(Protocol):
    """Where batches go; see `journal_file.py`."""

    def commit(self, batches: Sequence[Batch], on_end: Callable[[Exception | None], None]) -> None:
        """Write the batches durably, in order, as one; then call `on_end`, on the loop, with NoRoom, another error,
        or None. Called again only after that.
        """
        ...

    async def outcomes(self, job: int, *, ordered: bool, after: int) -> list[tuple[int, int, bytes]]:
        """See journal_schema.read_outcomes: some of what is durable."""
        ...

    def wall(self) -> float:
        """Wall time, in seconds."""
        ...


class Watcher(Protocol):
    """Who is told when what it heard is durable: a peer."""

    def durable(self, sequence: int) -> None: ...


class GroupCommit:
    """Changes go into `_batch`, then `_changed()`. All methods belong to the loop's thread and return at once."""

    def __init__(
        self,
        store: Store,
        *,
        on_broken: Callable[[Exception], None],
        commit_interval: float = COMMIT_INTERVAL,
    ) -> None:
        """on_broken: the store failed for good, nothing more can be promised."""
        self._store = store
        self._on_broken = on_broken
        #: Told that there is no room (why), or that there is again (empty).
        self.on_trouble: Callable[[str], None] = lambda _: None
        self._commit_interval = commit_interval
        self._loop = asyncio.get_running_loop()
        self._batch = Batch()
        self._acks: dict[Watcher, int] = {}
        self._writing: list[Batch] = []
        self._written_acks: dict[Watcher, int] = {}
        self._waiters: list[Callable[[], None]] = []
        self._writing_waiters: list[Callable[[], None]] = []
        self._is_busy = False
        self._timer: asyncio.TimerHandle | None = None
        #: Called after each commit.
        self.on_commit: Callable[[], None] = lambda: None
        #: Why nothing can be written now; empty if it can.
        self.trouble = ""
        #: Commits so far.
        self.commits = 0

    def _changed(self) -> None:
        if self._timer is None and not self._is_busy:
            self._timer = self._loop.call_later(self._commit_interval, self._commit)

    def _commit(self) -> None:
        self._timer = None
        if self._is_busy:
            return
        if self._batch:
            self._batch.freeze()
            self._writing.append(self._batch)
            self._batch = Batch()
        for watcher, sequence in self._acks.items():
            self._written_acks[watcher] = sequence
        self._acks = {}
        self._writing_waiters += self._waiters
        self._waiters = []
        if not self._writing:
            self._committed()
            return
        self._is_busy = True
        self._store.commit(self._writing, self._on_end)

    def _on_end(self, error: Exception | None) -> None:
        self._is_busy = False
        if error is None:
            self.commits += 1
            self._writing = []
            if self.trouble:
                self.trouble = ""
                self.on_trouble("")
            self._committed()
            if self._batch or self._acks or self._waiters:
                self._changed()
        elif isinstance(error, NoRoom):
            self._timer = self._loop.call_later(RETRY_INTERVAL, self._commit)
            if not self.trouble:
                self.trouble = str(error)
                self.on_trouble(self.trouble)
        else:
            self._on_broken(error)

    def _committed(self) -> None:
        acks, self._written_acks = self._written_acks, {}
        for watcher, sequence in acks.items():
            watcher.durable(sequence)
        waiters, self._writing_waiters = self._writing_waiters, []
        for waiter in waiters:
            waiter()
        self.on_commit()

    def when_durable(self, call: Callable[[], None]) -> None:
        """Have `call` called once everything noted so far is durable."""
        self._waiters.append(call)
        self._changed()

    async def synced(self) -> None:
        """Return once everything noted so far is durable."""
        is_durable = asyncio.Event()
        self._waiters.append(is_durable.set)
        if self._timer is not None:
            self._timer.cancel()
        self._commit()
        await is_durable.wait()

    def acknowledge(self, watcher: Watcher, sequence: int, session: bytes | None) -> None:
        """Frames up to `sequence` were dealt with: tell the watcher once that is durable. `session`: a client's, to be
        written down.
        """
        if session is not None:
            self._batch.received[session] = sequence
        elif not self._batch and not self._writing:
            watcher.durable(sequence)
            return
        self._acks[watcher] = sequence
        self._changed()
