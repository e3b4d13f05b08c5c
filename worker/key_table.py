"""The values of each key, reduced as they come; what outgrows the memory allowed goes to disk, cut into parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain, islice
from pathlib import Path
from typing import Any

from manyhands.wire.pair_chunks import Buffer, write_pairs
from manyhands.worker.spill_file import SpillFile

#: Of memory, for a slot's table.
LIMIT_BYTES = 64 << 20
#: What an entry takes in memory beside what is pickled of it: its place in the dict, the heads of its objects.
_ENTRY_BYTES = 200
#: What a pickled byte stands for in memory; from 1 (texts, arrays) over 4 (numbers) to more for what is nested.
_EXPANSION = 4
#: Entries that are measured: the oldest, since frequent keys come early and their values may grow; and of all others
#: as many, evenly.
_SAMPLE = 128
_END: Any = object()

Encode = Callable[[Any], bytes]
#: The part of a key.
Place = Callable[[Any], int]


class NoPair(TypeError):
    """What was to be added is no tuple of two. Not an error for users to see."""

    def __init__(self, found: Any) -> None:
        super().__init__(found)
        self.found = found


class KeyTable:
    """Fill it once, then take it out, either way.

    Keys are equal as in a dict, and the first one stays. The values of a key are reduced from left to right, in the
    order in which they come. What does not fit into memory is cut into runs that do: a part then has a key once for
    each run, in their order.
    """

    def __init__(
        self,
        reduce_fn: Callable[[Any, Any], Any],
        parts: int,
        place: Place,
        encode: Encode,
        *,
        limit_bytes: float = LIMIT_BYTES,
        folder: Path | None = None,
    ) -> None:
        """limit_bytes: of memory, estimated; folder: see SpillFile."""
        self._reduce = reduce_fn
        self._parts = parts
        self._place = place
        self._encode = encode
        self._limit_bytes = limit_bytes
        self._folder = folder
        self._values: dict[Any, Any] = {}
        self._spilled: SpillFile | None = None

    def fill(self, pairs: Iterable[tuple[Any, Any]]) -> None:
        """Raises NoPair, and whatever `reduce_fn`, `place` and `encode` do."""
        pairs = iter(pairs)
        reduce_fn, values = self._reduce, self._values
        added, until_look = 0, 1
        while (first := next(pairs, _END)) is not _END:
            for pair in chain((first,), islice(pairs, until_look - 1)):
                if type(pair) is not tuple and not isinstance(pair, tuple):
                    raise NoPair(pair)
                try:
                    key, value = pair
                except ValueError:
                    raise NoPair(pair) from None
                try:
                    is_known = key in values
                except TypeError:
                    self._place(key)  # one that has no hash has no place either, and this says it better
                    raise
                if is_known:
                    values[key] = reduce_fn(values[key], value)
                else:
                    values[key] = value
            added += until_look
            used_bytes = self._used_bytes()
            if used_bytes >= self._limit_bytes and len(values) > 1:  # one key cannot be cut into parts
                self._spill()
                added, until_look = 0, 1
            else:
                # When it will be full if it goes on like this; but it may not.
                until_look = max(1, added // 8, int(added * min(1, self._limit_bytes / used_bytes - 1)))

    @property
    def fits(self) -> bool:
        """All of it is in memory: a key is there once."""
        return self._spilled is None

    def take_all(self) -> tuple[list[Any], list[Any]]:
        """(keys, values), if it fits."""
        assert self.fits
        values, self._values = self._values, {}
        return list(values), list(values.values())

    def take_parts(self) -> list[list[Buffer]]:
        """Each part's pairs, as `pair_chunks`: in several buffers, one after the other. Raises as `fill` does."""
        if self._spilled is None:
            return [list(write_pairs(keys, values, self._encode)) for keys, values in self._cut()]
        self._spill()
        return [list(segments) for segments in self._spilled.read()]

    def _used_bytes(self) -> float:
        items = self._values.items()
        oldest = min(len(items), _SAMPLE)
        others = len(items) - oldest
        pickled: float = self._measure(islice(items, oldest))
        if others:
            step = -(-others // _SAMPLE)
            sampled = -(-others // step)
            pickled += self._measure(islice(items, oldest, None, step)) * others / sampled
        return len(items) * _ENTRY_BYTES + pickled * _EXPANSION

    def _measure(self, items: Iterable[tuple[Any, Any]]) -> int:
        return len(self._encode(list(items)))

    def _spill(self) -> None:
        if self._spilled is None:
            self._spilled = SpillFile(self._folder, self._parts)
        for part, (keys, values) in enumerate(self._cut()):
            self._spilled.write(part, write_pairs(keys, values, self._encode))

    def _cut(self) -> list[tuple[list[Any], list[Any]]]:
        """All that is in memory, which then is empty."""
        parts: list[tuple[list[Any], list[Any]]] = [([], []) for _ in range(self._parts)]
        place = self._place
        for key, value in self._values.items():
            keys, values = parts[place(key)]
            keys.append(key)
            values.append(value)
        self._values.clear()
        return parts
