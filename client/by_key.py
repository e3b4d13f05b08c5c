"""map_reduce_by_key on the client: the partitions that the master tells of, as one dict or as a stream of pairs."""

from __future__ import annotations

import concurrent.futures
import operator
from collections.abc import Callable, Generator, Iterable
from typing import Any

from manyhands.client.attached import promise
from manyhands.client.connection import Connection
from manyhands.client.data import Arrived
from manyhands.client.encoding import items_of
from manyhands.client.futures import Outcome
from manyhands.client.options import Options
from manyhands.client.phase_progress import PhaseProgress
from manyhands.client.reducing import Reduction, ReductionJob, await_shown, send
from manyhands.client.session import Session
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.pair_chunks import Pairs
from manyhands.wire.segments import PARTITIONS_MAX

#: Partitions, unless the caller says otherwise: enough to keep the slots of a few hosts busy, and few enough for each
#: leaf's part of each to be worth its transfer. Not a matter of workers: the order of the result would be, too.
PARTITIONS = 16


def reduction(
    map_fn: Callable[..., Any], items: Iterable[Any], reduce_fn: Callable[[Any, Any], Any], partitions: int | None
) -> Reduction:
    """What is asked for. Raises ValueError."""
    count = PARTITIONS if partitions is None else operator.index(partitions)
    if not 1 <= count <= PARTITIONS_MAX:
        raise ValueError(f"partitions must be from 1 to {PARTITIONS_MAX}, not {partitions}")
    return Reduction(map_fn, reduce_fn, items, partitions=count)


def check_stream(options: Options, *, stream: bool) -> None:
    """Raises ValueError."""
    if stream and options.keep_results:
        raise ValueError("keep_results keeps a whole result, and stream= makes none")


class ByKeyJob(ReductionJob):
    """Its leaves end when all partitions have come, or with what ends it before."""

    def __init__(self, connection: Connection, partitions: int) -> None:
        super().__init__(connection)
        self.partitions: list[concurrent.futures.Future[Outcome]] = [promise() for _ in range(partitions)]
        self._missing = partitions
        self._seconds = 0.0

    def on_results(self, message: pb.Results) -> None:
        """See Job."""
        partition = self.partitions[message.first]
        if partition.done():
            return  # a restarted master may tell it again
        data = self._connection.data
        refs = data.adopt(message, self.blobs) if message.stored and data is not None else {}
        partition.set_result(Arrived.of(items_of(message)[0], refs.get(message.first), self.blobs))
        self._seconds += message.seconds
        self._missing -= 1
        if not self._missing:
            self._conclude(b"", self._seconds)

    def forget(self, partition: int) -> None:
        """It has been read: what is left of it in a store may go."""
        self.partitions[partition] = promise()
        self.partitions[partition].set_result(b"")

    def _conclude(self, outcome: Outcome, seconds: float = 0.0) -> None:
        super()._conclude(outcome, seconds)
        for partition in self.partitions:
            if not partition.done():
                partition.set_result(outcome)

    def fail(self, cause: BaseException) -> None:
        """See Job."""
        super().fail(cause)
        for partition in self.partitions:
            if not partition.done():
                partition.set_exception(cause)


def run(
    session: Session, options: Options, asked: Reduction, bar: PhaseProgress | None
) -> Generator[Pairs, None, None]:
    """The partitions, in order; all items have been sent when this returns.

    Raises what a function, or the items' iterator, raises, now or in the generator. Whatever ends it early, and be it
    that nobody wants to have more of it, cancels the rest.
    """
    partitions = _partitions(session, options, asked, bar)
    next(partitions)
    return partitions


def _partitions(
    session: Session, options: Options, asked: Reduction, bar: PhaseProgress | None
) -> Generator[Any, None, None]:
    """First None, when all items have been sent."""
    job = ByKeyJob(session.connection, asked.partitions)
    try:
        send(session, options, asked, job, bar)
        yield None
        if not job.posted:
            job.abandon(cancel=True)
            return
        for number, partition in enumerate(job.partitions):
            await_shown(partition, job, bar)
            pairs, error = session.encoding.decode_outcome(partition.result())
            if error is not None:
                raise error
            yield pairs
            job.forget(number)
            del pairs, partition
    except BaseException:
        job.abandon(cancel=True)
        raise
    finally:
        if bar is not None:
            bar.close()
