"""The methods of an AsyncClient that reduce; see `reductions.py`."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import aclosing
from typing import Any, TypeVar

from manyhands.client import by_key
from manyhands.client.aio_detached import AsyncDetachedJob
from manyhands.client.attached import HandOver, name_to_detach
from manyhands.client.bridge import Bridge
from manyhands.client.by_key import ByKeyJob
from manyhands.client.client import Client
from manyhands.client.encoding import undecodable
from manyhands.client.futures import Outcome
from manyhands.client.options import Options
from manyhands.client.pairs import as_dict
from manyhands.client.phase_progress import PhaseProgress
from manyhands.client.reducing import SHOW_INTERVAL, Reduction, ReductionJob, begin, check_fed, feed, result_of
from manyhands.client.reductions import NOT_GIVEN
from manyhands.client.session import Session

K = TypeVar("K")
T = TypeVar("T")


class AsyncReductions:
    """Part of `AsyncClient`."""

    _bridge: Bridge

    @property
    def _started(self) -> Client:
        raise NotImplementedError

    async def map_reduce(
        self,
        map_fn: Callable[[Any], T],
        items: Iterable[Any],
        reduce_fn: Callable[[T, T], T],
        initial: Any = NOT_GIVEN,
        *,
        commutative: bool = False,
        progress: bool = False,
        detach: bool = False,
        name: str | None = None,
    ) -> Any:
        """See `Client.map_reduce`; the result, or with `detach` an AsyncDetachedJob.

        Items are pulled in this loop, a block of them at a time. Cancelling it ends the job.
        """
        begins_with = () if initial is NOT_GIVEN else (initial,)
        asked = Reduction(map_fn, reduce_fn, items, begins_with, commutative)
        session, options = self._started.session, self._started.named(name)
        if detach:
            return await _detach(session, self._bridge, options, asked)
        return await _run(session, options, asked, PhaseProgress(asked.name) if progress else None)

    async def map_reduce_by_key(
        self,
        map_fn: Callable[[Any], Iterable[tuple[K, T]]],
        items: Iterable[Any],
        reduce_fn: Callable[[T, T], T],
        partitions: int | None = None,
        *,
        stream: bool = False,
        progress: bool = False,
        detach: bool = False,
        name: str | None = None,
    ) -> Any:
        """See `Client.map_reduce_by_key`; the dict, or with `stream` an async iterator of pairs, or with `detach` an
        AsyncDetachedJob. Otherwise as `map_reduce`.
        """
        session, options = self._started.session, self._started.named(name)
        asked = by_key.reduction(map_fn, items, reduce_fn, partitions)
        if detach:
            return await _detach(session, self._bridge, options, asked)
        by_key.check_stream(options, stream=stream)
        merged = _partitions(session, options, asked, PhaseProgress(asked.name) if progress else None)
        await anext(merged)
        if stream:
            return _stream(merged)
        result: dict[K, T] = {}
        async with aclosing(merged):
            async for each in merged:
                result.update(await asyncio.to_thread(as_dict, [each]))
        return await asyncio.to_thread(session.data.put, result) if options.keep_results else result


async def _run(session: Session, options: Options, asked: Reduction, bar: PhaseProgress | None) -> Any:
    """See `reducing.run`."""
    job = ReductionJob(session.connection)
    try:
        await _send(session, options, asked, job, bar)
        return result_of(session, options, await _shown(job.outcome, job, bar))
    except BaseException:
        job.abandon(cancel=True)
        raise
    finally:
        if bar is not None:
            bar.close()


async def _partitions(
    session: Session, options: Options, asked: Reduction, bar: PhaseProgress | None
) -> AsyncGenerator[Any, None]:
    """See `by_key.run`: first None, when all items have been sent."""
    job = ByKeyJob(session.connection, asked.partitions)
    try:
        await _send(session, options, asked, job, bar)
        yield None
        if not job.posted:
            job.abandon(cancel=True)
            return
        for number, partition in enumerate(job.partitions):
            pairs, error = session.encoding.decode_outcome(await _shown(partition, job, bar))
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


async def _stream(partitions: AsyncGenerator[Any, None]) -> AsyncIterator[tuple[Any, Any]]:
    """See `pairs.as_stream`."""
    async with aclosing(partitions):
        async for each in partitions:
            try:
                for pair in each:
                    yield pair
            except Exception as error:
                raise undecodable(error) from error


async def _send(
    session: Session, options: Options, asked: Reduction, job: ReductionJob, bar: PhaseProgress | None
) -> None:
    """See `reducing.send`."""
    connection = session.connection
    leaves = begin(session, options, asked, job)
    if bar is not None:
        connection.background.post(job.watch)
    for _ in feed(job, leaves):
        await connection.room.wait_async()
        await asyncio.sleep(0)
        if job.outcome.done():
            return
        if bar is not None:
            bar.show(job.phases)
    check_fed(asked, job)
    job.seal()


async def _shown(awaited: concurrent.futures.Future[Outcome], job: ReductionJob, bar: PhaseProgress | None) -> Outcome:
    """What it comes to; meanwhile a bar, if there is one, shows how the job fares."""
    outcome = asyncio.wrap_future(awaited)
    while bar is not None and not outcome.done():
        await asyncio.wait((outcome,), timeout=SHOW_INTERVAL)
        bar.show(job.phases)
    return await outcome


async def _detach(session: Session, bridge: Bridge, options: Options, asked: Reduction) -> AsyncDetachedJob:
    """See `reducing.detach`."""
    connection = session.connection
    job = HandOver(connection, name_to_detach(options))
    leaves = begin(session, options, asked, job, detach=True)
    try:
        for _ in feed(job, leaves):
            await connection.room.wait_async()
            await asyncio.sleep(0)
            if job.handed_over.done():
                break
        else:
            check_fed(asked, job)
            job.hand_over()
        await asyncio.wrap_future(job.handed_over)
    except BaseException:
        job.abandon(cancel=True)
        raise
    return AsyncDetachedJob(session, bridge, job.name)
