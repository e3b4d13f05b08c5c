"""The methods of a client that reduce: what users call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeVar, overload

from manyhands.client import reducing
from manyhands.client.detached import DetachedJob
from manyhands.client.options import Options
from manyhands.client.phase_progress import PhaseProgress
from manyhands.client.reducing import Reduction, ReductionJob
from manyhands.client.session import Session

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
