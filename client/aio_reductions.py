"""The methods of an AsyncClient that reduce; see `reductions.py`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from manyhands.client.aio_detached import AsyncDetachedJob
from manyhands.client.attached import HandOver, name_to_detach
from manyhands.client.bridge import Bridge
from manyhands.client.client import Client
from manyhands.client.options import Options
from manyhands.client.phase_progress import PhaseProgress
from manyhands.client.reducing import SHOW_INTERVAL, Reduction, ReductionJob, begin, check_fed, feed, result_of
from manyhands.client.reductions import NOT_GIVEN
from manyhands.client.session import Session

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
        bar = PhaseProgress(asked.name) if progress else None
        try:
            return await _run(session, options, asked, bar)
        finally:
            if bar is not None:
                bar.close()


async def _run(session: Session, options: Options, asked: Reduction, bar: PhaseProgress | None) -> Any:
    """See `reducing.run`."""
    connection = session.connection
    job = ReductionJob(connection)
    leaves = begin(session, options, asked, job)
    try:
        if bar is not None:
            connection.background.post(job.watch)
        for _ in feed(job, leaves):
            await connection.room.wait_async()
            await asyncio.sleep(0)
            if job.outcome.done():
                break
        else:
            check_fed(asked, job)
            job.seal()
        outcome = asyncio.wrap_future(job.outcome)
        while bar is not None and not outcome.done():
            bar.show(job.phases)
            await asyncio.wait((outcome,), timeout=SHOW_INTERVAL)
        return result_of(session, options, await outcome)
    except BaseException:
        job.abandon(cancel=True)
        raise


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
