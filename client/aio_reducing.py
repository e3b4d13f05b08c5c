"""map_reduce from a user's own event loop: items are pulled there, a block at a time; see `reducing.py`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Literal, TypeVar, overload

from manyhands.client.aio_detached import AsyncDetachedJob
from manyhands.client.attached import HandOver, name_to_detach
from manyhands.client.bridge import Bridge
from manyhands.client.client import Client
from manyhands.client.options import Options
from manyhands.client.phase_progress import PhaseProgress
from manyhands.client.reducing import SHOW_INTERVAL, Reduction, ReductionJob, begin, feed
from manyhands.client.reductions import NOT_GIVEN
from manyhands.client.session import Session

T = TypeVar("T")


class AsyncReductions:
    """Part of `AsyncClient`."""

    _bridge: Bridge

    @property
    def _started(self) -> Client:
        raise NotImplementedError

    @overload
    def map_reduce(
        self, map_fn: Callable[[Any], T], items: Iterable[Any], reduce_fn: Callable[[T, T], T], initial: Any = ...,
        *, commutative: bool = False, progress: bool = False, detach: Literal[False] = False, name: str | None = None,
    ) -> Coroutine[Any, Any, T]: ...  # fmt: skip

    @overload
    def map_reduce(
        self, map_fn: Callable[[Any], T], items: Iterable[Any], reduce_fn: Callable[[T, T], T], initial: Any = ...,
        *, commutative: bool = False, detach: Literal[True], name: str | None = None,
    ) -> Coroutine[Any, Any, AsyncDetachedJob]: ...  # fmt: skip

    def map_reduce(
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
    ) -> Coroutine[Any, Any, T] | Coroutine[Any, Any, AsyncDetachedJob]:
        """To be awaited; cancelling that cancels the reduction. Otherwise as `Client.map_reduce`."""
        begins_with = () if initial is NOT_GIVEN else (initial,)
        asked = Reduction(map_fn, reduce_fn, items, begins_with, commutative)
        client = self._started
        session, options = client.session, client.named(name)
        if detach:
            return _detach(session, self._bridge, options, asked)
        return _run(session, options, asked, PhaseProgress(asked.name) if progress else None)


async def _run(session: Session, options: Options, asked: Reduction, bar: PhaseProgress | None) -> Any:
    connection = session.connection
    job = ReductionJob(connection)
    leaves = begin(session, options, asked, job)
    try:
        if bar is not None:
            connection.background.post(job.watch)
        for _ in feed(connection, job, leaves):
            await connection.room.wait_async()
            if job.outcome.done():
                break
            if bar is not None:
                bar.show(job.phases)
            await asyncio.sleep(0)
        else:
            job.seal()
        outcome = asyncio.wrap_future(job.outcome)
        while bar is not None and not outcome.done():
            await asyncio.wait((outcome,), timeout=SHOW_INTERVAL)
            bar.show(job.phases)
        result, error = session.encoding.decode_outcome(await outcome)
        if error is not None:
            raise error
    except BaseException:
        job.abandon(cancel=True)
        raise
    finally:
        if bar is not None:
            bar.close()
    return await asyncio.to_thread(session.data.put, result) if options.keep_results else result


async def _detach(session: Session, bridge: Bridge, options: Options, asked: Reduction) -> AsyncDetachedJob:
    connection = session.connection
    job = HandOver(connection, name_to_detach(options))
    leaves = begin(session, options, asked, job, detach=True)
    try:
        for _ in feed(connection, job, leaves):
            await connection.room.wait_async()
            if job.handed_over.done():
                break
            await asyncio.sleep(0)
        else:
            job.hand_over()
        await asyncio.wrap_future(job.handed_over)
    except BaseException:
        job.abandon(cancel=True)
        raise
    return AsyncDetachedJob(session, bridge, job.name)
