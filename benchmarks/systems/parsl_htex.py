"""Owns the adapter for Parsl's HighThroughputExecutor with one local block of two workers."""

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, cast

from benchmarks.readings import SLOTS
from benchmarks.systems.protocol import Function

if TYPE_CHECKING:
    from parsl.app.app import AppBase


class ParslHtex:
    name = "parsl"

    def start(self) -> None:
        import parsl
        from parsl.config import Config
        from parsl.executors import HighThroughputExecutor
        from parsl.providers import LocalProvider

        self._parsl = parsl
        self._apps: dict[Function, AppBase] = {}
        executor = HighThroughputExecutor(
            label="htex",
            address="127.0.0.1",
            loopback_address="127.0.0.1",
            max_workers_per_node=SLOTS,
            cores_per_worker=1,
            encrypted=False,
            provider=LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1),
        )
        run_dir = tempfile.mkdtemp(prefix="parsl", dir=os.environ.get("BENCH_SCRATCH"))
        parsl.load(Config(executors=[executor], run_dir=run_dir, strategy="none", usage_tracking=0))

    def submit(self, function: Function, *arguments: object) -> object:
        app = self._apps.get(function)
        if app is None:
            app = self._apps[function] = self._parsl.python_app(function)
        return app(*arguments)

    def gather(self, handles: Sequence[object]) -> list[object]:
        return [future.result() for future in cast("Sequence[Future[object]]", handles)]

    def map(self, function: Function, items: Iterable[object], *, chunksize: int | None = None) -> Iterator[object]:
        return iter(self.gather([self.submit(function, item) for item in items]))

    def stop(self) -> None:
        self._parsl.dfk().cleanup()
        self._parsl.clear()
