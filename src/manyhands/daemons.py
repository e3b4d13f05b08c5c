"""The daemons' main coroutines: master, worker, and both in one process; started, watched and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from manyhands._version import __version__
from manyhands.master.server import Master
from manyhands.wire.dialer import Dialer
from manyhands.wire.eventloop import loop_factory
from manyhands.wire.local import LocalUplink
from manyhands.worker.agent import Agent

#: Seconds that an orderly end may take before the process leaves regardless.
_STOP_TIMEOUT = 10.0


def run_daemon(main: Coroutine[Any, Any, int]) -> int:
    """Run a daemon's coroutine to its exit code."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(main)


def _stop_event() -> asyncio.Event:
    """Set by SIGTERM or SIGINT. A second signal, or an end that takes too long, leaves at once."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()
        loop.call_later(_STOP_TIMEOUT, os._exit, 1)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    return stop


@contextlib.asynccontextmanager
async def _running(agents: list[Agent], stop: asyncio.Event) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Run agents until the block ends; one that ends by itself ends the daemon."""
    tasks = [asyncio.create_task(agent.run(), name="agent") for agent in agents]
    for task in tasks:
        task.add_done_callback(lambda _: stop.set())
    try:
        yield tasks
    finally:
        for agent in agents:
            await agent.stop()
        await asyncio.wait(tasks, timeout=_STOP_TIMEOUT)
    for task in tasks:
        if task.done():
            task.result()


def reachable_host(host: str) -> str:
    """What others may call the address that a master is bound to."""
    if host not in ("0.0.0.0", "::", "[::]"):  # noqa: S104 - compared, not bound
        return host
    name = socket.gethostname()
    with contextlib.suppress(OSError):
        for *_, address in socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM):
            if not str(address[0]).startswith("127."):
                return str(address[0])
    return name


def _next_epoch(data_dir: Path) -> int:
    """Number this start of the master; durable before anybody is served."""
    data_dir.mkdir(parents=True, exist_ok=True)
    path = data_dir / "epoch"
    epoch = int(path.read_text()) + 1 if path.exists() else 1
    fresh = path.with_suffix(".new")
    with fresh.open("w") as file:
        file.write(f"{epoch}\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    return epoch


async def serve_master(host: str, port: int, data_dir: Path | None) -> int:
    """`manyhands master`."""
    stop = _stop_event()
    master = Master(epoch=_next_epoch(data_dir) if data_dir is not None else None)
    port = await master.listen(f"{host}:{port}")
    _print_addresses(f"{reachable_host(host)}:{port}", host)
    await stop.wait()
    await master.close()
    return 0


def _print_addresses(address: str, host: str) -> None:
    lines = [
        f"manyhands {__version__}: the master serves at {address}",
        f"  start a worker on any host:   manyhands worker {address}",
        f'  use it from Python:           Client("{address}")',
        f"  look at it:                   manyhands status {address}",
    ]
    if host not in {"127.0.0.1", "localhost", "::1", "[::1]"}:
        lines.append(
            f"warning: anybody who can reach {address} can run code on its workers, for access control is not there "
            "yet; use it only on a network you trust, or bind 127.0.0.1"
        )
    print("\n".join(lines), flush=True)  # noqa: T201 - what the commands are for


async def serve_worker(address: str, name: str, slots: int) -> int:
    """`manyhands worker`."""
    from manyhands.wire.grpc_links import dial

    stop = _stop_event()
    agent = Agent(partial(Dialer, partial(dial, address)), name=name, slots=slots)
    async with _running([agent], stop):
        await stop.wait()
    return 0


async def serve_local(host: str, port: int, workers: int, slots: int) -> int:
    """`manyhands local`: a master and workers in this process, for others on this machine to use."""
    stop = _stop_event()
    master = Master()
    port = await master.listen(f"{host}:{port}")
    agents = [Agent(partial(LocalUplink, master.join), name=f"local-{i}", slots=slots) for i in range(workers)]
    async with _running(agents, stop):
        _print_addresses(f"{reachable_host(host)}:{port}", host)
        await stop.wait()
    await master.close()
    return 0


async def serve_embedded(directory: Path, workers: int, slots: int, parent: int, ready_fd: int) -> int:
    """The daemon behind `Client()`: lives as long as the process that started it."""
    stop = _stop_event()
    try:
        _watch_parent(parent, stop)
        master = Master()
        path = str(directory / "master")
        await master.listen_locally(path)
        # A name only where it tells something: tags of printed lines stay short with one worker.
        names = [""] if workers == 1 else [f"worker-{i}" for i in range(workers)]
        agents = [Agent(partial(LocalUplink, master.join), name=name, slots=slots) for name in names]
        async with _running(agents, stop):
            while len(master.engine.scheduler.workers) < workers and not stop.is_set():
                await asyncio.sleep(0.002)
            with os.fdopen(ready_fd, "w") as ready:
                ready.write(json.dumps({"socket": path}) + "\n")
            await stop.wait()
        await master.close(grace=0.2)
        return 0
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _watch_parent(parent: int, stop: asyncio.Event) -> None:
    """Stop when the process `parent` ends, however it ends."""
    try:
        pidfd = os.pidfd_open(parent)
    except ProcessLookupError:
        stop.set()
        return
    asyncio.get_running_loop().add_reader(pidfd, stop.set)
    if os.getppid() != parent:
        stop.set()
