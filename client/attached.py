"""Other clients' jobs as a connection sees them, and one's own on their way to outlive it."""

from __future__ import annotations

import concurrent.futures
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from manyhands.client.connection import Connection
from manyhands.client.feeding import Feeding
from manyhands.client.map_job import Entry, Kept, OrderedMapJob, Unsent
from manyhands.client.mapping import begin_map
from manyhands.client.options import Options
from manyhands.client.partial_results import as_result
from manyhands.client.reading import Reader
from manyhands.client.session import Session
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.bounds import name_fault


def promise() -> concurrent.futures.Future[Any]:
    """What the loop's thread will know: any thread, and any other loop, may wait for it; nobody can cancel it."""
    future: concurrent.futures.Future[Any] = concurrent.futures.Future()
    future.set_running_or_notify_cancel()
    return future


class Attached(OrderedMapJob):
    """Somebody else's job in our session: nobody waits for it to end when the client is shut down."""

    results = pb.AttachJob.RESULTS_NONE

    def __init__(self, connection: Connection, name: str) -> None:
        super().__init__(connection)
        if (fault := name_fault(name)) is not None:
            raise ValueError(f"the name of a job {fault}")
        self._name = name

    def attach(self) -> pb.Body:
        """The message that begins it."""
        return pb.Body(attach_job=pb.AttachJob(job=self.number, name=self._name, results=self.results))

    def on_new_master(self) -> None:
        """See Job: it has forgotten that we take part."""
        self._connection.send(self, self.attach())

    def cancel_open(self, *, spare_running: bool) -> None:
        """See Job: the end of this client is not that of the job."""

    def give_up_open(self, *, spare_running: bool) -> None:
        """See Job."""

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


class Inquiry(Attached):
    """How does it fare? `report`: the first of which `until` holds; it fails if nothing more will come."""

    def __init__(self, connection: Connection, name: str, until: Callable[[pb.JobReport], bool]) -> None:
        super().__init__(connection, name)
        self._until = until
        self.report = promise()

    def on_report(self, message: pb.JobReport) -> None:
        """See Job."""
        if not self.report.done() and self._until(message):
            self.report.set_result(message)

    def fail(self, cause: BaseException) -> None:
        """See Job."""
        super().fail(cause)
        if not self.report.done():
            self.report.set_exception(cause)


class ResultsJob(Attached):
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


class NothingToFeed:
    """In place of a Feeder: the inputs were sent long ago."""

    is_exhausted = True

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.aside: deque[tuple[int, Unsent | Kept]] = deque()

    def feed_all(self) -> None:
        pass

    def feed_some(self) -> None:
        pass

    def top_up(self, taken: int, taken_bytes: int) -> None:
        raise AssertionError("it is exhausted")

    def close(self) -> None:
        pass


class HandOver(OrderedMapJob):
    """A job on its way to be detached: it ends, for this client, once the master has all of it; or is `handed_over`
    with what was said against it.
    """

    def __init__(self, connection: Connection, name: str) -> None:
        super().__init__(connection)
        self.name = name
        self.handed_over = promise()

    def seal(self) -> None:
        """See MapJob. The inputs have ended, perhaps with an exception: a master that has the seal keeps the job."""

    def hand_over(self) -> None:
        """All inputs have been sent: it is the master's from now on."""
        super().seal()

    def stop_intake(self) -> None:
        """See Job. Half a job is none: whoever feeds it is refused, and abandons it."""
        with self._lock:
            pass

    def cancel_open(self, *, spare_running: bool) -> None:
        """See Job: it is to outlive the client, and once all of it has been sent it does."""

    def give_up_open(self, *, spare_running: bool) -> None:
        """See Job."""

    def _send_seal(self) -> None:
        seal = pb.Body(seal_job=pb.SealJob(job=self.number, total=self.posted))
        self._connection.send_last(self, seal, self._on_acknowledged)
        self._seal_sent = True

    def _on_acknowledged(self) -> None:
        # A rejection may stand in the very frame that brought the acknowledgement.
        self._connection.background.loop.call_soon(self._acknowledged)

    def _acknowledged(self) -> None:
        data = self._connection.data
        if data is None:
            self._end()
        else:  # what its tasks need may still be here alone
            data.when_all_taken(self._end)

    def _end(self) -> None:
        self._connection.count_ended(self, self.opened - self.ended)
        if not self.handed_over.done():
            self.handed_over.set_result(None)

    def fail(self, cause: BaseException) -> None:
        """See Job."""
        super().fail(cause)
        if not self.handed_over.done():
            self.handed_over.set_exception(cause)


@contextmanager
def inquiring(session: Session, name: str, until: Callable[[pb.JobReport], bool]) -> Iterator[Inquiry]:
    """Ask after a job, until the block is left."""
    connection = session.connection
    connection.check_forked()
    inquiry = Inquiry(connection, name, until)
    connection.post_attached(inquiry, inquiry.attach())
    try:
        yield inquiry
    finally:
        connection.background.post(inquiry.leave)


def begin_results(session: Session, name: str, *, return_exceptions: bool) -> Reader:
    """Read its results from the first on; the reader raises UnknownJob."""
    connection = session.connection
    job = ResultsJob(connection, name)
    reader = Reader(connection, session.encoding, job, NothingToFeed(), as_result if return_exceptions else None)
    connection.post_attached(job, job.attach())
    return reader


def begin_cancel(session: Session, inquiry: Inquiry) -> concurrent.futures.Future[None]:
    """End the job that was asked after; the future ends once the master has written that down."""
    connection = session.connection
    acknowledged = promise()

    def ended() -> None:
        acknowledged.set_result(None)
        connection.forget_job(inquiry)

    body = pb.Body(cancel=pb.Cancel(job=inquiry.number))
    connection.background.post(lambda: connection.send_last(inquiry, body, ended))
    return acknowledged


def begin_hand_over(
    session: Session, options: Options, function: Callable[..., Any], iterables: tuple[Iterable[Any], ...]
) -> tuple[HandOver, Feeding]:
    """A job that is to be detached: feed it, `hand_over`, wait until it is `handed_over`; or else `abandon` it."""
    job = HandOver(session.connection, name_to_detach(options))
    reader = begin_map(
        session, options, function, iterables,
        star=False, ordered=True, buffersize=None, eager=False, stand_in=None, job=job, detach=True,
    )  # fmt: skip
    return job, reader.feeder


def name_to_detach(options: Options) -> str:
    """The name of a job with these options that is to outlive its client. Raises ValueError if it cannot."""
    if not options.name:
        raise ValueError("a detached job is found by its name: give it one, with name=")
    if options.keep_results:
        raise ValueError(
            "a detached job's results are kept in the journal, not in the cluster: call it without keep_results="
        )
    if options.checkpoint is not None:
        raise ValueError("the master keeps a detached job's results: call it without checkpoint=")
    return options.name
