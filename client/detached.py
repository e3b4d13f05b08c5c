"""Detached jobs: handed to the master whole, looked after from this process or another one, today or another day."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

from manyhands.client.connection import Connection
from manyhands.client.map_job import Entry, Kept, OrderedMapJob, Unsent
from manyhands.client.mapping import ResultIterator, begin_map, results_of
from manyhands.client.options import Options
from manyhands.client.partial_results import as_result
from manyhands.client.reading import Reader
from manyhands.client.session import Session
from manyhands.protos import manyhands_pb2 as pb

#: Seconds that the master may take to say how a job fares.
REPORT_TIMEOUT = 30.0


class JobProgress(NamedTuple):
    """How a job fares, in tasks."""

    total: int
    succeeded: int
    failed: int
    #: Whether every task has its outcome.
    finished: bool

    @property
    def done(self) -> int:
        """Tasks that have their outcome."""
        return self.succeeded + self.failed


class DetachedJob:
    """A job at the master, by its name; it outlives every client. Made by `map(..., detach=True)` and `client.job`."""

    __manyhands_unsendable__ = "a DetachedJob cannot be sent to a task: pass its name, or its results"

    def __init__(self, session: Session, name: str) -> None:
        self._session = session
        self.name = name

    def progress(self) -> JobProgress:
        """How it fares now. Raises UnknownJob, and what ended the connection."""
        return self._ask(until=lambda report: True, timeout=REPORT_TIMEOUT)

    def wait(self, timeout: float | None = None) -> JobProgress:
        """Wait until every task has its outcome. Raises TimeoutError after `timeout` seconds, UnknownJob."""
        return self._ask(until=lambda report: report.finished, timeout=timeout)

    def results(self, timeout: float | None = None, *, return_exceptions: bool = False) -> ResultIterator[Any]:
        """Its results from the first on, in the order of the inputs, as they come; as often as one likes.

        Raises as `Client.map` does; nothing of that, and no iterator half read, cancels anything.
        """
        session = self._session
        self.progress()  # or an unknown name would only be told by the iterator
        connection = session.connection
        job = _ResultsJob(connection, self.name)
        stand_in = as_result if return_exceptions else None
        reader = Reader(connection, session.encoding, job, _NothingToFeed(), stand_in)
        connection.post_attached(job, job.attach())
        deadline = None if timeout is None else time.monotonic() + timeout
        return results_of(session, reader, deadline, None)

    def cancel(self) -> None:
        """End it: what has not finished is cancelled, its results are dropped, its name is free. Raises UnknownJob."""
        inquiry = self._inquire(until=lambda report: True, timeout=REPORT_TIMEOUT)
        acknowledged = threading.Event()
        connection = self._session.connection
        body = pb.Body(cancel=pb.Cancel(job=inquiry.number))
        connection.background.post(partial(connection.send_last, inquiry, body, acknowledged.set))
        if not acknowledged.wait(REPORT_TIMEOUT):
            raise TimeoutError(f"the master has not confirmed the end of {self.name!r} in {REPORT_TIMEOUT:g} s")
        connection.background.post(partial(connection.forget_job, inquiry))

    def _ask(self, until: Callable[[pb.JobReport], bool], timeout: float | None) -> JobProgress:
        inquiry = self._inquire(until, timeout)
        connection = self._session.connection
        connection.background.post(inquiry.leave)
        report = inquiry.report
        assert report is not None
        return JobProgress(report.total, report.succeeded, report.failed, report.finished)

    def _inquire(self, until: Callable[[pb.JobReport], bool], timeout: float | None) -> _Inquiry:
        connection = self._session.connection
        connection.check_forked()
        inquiry = _Inquiry(connection, self.name, until)
        connection.post_attached(inquiry, inquiry.attach())
        if not inquiry.answered.wait(timeout):
            connection.background.post(inquiry.leave)
            raise TimeoutError(f"the job {self.name!r} has not ended after {timeout:g} s")
        if inquiry.failure is not None:
            raise inquiry.failure
        return inquiry

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} at {self._session.connection.address}>"

    def __reduce__(self) -> Any:
        raise TypeError(self.__manyhands_unsendable__)


class _Attached(OrderedMapJob):
    """Somebody else's job in our session: nobody waits for it to end when the client is shut down."""

    results = pb.AttachJob.RESULTS_NONE

    def __init__(self, connection: Connection, name: str) -> None:
        super().__init__(connection)
        self._name = name

    def attach(self) -> pb.Body:
        """The message that begins it."""
        return pb.Body(attach_job=pb.AttachJob(job=self.number, name=self._name, results=self.results))

    def on_new_master(self) -> None:
        """See Job: it has forgotten that we take part."""
        self._connection.send(self, self.attach())

    def leave(self) -> None:
        """On the loop's thread: take part no more."""
        self._connection.send(self, pb.Body(leave_job=pb.LeaveJob(job=self.number)))
        self._connection.forget_job(self)

    def _count(self, count: int, *, seconds: float = 0.0, completed: bool = False) -> None:
        pass  # what was submitted elsewhere is no business of this client's statistics

    @property
    def is_settled(self) -> bool:
        """See Job."""
        return True

    def _abandon(self, cancel: bool) -> None:
        self._clear()
        self.leave()


