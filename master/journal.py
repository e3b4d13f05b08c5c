"""The journal as the master's loop sees it: what happened is noted at once and committed soon.

Execution starts before the commit, acknowledgements wait for it; see `group_commit.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import cast

from manyhands.master.group_commit import COMMIT_INTERVAL, GroupCommit, Store
from manyhands.master.journal_batch import Counters, JobChange, Mark, Opening, Tries
from manyhands.master.journal_schema import Kept, KeptJob, new_marks
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.spans import Span, SpanSet

#: Rows of done spans written for a job before they are joined: more than this, and more than twice the joined ones.
DONE_ROWS = 500

#: The same for marks of open tasks.
MARK_ROWS = 100

#: Definitions written, beyond twice those that were needed the last time, until it is seen which still are.
SWEEP_AFTER = 100

#: The key of an outcome that is the whole job's.
WHOLE_JOB = -1


class _Book:
    """What is written of a job, as far as it decides what to write next."""

    __slots__ = ("counters", "done", "mark_rows", "marks", "outcomes", "rows", "session", "states", "tries")

    def __init__(self, session: bytes) -> None:
        self.session = session
        self.counters = Counters()
        self.states = SpanSet()
        self.done = SpanSet()
        self.outcomes: set[int] = set()
        self.rows = 0
        #: Open tasks that were tried, and what else is noted of open tasks.
        self.tries = SpanSet()
        self.marks: dict[Mark, SpanSet] = new_marks()
        self.mark_rows = 0

    def all_marks(self) -> list[tuple[Mark, Span]]:
        """As rows."""
        return [(mark, span) for mark, spans in self.marks.items() for span in spans]


class Journal(GroupCommit):
    """One master's journal. All methods belong to the loop's thread and return at once."""

    def __init__(
        self, store: Store, *, on_broken: Callable[[Exception], None], commit_interval: float = COMMIT_INTERVAL
    ) -> None:
        """on_broken: the store failed for good, nothing more can be promised."""
        super().__init__(store, on_broken=on_broken, commit_interval=commit_interval)
        self._books: dict[int, _Book] = {}
        self._definitions: set[bytes] = set()
        self._sweep_at = SWEEP_AFTER
        #: Whether a definition is of use to anybody still.
        self.is_needed: Callable[[bytes], bool] = lambda _: True
        self._inbox_position = 0
        self._parts = 0

    # ------------------------------------------------------------ peers

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

    def client_ended(self, session: bytes) -> None:
        """Its connection was closed, as when its process ends; it may come back."""
        self._batch.ended[session] = self._store.wall()
        self._changed()

    def client_back(self, session: bytes) -> None:
        """It did."""
        self._batch.ended[session] = 0.0
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
        change.blocks[message.first] = self._store.wall(), message
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

    def mark(self, job: int, mark: Mark, spans: Iterable[Span]) -> None:
        """Note this of these tasks, as far as they are open."""
        book = self._books.get(job)
        if book is None:
            return
        marked = book.marks[mark]
        fresh = [part for lo, hi in spans for a, b in book.done.missing(lo, hi) for part in marked.missing(a, b)]
        if fresh:
            for lo, hi in fresh:
                marked.add(lo, hi)
            book.mark_rows += len(fresh)
            self._batch.job(job).marks += [(mark, span) for span in fresh]
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

    def ended(self, job: int, spans: Sequence[Span], kind: str, gone: Iterable[int], result_bytes: int = 0) -> None:
        """Tasks came to an outcome of this kind (a name of `Counters`). `gone`: blocks without open tasks now."""
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
        if book.tries or book.states or book.mark_rows:
            self._drop_asides(book, change, spans)
        counters = book.counters
        setattr(counters, kind, getattr(counters, kind) + count)
        counters.delivered_bytes += result_bytes
        change.counters = counters
        self._batch.drop_blocks(job, gone)
        self._changed()

    @staticmethod
    def _drop_asides(book: _Book, change: JobChange, spans: Sequence[Span]) -> None:
        """What was noted of these tasks, beside their blocks, is of no account: they have ended."""
        unmarked = 0
        for lo, hi in spans:
            for a, b in book.tries.overlap(lo, hi):
                book.tries.remove(a, b)
                change.dead_tries.append((a, b))
                for task in range(a, b):
                    change.tries.pop(task, None)
            for a, b in book.states.overlap(lo, hi):
                book.states.remove(a, b)
                change.dead_states.append((a, b))
                for task in range(a, b):
                    change.states.pop(task, None)
            unmarked += sum(marked.remove(lo, hi) for marked in book.marks.values())
        left = sum(marked.span_count for marked in book.marks.values())
        if unmarked and (not left or book.mark_rows > MARK_ROWS + 2 * left):
            change.marks.clear()
            change.marks_anew = book.all_marks()
            book.mark_rows = left

    def outcome(self, job: int, key: int, body: pb.Body) -> None:
        """What the client must hear of the job, until it is `delivered`; or, if it is a `driver_key`, what its driver
        keeps until it is dropped.
        """
        self._books[job].outcomes.add(key)
        self._batch.job(job).outcomes[key] = body
        self._changed()

    def late_outcome(self, job: int, key: int, make: Callable[[], pb.Body]) -> None:
        """The same; `make` is called when it is about to be written, and must not raise."""
        self._books[job].outcomes.add(key)
        self._batch.job(job).late_outcomes[key] = make
        self._changed()

    def drop(self, job: int, keys: Iterable[int]) -> None:
        """The driver of the job does not need these any more."""
        book = self._books[job]
        for key in keys:
            book.outcomes.discard(key)
            self._batch.drop_outcome(job, key)
        self._changed()

    def concluded(self, job: int, succeeded: int, failed: int, cancelled: int) -> None:
        """A job with a driver has come to these outcomes; nothing of its tasks is of use any more."""
        book = self._books[job]
        counters = book.counters
        counters.total = succeeded + failed + cancelled
        counters.succeeded, counters.failed, counters.cancelled = succeeded, failed, cancelled
        book.outcomes = {key for key in book.outcomes if key >= WHOLE_JOB}
        change = self._batch.job(job)
        change.counters = counters
        change.is_concluded = True
        self._changed()

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
        book = self._books.get(job)
        if book is None:
            return  # a driver's task: after a restart the driver will have it run anew
        book.tries.add(task, task + 1)
        self._batch.job(job).tries[task] = Tries(attempts, failures, tuple(crashes), self._store.wall() + delay, delay)
        self._changed()

    def state(self, job: int, task: int, state: bytes) -> None:
        """A task saved this for its next attempt."""
        book = self._books.get(job)
        if book is not None:
            book.states.add(task, task + 1)
            self._batch.job(job).states[task] = state
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

    # ------------------------------------------------------------ data

    def data_held(self, session: bytes, id: bytes, size: int) -> None:
        """A client holds this datum."""
        self._batch.hold_data(session, id, size)
        self._changed()

    def data_released(self, session: bytes, id: bytes) -> None:
        """It needs it no more."""
        self._batch.release_data(session, id)
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
        book.states = SpanSet((task, task + 1) for task in job.states)
        book.done = job.done
        book.rows = job.done.span_count
        book.outcomes = set(job.outcomes)
        for task in job.tries:
            book.tries.add(task, task + 1)
        book.marks = job.marks
        book.mark_rows = len(book.all_marks())
        return book
