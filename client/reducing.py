"""map_reduce: sends the items as leaves of a reduction, and waits for the one result that the master has combined."""

from __future__ import annotations

import concurrent.futures
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from manyhands.client.attached import promise
from manyhands.client.connection import Connection
from manyhands.client.encoding import items_of
from manyhands.client.futures import Outcome
from manyhands.client.jobs import open_job
from manyhands.client.leaves import Leaves
from manyhands.client.map_job import MapJob, OrderedMapJob
from manyhands.client.options import Options
from manyhands.client.refs import Ref
from manyhands.client.session import Session
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.spans import Span


class Reduction(NamedTuple):
    """What is asked for. `initial`: in a tuple, or ()."""

    map_fn: Callable[..., Any]
    reduce_fn: Callable[[Any, Any], Any]
    items: Iterable[Any]
    initial: tuple[Any, ...]
    commutative: bool

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
        #: What it came to, and what keeps that, should it be in a store; fails if nothing will come.
        self.outcome: concurrent.futures.Future[tuple[Outcome, Ref[Any] | None]] = promise()

    def on_results(self, message: pb.Results) -> None:
        """See Job."""
        ref = None
        if message.stored and self._connection.data is not None:
            ref = self._connection.data.adopt(message, self.blobs)[message.first]
        self._conclude(items_of(message)[0], ref, seconds=message.seconds)

    def on_failure(self, message: pb.Failure) -> None:
        """See Job."""
        self._conclude(message, None, seconds=message.seconds)

    def on_cancelled(self, spans: Sequence[Span]) -> None:
        """See Job."""
        self._conclude(concurrent.futures.CancelledError(), None)

    def _conclude(self, outcome: Outcome, ref: Ref[Any] | None, seconds: float = 0.0) -> None:
        if not self.outcome.done():  # a restarted master may tell it again
            completed = not isinstance(outcome, BaseException)
            self._connection.count_ended(self, self.opened - self.ended, seconds=seconds, completed=completed)
            self.outcome.set_result((outcome, ref))

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
    target = encoding.pair(asked.map_fn, asked.reduce_fn, pb.CALL_FOLD)
    definitions = encoding.encode_options(options)
    leaves = Leaves(encoding, target, asked.items, asked.initial, connection.share)
    name = getattr(asked.map_fn, "__qualname__", None) or type(asked.map_fn).__qualname__
    opening = open_job(job.number, options, name, definitions, metered=False, detach=detach)
    opening.open_job.reduction.kind = pb.Reduction.KIND_TREE
    opening.open_job.reduction.functions = target.function
    opening.open_job.reduction.commutative = asked.commutative
    opening.open_job.definitions.extend(hash for hash, _ in target.blobs if hash != target.function)
    connection.post_job(job, opening, (*definitions.blobs, *target.blobs))
    return leaves


def feed(connection: Connection, job: MapJob, leaves: Leaves, is_over: Callable[[], bool]) -> None:
    """Send all leaves, unless it is over before. Raises what the items' iterator raises, EncodeError, and TypeError if
    there is nothing to reduce.
    """
    while not leaves.is_exhausted and not is_over():
        connection.wait_for_room()
        block = leaves.block(job.posted)
        if block.count:
            job.post_block(block)
        elif not job.posted and leaves.is_exhausted:
            raise TypeError("map_reduce() of empty iterable with no initial value")


def reduce_items(session: Session, options: Options, asked: Reduction) -> Any:
    """The result. Raises what a function, or the items' iterator, raises; whatever ends it early cancels the rest."""
    job = ReductionJob(session.connection)
    leaves = begin(session, options, asked, job)
    try:
        feed(session.connection, job, leaves, job.outcome.done)
        if leaves.is_exhausted:
            job.seal()
        outcome, ref = job.outcome.result()
        result, error = session.encoding.decode_outcome(outcome)
        del ref
        if error is not None:
            raise error
    except BaseException:
        job.abandon(cancel=True)
        raise
    return result