class _Inquiry(_Attached):
    """How does it fare? `answered` once `until` holds of a report, or nothing more will come."""

    def __init__(self, connection: Connection, name: str, until: Callable[[pb.JobReport], bool]) -> None:
        super().__init__(connection, name)
        self._until = until
        self.report: pb.JobReport | None = None
        self.answered = threading.Event()

    def on_report(self, message: pb.JobReport) -> None:
        """See Job."""
        self.report = message
        if self._until(message):
            self.answered.set()

    def fail(self, cause: BaseException) -> None:
        """See Job."""
        super().fail(cause)
        self.answered.set()


class _ResultsJob(_Attached):
    """Its results, read from the first on."""

    results = pb.AttachJob.RESULTS_ORDERED

    def __init__(self, connection: Connection, name: str) -> None:
        super().__init__(connection, name)
        self._consumed_bytes = 0

    def on_report(self, message: pb.JobReport) -> None:
        """See Job: it was sealed before anybody could attach."""
        self.posted = message.total
        self._is_sealed = self._seal_sent = True
        if self._want is not None:
            self._want.fire()
        if not message.total:
            self.leave()

    def take(self) -> Entry | None:
        """See MapJob."""
        entry = super().take()
        if entry is not None and self._is_sealed and self._next == self.posted:
            self._connection.background.post(self.leave)
        return entry

    def consumed(self, total_bytes: int) -> None:
        """See MapJob."""
        self._consumed_bytes = total_bytes
        super().consumed(total_bytes)

    def on_new_master(self) -> None:
        """See Job: it sends everything once more."""
        super().on_new_master()
        consumed = pb.Consumed(job=self.number, bytes=self._consumed_bytes)
        self._connection.send(self, pb.Body(consumed=consumed))


def detach_map(
    session: Session, options: Options, function: Callable[..., Any], iterables: tuple[Iterable[Any], ...]
) -> DetachedJob:
    """Send all inputs to the master, and return once it has them. Raises JobNameTaken, EncodeError, and whatever an
    iterable raises: there is no job then.
    """
    if not options.name:
        raise ValueError("a detached job is found by its name: give it one, with name=")
    if options.checkpoint is not None:
        raise ValueError("the master keeps a detached job's results: call it without checkpoint=")
    job = HandOver(session.connection)
    reader = begin_map(
        session, options, function, iterables,
        star=False, ordered=True, buffersize=None, eager=False, stand_in=None, job=job, detach=True,
    )  # fmt: skip
    feeder = reader.feeder
    try:
        feeder.feed_all()
        if feeder.error is not None:
            raise feeder.error
        job.handed_over.wait()
    except BaseException:
        job.abandon(cancel=True)
        raise
    if job.failure is not None:
        raise job.failure
    return DetachedJob(session, options.name)


class _NothingToFeed:
    """In place of a Feeder: the inputs were sent long ago."""

    is_exhausted = True

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.aside: deque[tuple[int, Unsent | Kept]] = deque()

    def feed_all(self) -> None:
        pass

    def top_up(self, taken: int, taken_bytes: int) -> None:
        raise AssertionError("it is exhausted")

    def close(self) -> None:
        pass


class HandOver(OrderedMapJob):
    """A job on its way to be detached: it ends, for this client, once the master has all of it."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.handed_over = threading.Event()

    def _send_seal(self) -> None:
        seal = pb.Body(seal_job=pb.SealJob(job=self.number, total=self.posted))
        self._connection.send_last(self, seal, self._on_acknowledged)
        self._seal_sent = True

    def _on_acknowledged(self) -> None:
        # A rejection may stand in the very frame that brought the acknowledgement.
        self._connection.background.loop.call_soon(self._end)

    def _end(self) -> None:
        self._connection.count_ended(self, self.opened - self.ended)
        self.handed_over.set()

    def fail(self, cause: BaseException) -> None:
        """See Job."""
        super().fail(cause)
        self.handed_over.set()
