"""The methods of a client that reduce: what users call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, TypeVar, overload

from manyhands.client import by_key, pairs, reducing
from manyhands.client.detached import DetachedJob
from manyhands.client.options import Options
from manyhands.client.phase_progress import PhaseProgress
from manyhands.client.reducing import Reduction, ReductionJob
from manyhands.client.session import Session

K = TypeVar("K")
T = TypeVar("T")

#: In place of an argument that was not given, where None may be one.
NOT_GIVEN: Any = object()


class Reductions:
    """Part of `Client`."""

    session: Session

    def named(self, name: str | None) -> Options:
        """The options of a call by that name; None: no other than theirs."""
        raise NotImplementedError

    @overload
    def map_reduce(
        self, map_fn: Callable[[Any], T], items: Iterable[Any], reduce_fn: Callable[[T, T], T], initial: Any = ...,
        *, commutative: bool = False, progress: bool = False, detach: Literal[False] = False, name: str | None = None,
    ) -> T: ...  # fmt: skip

    @overload
    def map_reduce(
        self, map_fn: Callable[[Any], T], items: Iterable[Any], reduce_fn: Callable[[T, T], T], initial: Any = ...,
        *, commutative: bool = False, detach: Literal[True], name: str | None = None,
    ) -> DetachedJob: ...  # fmt: skip

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
    ) -> T | DetachedJob:
        """`functools.reduce(reduce_fn, map(map_fn, items), initial)`, on the cluster; only the result comes back.

        Workers map and reduce runs of items from left to right, and then combine what these came to, in a tree whose
        shape depends on the items alone: with floats, too, the result is the same whatever workers there are, come and
        go. For that `reduce_fn` has to be associative: (a + b) + c is a + (b + c). If it is not, the result is that of
        some other way to set the brackets, though always the same one. With `commutative` the order of the items does
        not count either, and whatever is there is combined. `initial` is used once, before the first item.

        Items without a length are pulled as the master takes them. The first exception, of a function or of the
        items, is raised and ends it all. `progress` shows bars on stderr, `name` is shown by `manyhands status`. Raises
        TypeError if there are no items and no `initial`, RuntimeError after `shutdown`.

        With `detach` the call returns once the master has written all items down: a DetachedJob that outlives this
        client, and whose `result()` is what this call would return; see `map`.
        """
        begins_with = () if initial is NOT_GIVEN else (initial,)
        asked = Reduction(map_fn, reduce_fn, items, begins_with, commutative)
        session, options = self.session, self.named(name)
        if detach:
            return reducing.detach(session, options, asked)
        bar = PhaseProgress(asked.name) if progress else None
        result: T = reducing.run(session, options, asked, ReductionJob(session.connection), bar)
        return result

    @overload
    def map_reduce_by_key(
        self, map_fn: Callable[[Any], Iterable[tuple[K, T]]], items: Iterable[Any], reduce_fn: Callable[[T, T], T],
        partitions: int | None = None,
        *, stream: Literal[False] = False, progress: bool = False, detach: Literal[False] = False,
        name: str | None = None,
    ) -> dict[K, T]: ...  # fmt: skip

    @overload
    def map_reduce_by_key(
        self, map_fn: Callable[[Any], Iterable[tuple[K, T]]], items: Iterable[Any], reduce_fn: Callable[[T, T], T],
        partitions: int | None = None,
        *, stream: Literal[True], progress: bool = False, name: str | None = None,
    ) -> Iterator[tuple[K, T]]: ...  # fmt: skip

    @overload
    def map_reduce_by_key(
        self, map_fn: Callable[[Any], Iterable[tuple[K, T]]], items: Iterable[Any], reduce_fn: Callable[[T, T], T],
        partitions: int | None = None,
        *, detach: Literal[True], name: str | None = None,
    ) -> DetachedJob: ...  # fmt: skip

    def map_reduce_by_key(
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
    ) -> dict[K, T] | Iterator[tuple[K, T]] | DetachedJob:
        """{key: all its values, reduced}, of the pairs (key, value) that `map_fn` yields for each item.

        Workers reduce what their own items yield, exchange it among themselves, and reduce it to the end in
        `partitions` tasks, by default 16; what does not fit into a slot's memory meanwhile goes to its disk. A key's
        values are reduced from left to right, in the order of the items. `reduce_fn` has to be associative. Keys are
        equal as in a dict: 1, 1.0 and numpy.int64(1) are one key, and it is the first of them that is in the result.
        A key has to have a hash that is the same in every process, as numbers, texts, dates, tuples and frozen
        dataclasses of them have, or UnstableKey is raised, which names it.

        With `stream` an iterator of the pairs is returned, for results that would not fit into this process. On a
        worker's host they are read from where the worker left them, elsewhere they come partition by partition.
        Otherwise as `map_reduce`; no items make an empty dict. Raises ValueError for less than 1, or more than 1024,
        partitions.
        """
        session, options = self.session, self.named(name)
        asked = by_key.reduction(map_fn, items, reduce_fn, partitions)
        if detach:
            return reducing.detach(session, options, asked)
        by_key.check_stream(options, stream=stream)
        merged = by_key.run(session, options, asked, PhaseProgress(asked.name) if progress else None)
        if stream:
            return pairs.as_stream(merged)
        result: dict[K, T] = pairs.as_dict(merged)
        return session.data.put(result) if options.keep_results else result  # type: ignore[return-value] # asked for
