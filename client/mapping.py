"""map, map_unordered, starmap: what a call means, and the iterator it returns."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, Generic, TypeVar

from manyhands.client.feeding import Feeder
from manyhands.client.jobs import open_job
from manyhands.client.map_job import MapJob, OrderedMapJob, UnorderedMapJob
from manyhands.client.options import Options
from manyhands.client.progress import Progress
from manyhands.client.reading import Reader, StandIn, iterate
from manyhands.client.session import Session
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.function_name import name_of
from manyhands.wire.pickling import Feed

T = TypeVar("T")


class ResultIterator(Generic[T]):
    """Results of a map. Closing it, or dropping it half read, cancels what has not been read."""

    __manyhands_unsendable__ = "an iterator of results cannot be sent to a task: pass list(results) instead"
    __slots__ = ("__weakref__", "_results")

    def __init__(self, results: Generator[T, None, None]) -> None:
        self._results = results

    def __iter__(self) -> Iterator[T]:
        # The generator itself: loops then run at its speed. It lives as long as anybody holds either.
        return self._results

    def __next__(self) -> T:
        return next(self._results)

    def close(self) -> None:
        """Cancel what has not been read."""
        self._results.close()

    def __reduce__(self) -> Any:
        raise TypeError(self.__manyhands_unsendable__)


def check_map(chunksize: int, buffersize: int | None) -> None:
    """Raise as the standard library's executors do."""
    if chunksize < 1:
        raise ValueError("chunksize must be >= 1.")
    if buffersize is not None and not isinstance(buffersize, int):
        raise TypeError("buffersize must be an integer or None")
    if buffersize is not None and buffersize < 1:
        raise ValueError("buffersize must be None or > 0")


def begin_map(
    session: Session,
    options: Options,
    function: Callable[..., Any],
    iterables: tuple[Iterable[Any], ...],
    *,
    star: bool,
    ordered: bool,
    buffersize: int | None,
    eager: bool,
    stand_in: StandIn | None,
    job: MapJob | None = None,
    detach: bool = False,
) -> Reader:
    """Open a job for the call and send it what can be sent at once. Raises what pickling the function raised, and
    CheckpointError.

    If `eager`, inputs whose number is known are encoded and sent here and now; others are pulled by whoever reads.
    What `stand_in` makes of an exception takes its place among the results; if None, the reader raises it. `job`: one
    of another kind than `ordered` says. If `detach`, nothing is sent here, and the job is to outlive the client.
    """
    connection, encoding = session.connection, session.encoding
    connection.check_open()
    is_sized = all(hasattr(iterable, "__len__") for iterable in iterables)
    if star:
        inputs: Iterator[Any] = map(tuple, iterables[0])
    elif len(iterables) == 1:
        inputs = iter(iterables[0])
    else:
        inputs = zip(*iterables, strict=False)
    call = pb.CALL_STAR if star or len(iterables) != 1 else pb.CALL_ITEM
    target = encoding.target(function, call)
    checkpoint = session.checkpoint(options)
    definitions = encoding.encode_options(options)
    if job is None:
        job = OrderedMapJob(connection) if ordered else UnorderedMapJob(connection)
    opening = open_job(job.number, options, name_of(function), definitions, metered=not detach, detach=detach)
    feeder: Feeder
    keep_unsent = stand_in is not None
    if checkpoint is None:
        feed = encoding.feed(target, function, call, inputs)
        feeder = Feeder(connection, encoding, job, target, feed, buffersize, keep_unsent=keep_unsent)
    else:
        from manyhands.client.recalling import RecallingFeeder  # which imports numpy and SQLite

        feeder = RecallingFeeder(
            connection, encoding, job, function, call, Feed(inputs), buffersize, checkpoint,
            context=options.context, force=options.force_recompute, keep_unsent=keep_unsent,
        )  # fmt: skip
    connection.post_job(job, opening, definitions.blobs)
    reader = Reader(connection, encoding, job, feeder, stand_in, keeps=options.keep_results)
    if detach:
        return reader
    try:
        if eager and is_sized and buffersize is None:
            feeder.feed_all()
        else:
            feeder.top_up(0, 0)
    except BaseException:
        reader.close(was_read=True)
        raise
    return reader


def results_of(
    session: object, reader: Reader, deadline: float | None, progress: Progress | None
) -> ResultIterator[Any]:
    """The iterator for the caller; `deadline` is a monotonic time."""
    generator = iterate(session, reader, deadline, progress)
    next(generator)
    return ResultIterator(generator)
