"""map_reduce: sends the items as leaves of a reduction, and waits for the one result that the master has combined."""

from __future__ import annotations

import concurrent.futures
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from manyhands.client.attached import HandOver, name_to_detach, promise
from manyhands.client.connection import Connection
from manyhands.client.data import Arrived
from manyhands.client.detached import DetachedJob, Phase, phases_of
from manyhands.client.encoding import items_of
from manyhands.client.futures import Outcome
from manyhands.client.jobs import KEEP_BYTES, open_job
from manyhands.client.leaves import Leaves
from manyhands.client.map_job import MapJob, OrderedMapJob
from manyhands.client.options import Options
from manyhands.client.phase_progress import PhaseProgress
from manyhands.client.session import Session
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.function_name import name_of
from manyhands.wire.spans import Span

#: Seconds between two looks at how it fares, for who wants to see that.
SHOW_INTERVAL = 0.2


class Reduction(NamedTuple):
    """What is asked for. `initial`: in a tuple, or (); `partitions`: 0 unless it is one by key."""

    map_fn: Callable[..., Any]
    reduce_fn: Callable[[Any, Any], Any]
    items: Iterable[Any]
    initial: tuple[Any, ...] = ()
    commutative: bool = False
    partitions: int = 0

    @property
    def name(self) -> str:
        """What people see, if it has been given none."""
        return name_of(self.map_fn)

    def check(self, options: Options) -> None:
        """Raises TypeError or ValueError for what cannot be."""
        for name, function in (("map_fn", self.map_fn), ("reduce_fn", self.reduce_fn)):
            if not callable(function):
                raise TypeError(f"{name} must be callable, not {function!r}")
            if inspect.iscoroutinefunction(function):
                raise TypeError(f"{name} must be a plain function: coroutines are for submit and map")
        if options.checkpoint is not None:
            raise ValueError(
                "a checkpoint keeps the results of single calls, and a reduction has none: call it without checkpoint="
            )


class ReductionJob(OrderedMapJob):
    """Its tasks are leaves; they all end with the one outcome that is told."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        #: What it came to; fails if nothing will come.
        self.outcome: concurrent.futures.Future[Outcome] = promise()
        #: How it fares, if it is watched.
        self.phases: tuple[Phase, ...] = ()
        self._is_watched = False

    def watch(self) -> None:
        """On the loop's thread: have the master say how it fares."""
        self._is_watched = True
        self._connection.send(self, pb.Body(watch=pb.Watch(job=self.number)))

    def on_report(self, message: pb.JobReport) -> None:
        """See Job."""
        self.phases = phases_of(message)

    def on_new_master(self) -> None:
        """See Job."""
        if self._is_watched:
            self.watch()

    def on_results(self, message: pb.Results) -> None:
        """See Job."""
        refs = self._connection.data.adopt(message, self.blobs) if self._connection.data is not None else {}
        self._conclude(Arrived.of(items_of(message)[0], refs.get(message.first), self.blobs), message.seconds)

    def on_failure(self, message: pb.Failure) -> None:
        """See Job."""
        self._conclude(message, message.seconds)

    def on_cancelled(self, spans: Sequence[Span]) -> None:
        """See Job."""
        self._conclude(concurrent.futures.CancelledError())

    def _conclude(self, outcome: Outcome, seconds: float = 0.0) -> None:
        if not self.outcome.done():  # a restarted master may tell it again
            completed = not isinstance(outcome, BaseException)
            self._connection.count_ended(self, self.opened - self.ended, seconds=seconds, completed=completed)
            self.outcome.set_result(outcome)

    def stop_intake(self) -> None:
        """See Job. The result of half the items is none: whoever feeds them is refused, and abandons it."""
        with self._lock:
            pass

    def fail(self, cause: BaseException) -> None:
        """See Job."""
        super().fail(cause)
        if not self.outcome.done():
            self.outcome.set_exception(cause)

    def cancel_open(self, *, spare_running: bool) -> None:
        """See Job: half a reduction is none."""
        self._connection.send(self, pb.Body(cancel=pb.Cancel(job=self.number)))
        self.on_cancelled(())

    def give_up_open(self, *, spare_running: bool) -> None:
        """See Job."""
        self.on_cancelled(())


