"""What a slot does with a leaf of a reduction, and with partial results: the two calls of `map_reduce`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from io import BytesIO
from operator import length_hint
from typing import Any

from manyhands.worker.slot_frames import Buffer

# pb.Call, as in `slot_calls`.
FOLD = 5
COMBINE = 6

#: Calls whose items are sequences of pickles. They are decoded one by one, as each may be large.
SEQUENCES = frozenset((FOLD, COMBINE))

#: Decodes the next pickle of a file.
Load = Callable[[BytesIO], Any]


def folder(call: int, functions: Any, load: Load) -> Callable[[Buffer], Any]:
    """What to call with an item of such a call; `functions`: (map function, reduce function)."""
    map_fn, reduce_fn = functions
    if call == FOLD:
        return lambda item: fold(map_fn, reduce_fn, pickles(item, load))
    return lambda item: combine(reduce_fn, pickles(item, load))


def pickles(item: Buffer, load: Load) -> Iterator[Any]:
    """Its objects, each decoded when it is asked for."""
    file = BytesIO(item)
    while file.tell() < len(item):
        yield load(file)


def fold(map_fn: Callable[[Any], Any], reduce_fn: Callable[[Any, Any], Any], parts: Iterator[Any]) -> Any:
    """A leaf: (index of its first item, and what to begin with, if anything), then lists of items."""
    index, *initial = next(parts)
    is_begun = bool(initial)
    result = initial.pop() if initial else None
    for items in parts:
        rest = iter(items)
        try:
            if not is_begun:
                result = map_fn(next(rest))
                is_begun = True
            for item in rest:
                result = reduce_fn(result, map_fn(item))
        except BaseException as error:
            index += len(items) - length_hint(rest) - 1
            with contextlib.suppress(Exception):  # a class may forbid it
                error.add_note(f"(raised at item {index} of the reduction)")
            raise
        index += len(items)
    return result


def combine(reduce_fn: Callable[[Any, Any], Any], parts: Iterator[Any]) -> Any:
    """Partial results, from left to right."""
    result = next(parts)
    for part in parts:
        result = reduce_fn(result, part)
    return result
