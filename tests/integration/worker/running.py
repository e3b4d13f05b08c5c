"""A real worker with real slots and a real master in this process, and a client of it."""

from __future__ import annotations

import asyncio
import io
import sys
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from manyhands.client.client import Client
from manyhands.client.starting import join
from manyhands.master.config import MasterConfig
from manyhands.master.server import Master
from manyhands.wire import socket_link
from manyhands.wire.dialer import Dialer
from manyhands.wire.eventloop import loop_factory
from manyhands.worker.agent import Agent

_T = TypeVar("_T")


class RunningWorker:
    """`client` submits; `printed()` is what the worker's two streams have received."""

    def __init__(self, slots: int = 2, name: str = "w", config: MasterConfig | None = None) -> None:
        self._slots, self._name, self._config = slots, name, config or MasterConfig()
        self._folder = tempfile.TemporaryDirectory(prefix="worker-test-")
        self._path = str(Path(self._folder.name) / "master")
        self._stdout, self._stderr = io.BytesIO(), io.BytesIO()
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="worker-under-test")

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._is_up.wait(20)
        self.client = Client.over(join(partial(socket_link.dial, self._path), self._path))
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        self.client.shutdown(wait=False, cancel_futures=True)
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        assert not self._thread.is_alive()
        self._folder.cleanup()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self.master = Master(self._config)
        await self.master.listen_locally(self._path)
        self.agent = Agent(partial(Dialer, partial(socket_link.dial, self._path)), name=self._name, slots=self._slots)
        streams = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = ours = io.TextIOWrapper(self._stdout), io.TextIOWrapper(self._stderr)
        running = asyncio.create_task(self.agent.run())
        await asyncio.sleep(0)  # it takes its streams
        sys.stdout, sys.stderr = streams
        self._is_up.set()
        await self._stop.wait()
        await self.agent.stop()
        await asyncio.wait_for(running, 15)
        await self.master.close()
        for stream in ours:
            stream.detach()

    def ask(self, look: Callable[[], _T]) -> _T:
        """What `look` says on the worker's loop."""

        async def answer() -> _T:
            return look()

        return asyncio.run_coroutine_threadsafe(answer(), self._loop).result(10)

    def printed(self) -> str:
        return (self._stdout.getvalue() + self._stderr.getvalue()).decode(errors="replace")

    def slot_pids(self) -> list[int]:
        """Of the slots that are up."""
        shells: list[Any] = self.agent._slots
        return self.ask(lambda: [shell._process.popen.pid for shell in shells if shell._process is not None])
