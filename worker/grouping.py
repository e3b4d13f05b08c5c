"""The map side of map_reduce_by_key: a leaf's items to pairs, reduced by key, cut into partitions."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

from manyhands.wire.brief_repr import brief
from manyhands.wire.pair_chunks import Buffer
from manyhands.wire.stable_hash import stable_hash
from manyhands.worker.key_table import LIMIT_BYTES, Encode, KeyTable, NoPair


def group(
    map_fn: Callable[[Any], Any],
    reduce_fn: Callable[[Any, Any], Any],
    items: Iterable[Any],
    partitions: int,
    encode: Encode,
    *,
    first: int = 0,
    limit_bytes: float = LIMIT_BYTES,
    folder: Path | None = None,
) -> list[list[Buffer]]:
    """What each partition gets of these items: `pair_chunks`, in several buffers, to be read one after the other.

    There the values of a key are in the order of the items, which are numbered from `first`. Further keywords as of
    KeyTable. Raises UnstableKey, TypeError that names what is no pair, and whatever the functions do.
    """
    table = KeyTable(
        reduce_fn,
        partitions,
        lambda key: stable_hash(key) % partitions,
        encode,
        limit_bytes=limit_bytes,
        folder=folder,
    )
    mapped = _Mapped(map_fn, items, first)
    try:
        table.fill(chain.from_iterable(mapped))
    except NoPair as wrong:
        mapped.refuse(wrong.found)
    except BaseException as error:
        with contextlib.suppress(Exception):  # a class may forbid it
            error.add_note(f"(raised at item {mapped.index} of the reduction)")
        raise
    return table.take_parts()


class _Mapped:
    """What `map_fn` returns for one item after the other; and of which item it was last."""

    def __init__(self, map_fn: Callable[[Any], Any], items: Iterable[Any], first: int) -> None:
        self._map = map_fn
        self._items = items
        self._item: Any = None
        self.index = first - 1

    def __iter__(self) -> Iterator[Iterator[Any]]:
        for item in self._items:
            self._item = item
            self.index += 1
            pairs = self._map(item)
            try:
                iterator = iter(pairs)
            except TypeError as error:
                raise TypeError(
                    f"the map function returned {brief(pairs)} for item {self.index}, {brief(item)}; it has to "
                    "yield pairs (key, value), or to return a list of them"
                ) from error
            yield iterator

    def refuse(self, found: Any) -> NoReturn:
        raise TypeError(
            f"the map function yielded {brief(found)} for item {self.index}, {brief(self._item)}: "
            "it has to yield pairs (key, value)"
        ) from None
