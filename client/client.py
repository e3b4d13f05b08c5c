"""Client: what users hold. An Executor whose tasks run on a cluster."""

from __future__ import annotations

import concurrent.futures
import html
import os
import time
from collections.abc import Callable, Iterable
from functools import partial
from types import TracebackType
from typing import Any, Literal, ParamSpec, Self, TypeVar, overload

from manyhands.client import lifecycle
from manyhands.client.connection import Connection
from manyhands.client.detached import DetachedJob, detach_map
from manyhands.client.futures import Future
from manyhands.client.mapping import ResultIterator, begin_map, check_map, results_of
from manyhands.client.options import Options
from manyhands.client.partial_results import Failed, PartialResults, as_result
from manyhands.client.progress import Progress
from manyhands.client.reductions import Reductions
from manyhands.client.refs import Ref
from manyhands.client.searches import Searches
from manyhands.client.session import Session
from manyhands.client.starting import connect
from manyhands.wire.joining import make_keys

P = ParamSpec("P")
T = TypeVar("T")


class Client(Reductions, Searches, concurrent.futures.Executor):
    """A connection to a cluster; a `concurrent.futures.Executor`.

    Client("host:7077") joins a cluster, Client() the one that MANYHANDS_ADDRESS names or else starts one on
    this machine: `workers` worker processes of `slots` slots each (default: one slot a core), which end with
    the client. `max_workers` is the standard library's name for `slots`. With `data_dir` that cluster keeps a
    journal in this directory: detached jobs are there again, and go on, when it is started with it the next time.
    `connect_timeout` and `reconnect_timeout` are seconds without a master after which everything that waits fails.

    A master wants a token: `token`, or what is in `token_file` or MANYHANDS_TOKEN, or what a master of this user has
    left for it; `tls_cert`, `tls_key` and `tls_ca` (PEM files) go to a master with certificates of its own.

    Raises MasterUnreachable, AccessDenied, Refused or ClusterError if there is no cluster to be had, and NestedClient
    in a task.
    """

    __manyhands_unsendable__ = "a Client cannot be sent to a task; return the work and submit it from here"

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
        del token  # what goes wrong from here on may be reported with its frames' variables
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
        self._attach(Session(connection), Options())

    @classmethod
    def over(cls, connection: Connection) -> Self:
        """A client of a connection made otherwise: for tests, and for the asynchronous client."""
        client = object.__new__(cls)
        client._attach(Session(connection), Options())
        return client

    def _attach(self, session: Session, options: Options) -> None:
        self.session = session
        self.options = options
        self._connection = session.connection
        self._stream = session.stream(options)

    # ------------------------------------------------------------ work

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run `fn(*args, **kwargs)` on the cluster; a future for its result.

        The arguments are pickled now: what is changed afterwards does not reach the task. What cannot be
        pickled fails the future. Waits while more than 32 MiB are on their way to the master, or it is
        short of room: see docs/limits.md.
        Raises RuntimeError after `shutdown`.
        """
        if "context" in kwargs and self.options.context is not None:
            raise TypeError("context is what with_options(context=) makes: it cannot be given as an argument, too")
        connection = self._connection
        if connection.room.is_full:
            connection.wait_for_room()
        return self._stream.submit(fn, args, kwargs)

    @overload
    def map(
        self, fn: Callable[..., T], /, *iterables: Iterable[Any], detach: Literal[True], name: str | None = None
    ) -> DetachedJob: ...

    @overload
    def map(
        self, fn: Callable[..., T], /, *iterables: Iterable[Any], timeout: float | None = None,
        chunksize: int = 1, buffersize: int | None = None, progress: bool = False, return_exceptions: bool = False,
        detach: Literal[False] = False, name: str | None = None,
    ) -> ResultIterator[T]: ...  # fmt: skip

    def map(
        self,
        fn: Callable[..., T],
        /,
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
        progress: bool = False,
        return_exceptions: bool = False,
        detach: bool = False,
        name: str | None = None,
    ) -> ResultIterator[T] | DetachedJob:
        """Like the built-in `map`, on the cluster; results in the order of the inputs.

        Inputs with a length are sent at once; others (generators) are pulled by whoever iterates, far enough
        ahead to keep all slots busy, or `buffersize` tasks ahead. `chunksize` is accepted and ignored:
        tasks are bundled by their measured duration. The iterator raises what a task raised, at its place,
        and TimeoutError if a result is not there `timeout` seconds after this call; both cancel the rest, as
        does closing or dropping the iterator half read. `progress` shows a bar on stderr. With
        `return_exceptions` the exceptions of failed tasks, and of inputs that cannot be pickled, come among
        the results, each in its place. `name` is shown by `manyhands status`.

        With `detach` the call returns once the master has written all inputs down: a DetachedJob that outlives this
        client, to be found again with `client.job(name)`. Raises JobNameTaken, and ClusterError if the master keeps
        no journal.
        """
        if detach:
            return self._detach(fn, iterables, name)
        check_map(chunksize, buffersize)
        stand_in = as_result if return_exceptions else None
        return self._map(
            fn, iterables, timeout, progress, name, star=False, ordered=True, buffersize=buffersize, stand_in=stand_in
        )

    @overload
    def map_unordered(
        self, fn: Callable[..., T], /, *iterables: Iterable[Any], detach: Literal[True], name: str | None = None
    ) -> DetachedJob: ...

    @overload
    def map_unordered(
        self, fn: Callable[..., T], /, *iterables: Iterable[Any], timeout: float | None = None,
        buffersize: int | None = None, progress: bool = False, return_exceptions: bool = False,
        detach: Literal[False] = False, name: str | None = None,
    ) -> ResultIterator[T]: ...  # fmt: skip

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
    ) -> ResultIterator[T] | DetachedJob:
        """Like `map`, but results come as they are ready."""
        if detach:
            return self._detach(fn, iterables, name)
        check_map(1, buffersize)
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
        chunksize: int = 1,
        buffersize: int | None = None,
        progress: bool = False,
        return_exceptions: bool = False,
    ) -> ResultIterator[T]:
        """Like `itertools.starmap`, on the cluster: each input is the arguments of one call. See `map`."""
        check_map(chunksize, buffersize)
        stand_in = as_result if return_exceptions else None
        return self._map(
            fn, (iterable,), timeout, progress, None, star=True, ordered=True, buffersize=buffersize, stand_in=stand_in
        )

    def _map(
        self,
        fn: Callable[..., T],
        iterables: tuple[Iterable[Any], ...],
        timeout: float | None,
        progress: bool,
        name: str | None,
        **how: Any,
    ) -> ResultIterator[T]:
        deadline = None if timeout is None else time.monotonic() + timeout
        session = self.session
        reader = begin_map(session, self.named(name), fn, iterables, eager=True, **how)
        bar = Progress.of(fn, iterables) if progress else None
        return results_of(session, reader, deadline, bar)

    def named(self, name: str | None) -> Options:
        """The options of a call by that name; None: no other than theirs."""
        return self.options if name is None else self.options.changed({"name": name})

    def _detach(self, fn: Callable[..., T], iterables: tuple[Iterable[Any], ...], name: str | None) -> DetachedJob:
        return detach_map(self.session, self.named(name), fn, iterables)

    def job(self, name: str) -> DetachedJob:
        """A detached job of this or another client, today's or an earlier day's. Raises UnknownJob."""
        job = DetachedJob(self.session, name)
        job.progress()
        return job

    # ------------------------------------------------------------ data

    def put(self, obj: T) -> Ref[T]:
        """Keep `obj` in the cluster, and return a Ref to it.

        A Ref may stand anywhere in the arguments of calls: tasks are given its value, and prefer workers that have it.
        Slots of one host share one copy of large arrays, which are read-only therefore. It is kept as long as any Ref
        to it, or task that needs it, and no longer than this client's session. Changes made to `obj` after this call
        are not seen. Raises EncodeError; RuntimeError after `shutdown`.
        """
        return self.session.data.put(obj)

    def get(self, ref: Ref[T], timeout: float | None = None) -> T:
        """The value of a Ref; arrays in it are read-only. Raises DataLost, and TimeoutError after `timeout` seconds."""
        return self.session.data.get(ref, timeout)

    def scatter(self, objects: Iterable[T]) -> list[Ref[T]]:
        """`put` each of them."""
        return [self.put(each) for each in objects]

    def gather(self, refs: Iterable[Ref[T]], timeout: float | None = None) -> list[T]:
        """`get` all of them, at the same time, in their order."""
        return self.session.data.gather(list(refs), timeout)

    def fault_tolerant_map(
        self, fn: Callable[..., T], /, *iterables: Iterable[Any], retries: int = 3, progress: bool = False
    ) -> PartialResults[T]:
        """`map` for work of which a part may fail: (results, failures), once every task has ended.

        `results` has an entry for each input, in their order: None where the task failed. `failures` says for each
        of those (index, item, exception). A task that raises is tried `retries` times more; a task with
        several iterables has the tuple of its arguments as item. Raises what an iterable raises.
        """
        inputs = tuple([list(each) for each in iterables])
        patient = self.with_options(retries=retries)
        outcomes = patient._map(  # noqa: SLF001 - a view of this one
            fn, inputs, None, progress, None, star=False, ordered=True, buffersize=None, stand_in=Failed
        )
        return PartialResults.of(outcomes, inputs)

    def with_options(self, **options: Any) -> Client:
        """A view of this client whose calls run with these options; it shares the session.

        retries=0: extra attempts after an exception, the first `retry_delay`=1.0 seconds later, each further one
        `retry_backoff`=2.0 times later than the one before, at most `retry_delay_max`=60.0 seconds; only for
        exceptions of the classes `retry_on`=(Exception,). timeout=None: seconds that one attempt may run; then it is
        stopped and fails with TaskTimeout, a TimeoutError, which counts as an exception. progress_timeout=None: the
        same for seconds without a call of `current_task().progress()`. total_timeout=None: seconds from submission to
        the end, all attempts together. queue_timeout=None: seconds from submission to the first start. memory=None:
        what a task's process and its children may use, in bytes or as "4GiB"; mapped files and shared memory do not
        count. With more it is killed and fails with TaskMemoryExceeded, a MemoryError, which counts as an exception.
        priority=0: higher runs first. max_parallel=None: tasks of one call that may run at once. speculate=False: with
        True workers that have nothing else to do at a call's end run second copies of its slowest tasks, which must
        bear that; the first result counts. keep_results=False: with True results are Refs, as `put` returns them, and
        large ones stay where they were computed. context=None: a function without arguments, which each slot calls once
        for each function that it runs: `fn(item)` is then `fn(item, context=value)` with what it returned, see
        docs/data.md. name=None: shown by `manyhands status`. checkpoint=None: a name, or the path of a directory, where
        results are kept: calls whose function, with all it refers to, and arguments are the same as earlier ones are
        not run again, unless `force_recompute`=False is True.
        Raises TypeError for an unknown name or wrong type, ValueError for a value out of range, CheckpointError.
        """
        view = object.__new__(type(self))
        view._attach(self.session, self.options.changed(options))
        return view

    # ------------------------------------------------------------ the cluster

    @property
    def address(self) -> str:
        """Where the master is."""
        return self._connection.address

    @property
    def is_full(self) -> bool:
        """Whether `submit` would wait."""
        return self._connection.room.is_full

    @property
    def _max_workers(self) -> int:
        """Slots of the cluster right now; what the standard library calls it (Dask and others read it)."""
        return max(1, self._connection.cluster.slots)

    def wait_for_workers(self, count: int, timeout: float | None = None) -> None:
        """Wait until `count` workers have joined. Raises TimeoutError, saying how many have, after `timeout` s."""
        connection = self._connection
        connection.check_forked()
        joined: concurrent.futures.Future[None] = concurrent.futures.Future()
        connection.background.post(partial(connection.cluster.wait_for, count, joined))
        try:
            joined.result(timeout)
        except TimeoutError:
            joined.cancel()
            raise TimeoutError(connection.cluster.shortage(count, timeout)) from None

    def get_stats(self) -> dict[str, float]:
        """What this client's tasks took so far; times in seconds.

        tasks_completed: those that ended with a result or an exception. tasks_recalled: results taken from a
        checkpoint instead. total_time: during which this client had
        work open. throughput: completed tasks per second of that. avg_task_time: what a task took in its slot, on
        average. num_workers: workers right now. efficiency: slot time spent in tasks, as a part of
        total_time times the slots there are now (other clients' work counts as idle).
        """
        connection = self._connection
        cluster = connection.cluster
        return connection.stats.summary(cluster.workers, cluster.slots, time.monotonic())

    # ------------------------------------------------------------ the end

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work; with `wait`, return when all of it has been done and the session is closed.

        `cancel_futures` cancels what has not started; what runs goes on. Maps fed from generators pull no more.
        An embedded cluster ends when the last task has. Raises CheckpointError if results could not be stored.
        """
        connection = self._connection
        connection.check_forked()
        if not connection.closed.is_set():
            lifecycle.begin_shutdown(connection, cancel=cancel_futures)
            if wait and not connection.background.is_current:
                connection.closed.wait()
                self.session.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        connection = self._connection
        if connection.forked is not None:
            return  # a forked child leaves its parent's block: the client is the parent's to shut down
        if kind is KeyboardInterrupt and not connection.closed.is_set():
            # Who pressed Ctrl-C does not want to see the running tasks through, let alone a million more.
            lifecycle.begin_shutdown(connection, cancel=True, spare_running=False)
        self.shutdown(wait=True)

    def _state(self) -> str:
        connection = self._connection
        if connection.refusal is not None:
            return "shut down" if connection.failure is None else str(connection.failure)
        cluster = connection.cluster
        workers, slots = cluster.workers, cluster.slots
        return f"{workers} worker{'s' * (workers != 1)}, {slots} slot{'s' * (slots != 1)}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.address}: {self._state()}>"

    def _repr_html_(self) -> str:
        return f"<b>{type(self).__name__}</b> <code>{html.escape(self.address)}</code>: {html.escape(self._state())}"

    def __reduce__(self) -> Any:
        raise TypeError(self.__manyhands_unsendable__)
