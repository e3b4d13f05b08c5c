"""The methods of a client that reduce: what users call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from manyhands.client.options import Options
from manyhands.client.reducing import Reduction, reduce_items
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

    def map_reduce(
        self,
        map_fn: Callable[[Any], T],
        items: Iterable[Any],
        reduce_fn: Callable[[T, T], T],
        initial: Any = NOT_GIVEN,
        *,
        commutative: bool = False,
        name: str | None = None,
    ) -> T:
        """`functools.reduce(reduce_fn, map(map_fn, items), initial)`, on the cluster; only the result comes back.

        Workers map and reduce runs of items from left to right, and then combine what these came to, in a tree whose
        shape depends on the items alone: with floats, too, the result is the same whatever workers there are, and come
        and go. For that `reduce_fn` has to be associative: (a + b) + c is a + (b + c). If it is not, the result is that
        of some other, but always the same, way to set the brackets. With `commutative` also the order does not count,
        and whatever is there is combined. `initial` is used once, before the first item.

        Items without a length are pulled as the master takes them. The first exception, of a function or of the
        items, is raised and ends it all. Raises TypeError if there are no items and no `initial`, RuntimeError after
        `shutdown`.
        """
        asked = Reduction(map_fn, reduce_fn, items, () if initial is NOT_GIVEN else (initial,), commutative)
        result: T = reduce_items(self.session, self.named(name), asked)
        return result
