"""Owns the adapter for Dask distributed: a LocalCluster of two worker processes with a thread each."""

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence

from benchmarks.readings import SLOTS
from benchmarks.systems.protocol import Function


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

    def stop(self) -> None:
        self._client.close()
        self._cluster.close()
