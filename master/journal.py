"""The journal as the master's loop sees it: what happened is noted at once, committed soon, and acknowledged then.

Execution starts before the commit, acknowledgements wait for it. One batch is being written at a time; what comes
meanwhile gathers in the next, so a commit grows with the load and its cost hardly does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, cast

from manyhands.master.journal_batch import Batch, Counters, JobChange, Opening, Tries
from manyhands.master.journal_schema import Kept, KeptJob
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.spans import Span, SpanSet

log = logging.getLogger("manyhands.master")

#: Seconds that a change waits for others to be committed with.
COMMIT_INTERVAL = 0.005

#: Seconds until a commit that found no room is tried again.
RETRY_INTERVAL = 1.0

#: Rows of done spans written for a job before they are joined: more than this, and more than twice the joined ones.
DONE_ROWS = 500

#: Definitions written, beyond twice those that were needed the last time, until it is seen which still are.
SWEEP_AFTER = 100

#: The key of an outcome that is the whole job's.
WHOLE_JOB = -1


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


class _Book:
    """What is written of a job, as far as it decides what to write next."""

    __slots__ = ("counters", "done", "outcomes", "rows", "session")

    def __init__(self, session: bytes) -> None:
        self.session = session
        self.counters = Counters()
        self.done = SpanSet()
        self.outcomes: set[int] = set()
        self.rows = 0


class Journal:
    """One master's journal. All methods belong to the loop's thread and return at once."""

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
        self._waiters: list[asyncio.Future[None]] = []
        self._writing_waiters: list[asyncio.Future[None]] = []
        self._is_busy = False
        self._timer: asyncio.TimerHandle | None = None
        self._books: dict[int, _Book] = {}
        self._definitions: set[bytes] = set()
        self._sweep_at = SWEEP_AFTER
        #: Whether a definition is of use to anybody still.
        self.is_needed: Callable[[bytes], bool] = lambda _: True
        self._inbox_position = 0
        self._parts = 0
        #: Called after each commit.
        self.on_commit: Callable[[], None] = lambda: None
        #: Why nothing can be written now; empty if it can.
        self.trouble = ""
        #: Commits so far.
        self.commits = 0

    # ------------------------------------------------------------ committing

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
            if not waiter.done():
                waiter.set_result(None)
        self.on_commit()

    async def synced(self) -> None:
        """Return once everything noted so far is durable."""
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        if self._timer is not None:
            self._timer.cancel()
        self._commit()
        await waiter

    # ------------------------------------------------------------ peers

    def acknowledge(self, watcher: Watcher, sequence: int, session: bytes | None) -> None:
        """Frames up to `sequence` were dealt with: tell the watcher once that is durable. `session`: a client's, to be
        written down.
        """
        if session is not None:
            self._batch.received[session] = sequence
        elif not self._batch and not self._is_busy:
            watcher.durable(sequence)
            return
        self._acks[watcher] = sequence
        self._changed()

    def fragment(self, session: bytes, fragment: pb.Fragment) -> None:
        """Part of a large message has come."""
        if fragment.last:
            self._batch.drop_fragments(session, fragment.id)
        else:
            self._parts += 1
            self._batch.fragments.setdefault((session, fragment.id), []).append((self._parts, fragment.data))
        self._changed()

    def client_joined(self, session: bytes, hello: pb.Hello) -> None:
        """A client has a new session."""
        self._batch.hellos[session] = hello
        self._changed()

    def client_left(self, session: bytes) -> None:
        """Its session is over, and with it its jobs."""
        for job in [job for job, book in self._books.items() if book.session == session]:
            self.forget(job)
        self._batch.drop_client(session)
        self._changed()

    def worker_joined(self, session: bytes) -> None:
        """A worker is there: after a restart it will come back."""
        self._batch.workers[session] = True
        self._changed()

    def worker_left(self, session: bytes) -> None:
        """It will not."""
        self._batch.workers[session] = False
        self._changed()

    # ------------------------------------------------------------ intake

    def opened(self, job: int, session: bytes, number: int, message: pb.OpenJob) -> None:
        """A client opened a job: the master's number for it, and the client's."""
        self._books[job] = _Book(session)
        self._batch.job(job).opening = Opening(session, number, message)
        self._changed()

    def define(self, hash: bytes, blob: bytes) -> None:
        """A job needs this definition."""
        if hash in self._definitions:
            return
        if len(self._definitions) >= self._sweep_at:
            self.sweep()
        self._definitions.add(hash)
        self._batch.definitions[hash] = blob
        self._changed()

    def sweep(self) -> None:
        """Forget the definitions that nobody needs any more."""
        for hash in [hash for hash in self._definitions if not self.is_needed(hash)]:
            self._definitions.discard(hash)
            if self._batch.definitions.pop(hash, None) is None:
                self._batch.dead_definitions.append(hash)
                self._changed()
        self._sweep_at = 2 * len(self._definitions) + SWEEP_AFTER

    def block(self, job: int, message: pb.Block) -> None:
        """A block was taken in."""
        counters = self._books[job].counters
        counters.total = message.first + len(message.ends) // 4
        change = self._batch.job(job)
        change.blocks[message.first] = message
        change.counters = counters
        self._changed()

    def needs(self, job: int, hash: bytes) -> None:
        """The results of a detached job may refer to this definition."""
        self._batch.job(job).needs.append(hash)
        self._changed()

    def detached(self, job: int) -> None:
        """The job outlives its client from now on; its outcomes are kept until it is forgotten."""
        self._books[job].session = b""
        self._batch.job(job).detached = True
        self._changed()

    def sealed(self, job: int, total: int) -> None:
        """No more blocks will come."""
        self._batch.job(job).sealed_at = total
        self._changed()

    def cancel_asked(self, job: int, spans: Sequence[Span]) -> None:
        """The client wants nothing of these tasks, wherever they are."""
        self._batch.job(job).cancels += spans
        self._changed()

    def hold(self, job: int, body: pb.Body) -> int:
        """A message of the job waits for definitions; returns the number for `let_go`."""
        self._inbox_position += 1
        self._batch.job(job).inbox[self._inbox_position] = body
        self._changed()
        return self._inbox_position

    def let_go(self, job: int, position: int) -> None:
        """It has been dealt with."""
        self._batch.drop_inbox(job, position)
        self._changed()

    # ------------------------------------------------------------ outcomes

    def ended(self, job: int, spans: Sequence[Span], kind: str, key: int, body: pb.Body, gone: Iterable[int]) -> None:
        """Tasks came to an outcome of this kind (a name of `Counters`); `body` tells the client, and is kept under
        `key` until `delivered`. `gone`: blocks that have no open task any more.
        """
        book = self._books[job]
        change = self._batch.job(job)
        count = 0
        for lo, hi in spans:
            count += hi - lo
            book.done.add(lo, hi)
        change.done += spans
        book.rows += len(spans)
        if book.rows > DONE_ROWS and book.rows > 2 * book.done.span_count:
            change.done.clear()
            change.done_anew = list(book.done)
            book.rows = book.done.span_count
        counters = book.counters
        setattr(counters, kind, getattr(counters, kind) + count)
        if kind == "succeeded":
            counters.delivered_bytes += len(body.results.payload)
        change.counters = counters
        self._keep(job, book, change, key, body)
        self._batch.drop_blocks(job, gone)
        self._changed()

    def tell(self, job: int, body: pb.Body) -> None:
        """The client must hear this of the job as a whole."""
        self._keep(job, self._books[job], self._batch.job(job), WHOLE_JOB, body)
        self._changed()

    def _keep(self, job: int, book: _Book, change: JobChange, key: int, body: pb.Body) -> None:
        book.outcomes.add(key)
        change.outcomes[key] = body

    def delivered(self, receipts: Iterable[object]) -> None:
        """The client has what was kept under these: (job, key) each."""
        for receipt in receipts:
            job, key = cast("tuple[int, int]", receipt)
            self._delivered(job, key)

    def _delivered(self, job: int, key: int) -> None:
        book = self._books.get(job)
        if book is not None and key in book.outcomes:
            book.outcomes.discard(key)
            if book.counters.finished and not book.outcomes:
                self.forget(job)
            else:
                self._batch.drop_outcome(job, key)
                self._changed()

    def tried(self, job: int, task: int, attempts: int, failures: int, crashes: Sequence[bytes], delay: float) -> None:
        """A task failed and will be tried again in `delay` seconds."""
        self._batch.job(job).tries[task] = Tries(attempts, failures, tuple(crashes), self._store.wall() + delay, delay)
        self._changed()

    def consumed(self, job: int, total_bytes: int, unlimited: bool) -> None:
        """The client's user has taken so many bytes of results."""
        book = self._books.get(job)
        if book is not None:
            book.counters.consumed_bytes = max(book.counters.consumed_bytes, total_bytes)
            book.counters.unlimited = book.counters.unlimited or unlimited
            self._batch.job(job).counters = book.counters
            self._changed()

    def finished(self, job: int) -> None:
        """Every task has its outcome: what is left is to deliver them."""
        book = self._books.get(job)
        if book is None:
            return
        if book.session and not book.outcomes:
            self.forget(job)
            return
        book.counters.finished = True
        book.counters.finished_at = self._store.wall()
        self._batch.job(job).counters = book.counters
        self._changed()

    def forget(self, job: int) -> None:
        """Nobody wants to hear of the job any more."""
        if self._books.pop(job, None) is not None:
            self._batch.close_job(job)
            self._changed()

    # ------------------------------------------------------------ looking

    def counters(self, job: int) -> Counters:
        """What a job has come to so far."""
        return self._books[job].counters

    def wall(self) -> float:
        """The time by which the journal counts, in seconds."""
        return self._store.wall()

    async def outcomes(self, job: int, *, ordered: bool, after: int) -> list[tuple[int, int, bytes]]:
        """See Store."""
        return await self._store.outcomes(job, ordered=ordered, after=after)

    # ------------------------------------------------------------ after a restart

    def resume(self, kept: Kept) -> None:
        """What the journal holds already. Workers come back under new sessions."""
        for session in kept.workers:
            self.worker_left(session)
        self._definitions = set(kept.definitions)
        self._inbox_position = max((position for _, position, _ in kept.inbox), default=0)
        self._parts = kept.parts
        for job in kept.jobs:
            self._books[job.job] = self._book_of(job)

    @staticmethod
    def _book_of(job: KeptJob) -> _Book:
        book = _Book(job.opening.session)
        book.counters = job.counters
        book.done = job.done
        book.rows = job.done.span_count
        book.outcomes = set(job.outcomes)
        return book
