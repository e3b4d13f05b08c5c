"""Owns the adapter for Ray: a task an item, one ray.get for the batch; chunks through ray.util's Pool."""

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from benchmarks.readings import SLOTS
from benchmarks.systems.protocol import Function

if TYPE_CHECKING:
    from ray.remote_function import RemoteFunction


class RayTasks:
    name = "ray"

    def start(self) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        import ray

        self._ray = ray
        self._remote: dict[Function, RemoteFunction] = {}
        ray.init(
            num_cpus=SLOTS,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            object_store_memory=256 * 1024 * 1024,
            _node_ip_address="127.0.0.1",
            _temp_dir=tempfile.mkdtemp(prefix="r", dir=os.environ.get("BENCH_SCRATCH")),
        )

    def submit(self, function: Function, *arguments: object) -> object:
        remote = self._remote.get(function)
        if remote is None:
            remote = self._remote[function] = self._ray.remote(function)
        return remote.remote(*arguments)

    def gather(self, handles: Sequence[object]) -> list[object]:
        return list(self._ray.get(list(handles)))

    def map(self, function: Function, items: Iterable[object], *, chunksize: int | None = None) -> Iterator[object]:
        if chunksize is None or chunksize == 1:
            return iter(self.gather([self.submit(function, item) for item in items]))
        from ray.util.multiprocessing import Pool

        with Pool(SLOTS) as pool:
            return iter(pool.map(function, items, chunksize=chunksize))

    def stop(self) -> None:
        self._ray.shutdown()
