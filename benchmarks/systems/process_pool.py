"""Owns the adapter for concurrent.futures.ProcessPoolExecutor."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from typing import cast

from benchmarks.readings import SLOTS
from benchmarks.systems.protocol import Function


class ProcessPool:
    name = "ppe"

    def start(self) -> None:
        self._pool = ProcessPoolExecutor(SLOTS)

    def submit(self, function: Function, *arguments: object) -> object:
        return self._pool.submit(function, *arguments)

    def gather(self, handles: Sequence[object]) -> list[object]:
        return [future.result() for future in cast("Sequence[Future[object]]", handles)]

    def map(self, function: Function, items: Iterable[object], *, chunksize: int | None = None) -> Iterator[object]:
        return self._pool.map(function, items, chunksize=chunksize or 1)

    def stop(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
