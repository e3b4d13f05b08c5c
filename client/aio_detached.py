"""Detached jobs from a user's own event loop; see `detached.py`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import aclosing
from typing import Any

from manyhands.client.aio_results import AsyncResultIterator
from manyhands.client.attached import Inquiry, begin_cancel, begin_hand_over, begin_results, inquiring
from manyhands.client.bridge import Bridge
from manyhands.client.detached import (
    REPORT_TIMEOUT,
    BestSoFar,
    JobProgress,
    check_single,
    no_search,
    overdue,
    unconfirmed,
)
from manyhands.client.options import Options
from manyhands.client.pairs import as_dict
from manyhands.client.session import Session
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.pair_chunks import Pairs
from manyhands.wire.preface import Preface


class AsyncDetachedJob:
    """`DetachedJob` for asyncio. Made by awaiting `map(..., detach=True)` or `client.job` of an AsyncClient."""

    __manyhands_unsendable__ = "an AsyncDetachedJob cannot be sent to a task: pass its name, or its results"

    def __init__(self, session: Session, bridge: Bridge, name: str) -> None:
        self._session = session
        self._bridge = bridge
        self.name = name
        self._preface: Any = None

    async def progress(self) -> JobProgress:
        """How it fares now. Raises UnknownJob, and what ended the connection."""
        report = await self._ask(until=lambda report: True, timeout=REPORT_TIMEOUT)
        progress = JobProgress.of(report)
        if report.search:
            progress.search = (await self._read_preface()).progress(report.search)
        return progress

    async def best(self) -> BestSoFar | None:
        """See `DetachedJob.best`."""
        progress = await self.progress()
        found = progress.search
        if found is None:
            if not progress.finished or not isinstance(await self._read_preface(), Preface):
                raise no_search(self.name)
            found = await self.result()
        return BestSoFar.of(found)

    async def _read_preface(self) -> Any:
        """Of a search: its first result."""
        if self._preface is None:
            async with aclosing(self.results(REPORT_TIMEOUT)) as results:
                self._preface = await anext(results, None)
        return self._preface

    async def wait(self, timeout: float | None = None) -> JobProgress:
        """Wait until every task has its outcome. Raises TimeoutError after `timeout` seconds, UnknownJob."""
        return JobProgress.of(await self._ask(until=lambda report: report.finished, timeout=timeout))

    def results(self, timeout: float | None = None, *, return_exceptions: bool = False) -> AsyncResultIterator[Any]:
        """Its results from the first on, in the order of the inputs, as they come; as often as one likes.

        The iterator raises as that of `AsyncClient.map` does, and UnknownJob; nothing of that, and no iterator half
        read, cancels anything.
        """
        reader = begin_results(self._session, self.name, return_exceptions=return_exceptions)
        deadline = None if timeout is None else time.monotonic() + timeout
        return AsyncResultIterator(self._session, self._bridge, reader, deadline, None)

    async def result(self, timeout: float | None = None) -> Any:
        """See `DetachedJob.result`."""
        progress = await self.progress()
        if not (progress.phases or progress.finished):
            check_single(self.name, progress)
        deadline = None if timeout is None else time.monotonic() + timeout
        if progress.search is not None:
            await self.wait(timeout)  # until then nobody knows how many parts there are
        results = self.results(None if deadline is None else max(0.0, deadline - time.monotonic()))
        try:
            first = await anext(results, None)
            if isinstance(first, Pairs):
                merged = await asyncio.to_thread(as_dict, (first,))
                async for pairs in results:
                    merged.update(await asyncio.to_thread(as_dict, (pairs,)))
                return merged
            if isinstance(first, Preface):
                async with aclosing(results):
                    return await asyncio.to_thread(first.whole, _pulled(results, self._bridge.loop))
            check_single(self.name, progress)
            return first
        except TimeoutError:
            raise overdue(self.name, timeout) from None

    async def cancel(self) -> None:
        """End it: what has not finished is cancelled, its results are dropped, its name is free. Raises UnknownJob."""
        with inquiring(self._session, self.name, until=lambda report: True) as inquiry:
            await self._answer(inquiry, REPORT_TIMEOUT)
            try:
                await asyncio.wait_for(asyncio.wrap_future(begin_cancel(self._session, inquiry)), REPORT_TIMEOUT)
            except TimeoutError:
                raise unconfirmed(self.name) from None

    async def _ask(self, until: Callable[[pb.JobReport], bool], timeout: float | None) -> pb.JobReport:
        with inquiring(self._session, self.name, until) as inquiry:
            return await self._answer(inquiry, timeout)

    async def _answer(self, inquiry: Inquiry, timeout: float | None) -> pb.JobReport:
        try:
            report: pb.JobReport = await asyncio.wait_for(asyncio.wrap_future(inquiry.report), timeout)
        except TimeoutError:
            raise overdue(self.name, timeout) from None
        return report

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} at {self._session.connection.address}>"

    def __reduce__(self) -> Any:
        raise TypeError(self.__manyhands_unsendable__)


def _pulled(results: AsyncResultIterator[Any], loop: asyncio.AbstractEventLoop) -> Iterator[Any]:
    """In a thread: what there is to be read in the loop, one by one, so that it is never all in memory."""
    end = object()

    async def read() -> Any:
        return await anext(results, end)

    while (part := asyncio.run_coroutine_threadsafe(read(), loop).result()) is not end:
        yield part


async def detach_map(
    session: Session,
    bridge: Bridge,
    options: Options,
    function: Callable[..., Any],
    iterables: tuple[Iterable[Any], ...],
) -> AsyncDetachedJob:
    """See `detached.detach_map`; a block of inputs at a time, so that the loop is never blocked for long."""
    connection = session.connection
    job, feeder = begin_hand_over(session, options, function, iterables)
    try:
        while not feeder.is_exhausted:
            await connection.room.wait_async()
            feeder.feed_some()
            await asyncio.sleep(0)
        if feeder.error is not None:
            raise feeder.error
        job.hand_over()
        await asyncio.wrap_future(job.handed_over)
    except BaseException:
        job.abandon(cancel=True)
        raise
    return AsyncDetachedJob(session, bridge, job.name)
