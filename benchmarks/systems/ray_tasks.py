"""Owns the adapter for Ray: a task an item, one ray.get for the batch; chunks through ray.util's Pool. It has no
reduction by key: words are counted as its guides do it, by tasks of two kinds.
"""

import os
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from benchmarks.readings import SLOTS
from benchmarks.systems.protocol import Function
from benchmarks.texts import merged, words_of

if TYPE_CHECKING:
    from ray.remote_function import RemoteFunction

#: Tasks that count, and tasks that merge; both found by trial.
COUNTING_TASKS = 16
PARTITIONS = 8


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
            object_store_memory=2 * 1024**3,  # 1 GB of results is one of the measures
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

    def share(self, value: object) -> object:
        return self._ray.put(value)

    def count_words(self, paths: Sequence[str]) -> Mapping[str, int]:
        raise NotImplementedError("Ray's tasks count by Counters, or not at all")

    def count_words_by_counters(self, paths: Sequence[str]) -> Mapping[str, int]:
        count = self._ray.remote(_partitions_of).options(num_returns=PARTITIONS)
        merge = self._ray.remote(_merged)
        counted = [count.remote(paths[first::COUNTING_TASKS]) for first in range(COUNTING_TASKS)]
        total: dict[str, int] = {}
        for partition in self._ray.get([merge.remote(*column) for column in zip(*counted, strict=True)]):
            total |= partition
        return total

    def stop(self) -> None:
        self._ray.shutdown()


def _partitions_of(paths: Sequence[str]) -> list[dict[str, int]]:
    counts: Counter[str] = Counter()
    for path in paths:
        counts.update(words_of(path))
    partitions: list[dict[str, int]] = [{} for _ in range(PARTITIONS)]
    for word, count in counts.items():
        partitions[zlib.crc32(word.encode()) % PARTITIONS][word] = count
    return partitions


def _merged(*counts: Mapping[str, int]) -> Mapping[str, int]:
    return merged(counts)
