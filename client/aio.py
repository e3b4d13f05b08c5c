"""AsyncClient: the same cluster from a user's own event loop, bridged to the one background loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import time
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any, Literal, ParamSpec, Self, TypeVar, overload

from manyhands.client import lifecycle
from manyhands.client.aio_detached import AsyncDetachedJob, detach_map
from manyhands.client.aio_reductions import AsyncReductions
from manyhands.client.aio_results import AsyncResultIterator
from manyhands.client.aio_searches import AsyncSearches
from manyhands.client.bridge import Bridge
from manyhands.client.client import Client
from manyhands.client.mapping import begin_map, check_map
from manyhands.client.partial_results import Failed, PartialResults, as_result
from manyhands.client.progress import Progress
from manyhands.client.refs import Ref
from manyhands.client.starting import connect
from manyhands.wire.joining import make_keys

P = ParamSpec("P")
T = TypeVar("T")


class AsyncClient(AsyncReductions, AsyncSearches):
    """`Client` for asyncio; the same arguments. Connects when entered: `async with AsyncClient("host:7077") as client`.

    Belongs to the event loop in which it was entered.
    """

    __manyhands_unsendable__ = "an AsyncClient cannot be sent to a task; return the work and submit it from here"

    def __manyhands_key__(self) -> None:
        """Which cluster computes a result does not count."""

    def __init__(
        self,
        address: str | None = None,
        *,
        slots: int | None = None,
        max_workers: int | None = None,
        workers: int = 1,
        data_dir: str | os.PathLike[str] | None = None,
        token: str = "",
        token_file: str | os.PathLike[str] = "",
        tls_cert: str | os.PathLike[str] = "",
        tls_key: str | os.PathLike[str] = "",
        tls_ca: str | os.PathLike[str] = "",
        connect_timeout: float = 10.0,
        reconnect_timeout: float = 900.0,
    ) -> None:
        keys = make_keys(token, token_file, tls_cert, tls_key, tls_ca)

        def connect_client() -> Client:
            connection = connect(
                address,
                slots=slots,
                max_workers=max_workers,
                workers=workers,
                data_dir=data_dir,
                keys=keys,
                connect_timeout=connect_timeout,
                reconnect_timeout=reconnect_timeout,
            )
            return Client.over(connection)

        self._connect = connect_client
        self._client: Client | None = None
        self._bridge: Bridge

    async def start(self) -> Self:
        """Connect, or start the embedded cluster. Raises as `Client` does."""
        self._bridge = Bridge(asyncio.get_running_loop())
        self._client = await asyncio.to_thread(self._connect)
        return self

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *exc_info: object) -> None:
        await self.shutdown()

    @property
    def _started(self) -> Client:
        if self._client is None:
            raise RuntimeError("this AsyncClient is not connected yet: use `async with`, or await its start()")
        return self._client

    # ------------------------------------------------------------ work

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """Run `fn(*args, **kwargs)` on the cluster: `await client.submit(f, x)` gives the result.

        The arguments are pickled now, so that what is changed afterwards does not reach the task; only while more
        than 32 MiB are on their way to the master, or it is short of room, they are pickled when there is room, and
        awaiting the future awaits that too. Cancelling the future cancels the task. Raises RuntimeError after
        `shutdown`.
        """
        client = self._started
        if client.is_full:
            return self._bridge.loop.create_task(self._submit_later(partial(client.submit, fn, *args, **kwargs)))
        return self._bridge.awaitable(client.submit(fn, *args, **kwargs))

    async def _submit_later(self, submit: Callable[[], Any]) -> Any:
        await self._started.session.connection.room.wait_async()
        return await self._bridge.awaitable(submit())

    @overload
    def map(
        self, fn: Callable[..., T], /, *iterables: Iterable[Any], detach: Literal[True], name: str | None = None
    ) -> Coroutine[Any, Any, AsyncDetachedJob]: ...

    @overload
    def map(
        self, fn: Callable[..., T], /, *iterables: Iterable[Any], timeout: float | None = None,
        buffersize: int | None = None, progress: bool = False, return_exceptions: bool = False,
        detach: Literal[False] = False, name: str | None = None,
    ) -> AsyncResultIterator[T]: ...  # fmt: skip

    def map(
        self,
        fn: Callable[..., T],
        /,
        *iterables: Iterable[Any],
        timeout: float | None = None,
        buffersize: int | None = None,
        progress: bool = False,
        return_exceptions: bool = False,
        detach: bool = False,
        name: str | None = None,
    ) -> AsyncResultIterator[T] | Coroutine[Any, Any, AsyncDetachedJob]:
        """Results in the order of the inputs, as an async iterator; with `detach` to be awaited, for an
        AsyncDetachedJob.

        Inputs, with a length or not, are pulled as results are taken, far enough ahead to keep all slots busy or
        `buffersize` tasks ahead, so that this loop is never blocked for long. Otherwise as `Client.map`.
        """
        if detach:
            return self._detach(fn, iterables, name)
        stand_in = as_result if return_exceptions else None
        return self._map(
            fn, iterables, timeout, progress, name, star=False, ordered=True, buffersize=buffersize, stand_in=stand_in
        )

    @overload
    def map_unordered(
        self, fn: Callable[..., T], /, *iterables: Iterable[Any], detach: Literal[True], name: str | None = None
    ) -> Coroutine[Any, Any, AsyncDetachedJob]: ...

    @overload
    def map_unordered(
        self, fn: Callable[..., T], /, *iterables: Iterable[Any], timeout: float | None = None,
        buffersize: int | None = None, progress: bool = False, return_exceptions: bool = False,
        detach: Literal[False] = False, name: str | None = None,
    ) -> AsyncResultIterator[T]: ...  # fmt: skip

    def map_unordered(
        self,
        fn: Callable[..., T],
        /,
        *iterables: Iterable[Any],
        timeout: float | None = None,
        buffersize: int | None = None,
        progress: bool = False,
        return_exceptions: bool = False,
        detach: bool = False,
        name: str | None = None,
    ) -> AsyncResultIterator[T] | Coroutine[Any, Any, AsyncDetachedJob]:
        """Like `map`, but results come as they are ready."""
        if detach:
            return self._detach(fn, iterables, name)
        stand_in = as_result if return_exceptions else None
        return self._map(
            fn, iterables, timeout, progress, name, star=False, ordered=False, buffersize=buffersize, stand_in=stand_in
        )

    def starmap(
        self,
        fn: Callable[..., T],
        iterable: Iterable[Iterable[Any]],
        /,
        *,
        timeout: float | None = None,
        buffersize: int | None = None,
        progress: bool = False,
        return_exceptions: bool = False,
    ) -> AsyncResultIterator[T]:
        """Like `map`, with each input the arguments of one call."""
        stand_in = as_result if return_exceptions else None
        return self._map(
            fn, (iterable,), timeout, progress, None, star=True, ordered=True, buffersize=buffersize, stand_in=stand_in
        )

    def _detach(
        self, fn: Callable[..., T], iterables: tuple[Iterable[Any], ...], name: str | None
    ) -> Coroutine[Any, Any, AsyncDetachedJob]:
        client = self._started
        return detach_map(client.session, self._bridge, client.named(name), fn, iterables)

    async def job(self, name: str) -> AsyncDetachedJob:
        """A detached job of this or another client, today's or an earlier day's. Raises UnknownJob."""
        job = AsyncDetachedJob(self._started.session, self._bridge, name)
        await job.progress()
        return job

    async def put(self, obj: T) -> Ref[T]:
        """See `Client.put`; in a thread, as `obj` may be large: it must not change before this has returned."""
        return await asyncio.to_thread(self._started.put, obj)

    async def get(self, ref: Ref[T], timeout: float | None = None) -> T:
        """See `Client.get`."""
        return await asyncio.to_thread(self._started.get, ref, timeout)

    async def scatter(self, objects: Iterable[T]) -> list[Ref[T]]:
        """`put` each of them."""
        return await asyncio.to_thread(self._started.scatter, objects)

    async def gather(self, refs: Iterable[Ref[T]], timeout: float | None = None) -> list[T]:
        """`get` all of them, at the same time, in their order."""
        return await asyncio.to_thread(self._started.gather, refs, timeout)

    async def fault_tolerant_map(
        self, fn: Callable[..., T], /, *iterables: Iterable[Any], retries: int = 3, progress: bool = False
    ) -> PartialResults[T]:
        """See `Client.fault_tolerant_map`."""
        inputs = tuple([list(each) for each in iterables])
        patient = self.with_options(retries=retries)
        outcomes = patient._map(fn, inputs, None, progress, None, star=False, ordered=True, stand_in=Failed)  # noqa: SLF001 - ours
        return PartialResults.of([outcome async for outcome in outcomes], inputs)

    def _map(
        self,
        fn: Callable[..., T],
        iterables: tuple[Iterable[Any], ...],
        timeout: float | None,
        progress: bool,
        name: str | None,
        *,
        buffersize: int | None = None,
        **how: Any,
    ) -> AsyncResultIterator[T]:
        check_map(1, buffersize)
        deadline = None if timeout is None else time.monotonic() + timeout
        session = self._started.session
        reader = begin_map(session, self._started.named(name), fn, iterables, eager=False, buffersize=buffersize, **how)
        bar = Progress.of(fn, iterables) if progress else None
        return AsyncResultIterator(session, self._bridge, reader, deadline, bar)

    def with_options(self, **options: Any) -> AsyncClient:
        """A view whose calls run with these options; see `Client.with_options`."""
        view = object.__new__(type(self))
        view._connect = self._connect
        view._client = self._started.with_options(**options)
        view._bridge = self._bridge
        return view

    # ------------------------------------------------------------ the cluster

    async def wait_for_workers(self, count: int, timeout: float | None = None) -> None:
        """See `Client.wait_for_workers`."""
        connection = self._started.session.connection
        joined: concurrent.futures.Future[None] = concurrent.futures.Future()
        connection.background.post(partial(connection.cluster.wait_for, count, joined))
        try:
            await asyncio.wait_for(asyncio.wrap_future(joined), timeout)
        except TimeoutError:
            raise TimeoutError(connection.cluster.shortage(count, timeout)) from None

    def get_stats(self) -> dict[str, float]:
        """See `Client.get_stats`."""
        return self._started.get_stats()

    async def shutdown(self, *, cancel_futures: bool = False) -> None:
        """Take no more work and return when all of it has been done; see `Client.shutdown`."""
        if self._client is not None:
            connection = self._client.session.connection
            lifecycle.begin_shutdown(connection, cancel=cancel_futures)
            await asyncio.to_thread(connection.closed.wait)
            await asyncio.to_thread(self._client.session.flush)

    def __repr__(self) -> str:
        return f"<AsyncClient of {self._client!r}>"

    def __reduce__(self) -> Any:
        raise TypeError(self.__manyhands_unsendable__)
