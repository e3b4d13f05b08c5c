"""Owns the adapter for multiprocessing.Pool; without a chunk size it makes four pieces a slot."""

import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing.pool import AsyncResult
from typing import cast

from benchmarks.readings import SLOTS
from benchmarks.systems.protocol import Function


class MultiprocessingPool:
    name = "pool"

    def start(self) -> None:
        self._pool = multiprocessing.Pool(SLOTS)

    def submit(self, function: Function, *arguments: object) -> object:
        return self._pool.apply_async(function, arguments)

    def gather(self, handles: Sequence[object]) -> list[object]:
        return [handle.get() for handle in cast("Sequence[AsyncResult[object]]", handles)]

    def map(self, function: Function, items: Iterable[object], *, chunksize: int | None = None) -> Iterator[object]:
        return iter(self._pool.map(function, items, chunksize=chunksize))

    def stop(self) -> None:
        self._pool.close()
        self._pool.join()