def begin(session: Session, options: Options, asked: Reduction, job: MapJob, *, detach: bool = False) -> Leaves:
    """Open the job; what is to be fed to it. Raises as `Reduction.check` does, and EncodeError."""
    asked.check(options)
    connection, encoding = session.connection, session.encoding
    connection.check_open()
    target = encoding.pair(asked.map_fn, asked.reduce_fn, pb.CALL_GROUP if asked.partitions else pb.CALL_FOLD)
    definitions = encoding.encode_options(options)
    leaves = Leaves(encoding, target, asked.items, asked.initial, asked.partitions, connection.share)
    opening = open_job(job.number, options, asked.name, definitions, metered=False, detach=detach)
    message = opening.open_job
    message.reduction.kind = pb.Reduction.KIND_BY_KEY if asked.partitions else pb.Reduction.KIND_TREE
    message.reduction.partitions = asked.partitions
    message.reduction.functions = target.function
    message.reduction.commutative = asked.commutative
    message.definitions.extend(hash for hash, _ in target.blobs if hash != target.function)
    # Large partial results stay with the workers; those of a job that is to outlive everybody are in the journal.
    message.keep_bytes, message.share_bytes = 0 if detach else KEEP_BYTES, 0
    connection.post_job(job, opening, (*definitions.blobs, *target.blobs))
    return leaves


def feed(job: MapJob, leaves: Leaves) -> Iterator[None]:
    """Send all leaves, a block at each step. Raises what the items' iterator raises, and EncodeError."""
    while not leaves.is_exhausted:
        yield
        block = leaves.block(job.posted)
        if block.count:
            job.post_block(block)


def check_fed(asked: Reduction, job: MapJob) -> None:
    """Raises TypeError if there is nothing to reduce."""
    if not (job.posted or asked.partitions):
        raise TypeError("map_reduce() of empty iterable with no initial value")


def send(session: Session, options: Options, asked: Reduction, job: ReductionJob, bar: PhaseProgress | None) -> None:
    """Send all items, unless it is over before. Raises as `begin`, `feed` and `check_fed` do."""
    connection = session.connection
    leaves = begin(session, options, asked, job)
    if bar is not None:
        connection.background.post(job.watch)
    for _ in feed(job, leaves):
        connection.wait_for_room()
        if job.outcome.done():
            return
        if bar is not None:
            bar.show(job.phases)
    check_fed(asked, job)
    job.seal()


def await_shown(awaited: concurrent.futures.Future[Any], job: ReductionJob, bar: PhaseProgress | None) -> None:
    """Until it is done, if there is a bar to show meanwhile how the job fares."""
    while bar is not None and not awaited.done():
        concurrent.futures.wait((awaited,), SHOW_INTERVAL)
        bar.show(job.phases)


def run(session: Session, options: Options, asked: Reduction, job: ReductionJob, bar: PhaseProgress | None) -> Any:
    """The result. Raises what a function, or the items' iterator, raises; whatever ends it early cancels the rest."""
    try:
        send(session, options, asked, job, bar)
        await_shown(job.outcome, job, bar)
        result = result_of(session, options, job.outcome.result())
    except BaseException:
        job.abandon(cancel=True)
        raise
    finally:
        if bar is not None:
            bar.close()
    return result


def result_of(session: Session, options: Options, outcome: Outcome) -> Any:
    """What the caller is given. Raises what the reduction raised."""
    if options.keep_results and isinstance(outcome, bytes):
        return session.data.ref_of(outcome)
    result, error = session.encoding.decode_outcome(outcome)
    if error is not None:
        raise error
    return result


def detach(session: Session, options: Options, asked: Reduction) -> DetachedJob:
    """Send all items to the master, and return once it has them. Raises JobNameTaken, and as `run` does: there is no
    job then.
    """
    connection = session.connection
    job = HandOver(connection, name_to_detach(options))
    leaves = begin(session, options, asked, job, detach=True)
    try:
        for _ in feed(job, leaves):
            connection.wait_for_room()
            if job.handed_over.done():
                break
        else:
            check_fed(asked, job)
            job.hand_over()
        job.handed_over.result()
    except BaseException:
        job.abandon(cancel=True)
        raise
    return DetachedJob(session, job.name)
