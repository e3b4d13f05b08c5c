"""Owns the adapter for Dask distributed: a LocalCluster of two worker processes with a thread each."""

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence

from benchmarks.readings import SLOTS
from benchmarks.systems.protocol import Function
from benchmarks.texts import counter_of, merged, words_of

#: Counters that a task merges; found by trial.
MERGED_AT_ONCE = 16


class DaskDistributed:
    name = "dask"

    def start(self) -> None:
        from distributed import Client, LocalCluster

        self._cluster = LocalCluster(
            n_workers=SLOTS,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            local_directory=tempfile.mkdtemp(prefix="dask", dir=os.environ.get("BENCH_SCRATCH")),
        )
        self._client = Client(self._cluster)
        self._client.wait_for_workers(SLOTS, timeout=30)

    def submit(self, function: Function, *arguments: object) -> object:
        return self._client.submit(function, *arguments, pure=False)

    def gather(self, handles: Sequence[object]) -> list[object]:
        return list(self._client.gather(list(handles)))

    def map(self, function: Function, items: Iterable[object], *, chunksize: int | None = None) -> Iterator[object]:
        return iter(self.gather(self._client.map(function, list(items), pure=False)))

    def share(self, value: object) -> object:
        # The fastest way found: without a hash of the data, to both workers, and not through the scheduler.
        return self._client.scatter(value, hash=False, broadcast=True, direct=True)

    def count_words(self, paths: Sequence[str]) -> Mapping[str, int]:
        from dask import bag

        return dict(bag.from_sequence(paths).map(words_of).flatten().frequencies().compute())

    def count_words_by_counters(self, paths: Sequence[str]) -> Mapping[str, int]:
        from dask import bag

        counters = bag.from_sequence(paths).map(counter_of)
        return dict(counters.reduction(merged, merged, split_every=MERGED_AT_ONCE).compute())

    def stop(self) -> None:
        self._client.close()
        self._cluster.close()
