"""The method of an AsyncClient that searches; see `searches.py`."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, overload

from manyhands.client import optimizing
from manyhands.client.aio_detached import AsyncDetachedJob
from manyhands.client.attached import HandOver, name_to_detach
from manyhands.client.bridge import Bridge
from manyhands.client.client import Client
from manyhands.client.options import Options
from manyhands.client.search_progress import SearchBar
from manyhands.client.searches import check_detached
from manyhands.client.session import Session
from manyhands.wire.function_name import name_of

if TYPE_CHECKING:
    from manyhands.optimize.request import Request
    from manyhands.optimize.result import OptimizeResult
    from manyhands.optimize.space import Space


class AsyncSearches:
    """Part of `AsyncClient`."""

    _bridge: Bridge

    @property
    def _started(self) -> Client:
        raise NotImplementedError

    @overload
    async def optimize(
        self, objective: Callable[..., Any], space: Space | Mapping[str, Any], *, detach: Literal[False] = False,
        **asked: Any,
    ) -> OptimizeResult: ...  # fmt: skip

    @overload
    async def optimize(
        self, objective: Callable[..., Any], space: Space | Mapping[str, Any], *, detach: Literal[True], **asked: Any
    ) -> AsyncDetachedJob: ...

    async def optimize(
        self,
        objective: Callable[..., Any],
        space: Space | Mapping[str, Any],
        *,
        callback: optimizing.Callback | None = None,
        progress: bool = False,
        detach: bool = False,
        name: str | None = None,
        **asked: Any,
    ) -> OptimizeResult | AsyncDetachedJob:
        """See `Client.optimize`; the result, or with `detach` an AsyncDetachedJob.

        The search is followed by a thread of its own, in which `callback` is called: a plain function. Cancelling ends
        the search.
        """
        from manyhands.optimize.request import request

        what = request(objective, space, **asked)
        session, options = self._started.session, self._started.named(name)
        if detach:
            check_detached(callback)
            return await _detach(session, self._bridge, options, what)
        if inspect.iscoroutinefunction(callback):
            raise TypeError("callback must be a plain function: it is called in a thread, beside the event loop")
        job = optimizing.SearchJob(session.connection)
        bar = SearchBar(name_of(objective)) if progress else None
        # Not the loop's own threads: these are few, and everything else would wait for some searches.
        executor = ThreadPoolExecutor(1, thread_name_prefix="manyhands-search")
        follow = partial(optimizing.run, session, options, what, job, callback, bar)
        followed = asyncio.wrap_future(executor.submit(follow))
        try:
            return await asyncio.shield(followed)
        except asyncio.CancelledError:
            job.abandon(cancel=True)
            await asyncio.wait((followed,))
            followed.exception()  # or it would be said that nobody has asked
            raise
        finally:
            executor.shutdown(wait=False)


async def _detach(session: Session, bridge: Bridge, options: Options, what: Request) -> AsyncDetachedJob:
    """See `optimizing.detach`."""
    job = HandOver(session.connection, name_to_detach(options))
    try:
        optimizing.begin(session, options, what, job, detach=True)
        job.hand_over()
        await asyncio.wrap_future(job.handed_over)
    except BaseException:
        job.abandon(cancel=True)
        raise
    return AsyncDetachedJob(session, bridge, job.name)
