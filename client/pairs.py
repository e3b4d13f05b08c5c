"""What a reduction by key comes to, read from its partitions: one dict, or a stream of pairs."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from typing import Any

from manyhands.client.encoding import undecodable
from manyhands.wire.pair_chunks import Pairs


def as_dict(partitions: Iterable[Pairs]) -> dict[Any, Any]:
    """All of them. Raises DecodeError."""
    result: dict[Any, Any] = {}
    for pairs in partitions:
        try:
            result.update(pairs)
        except Exception as error:
            raise undecodable(error) from error
    return result


def as_stream(partitions: Generator[Pairs, None, None]) -> Iterator[tuple[Any, Any]]:
    """One after the other. Raises DecodeError."""
    with closing(partitions):
        for pairs in partitions:
            try:
                yield from pairs
            except Exception as error:
                raise undecodable(error) from error
