"""The daemons' main coroutines: master, worker, and both in one process; started, watched and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from manyhands import idle_memory
from manyhands.addresses import reachable_host, why_not_listening
from manyhands.keys import MasterKeys
from manyhands.master.config import MasterConfig
from manyhands.master.door import Certificates
from manyhands.master.journal_file import JournalFault
from manyhands.master.server import Master
from manyhands.notices import WorkerNotices, print_draining, print_how_to_join
from manyhands.wire.access_file import AccessRecord
from manyhands.wire.dialer import Dialer
from manyhands.wire.endpoints import host_port
from manyhands.wire.eventloop import loop_factory
from manyhands.wire.joining import Way
from manyhands.wire.local import LocalUplink
from manyhands.worker.agent import Agent
from manyhands.worker.peers import Peers
from manyhands.worker.reaper import Reaper

#: Seconds that an orderly end may take before the process leaves regardless.
_STOP_TIMEOUT = 10.0
#: The same for an embedded cluster whose client is gone.
_ORPHANED_TIMEOUT = 1.0


def run_daemon(main: Coroutine[Any, Any, int]) -> int:
    """Run a daemon's coroutine to its exit code."""
    gc.freeze()  # what has been imported stays: to look through that takes the collector 10 ms, again and again
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_frugally(main))


async def _frugally(main: Coroutine[Any, Any, int]) -> int:
    frugal = asyncio.create_task(idle_memory.give_back_at_rest(), name="idle-memory")
    try:
        return await main
    finally:
        frugal.cancel()


class _Stop(asyncio.Event):
    """Set by SIGTERM or SIGINT. The next signal sets `now`; one more, or an end that takes too long, leaves at once."""

    def __init__(self) -> None:
        super().__init__()
        #: Do not wait for tasks any more.
        self.now = asyncio.Event()
        self._broken: Exception | None = None
        #: What the process then ends with: as a shell reports an interrupt, so that scripts stop there.
        self.exit_code = 0
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)

    def _on_signal(self, number: signal.Signals) -> None:
        if self.now.is_set():
            os._exit(1)
        if number == signal.SIGINT:
            self.exit_code = 128 + number
        if self.is_set():
            self.now.set()
        self.set()

    def on_broken_journal(self, error: Exception) -> None:
        """See Master: nothing can be promised any more."""
        self._broken = error
        self.set()

    @property
    def is_broken(self) -> bool:
        """Whether it is the journal that ends the daemon."""
        return self._broken is not None

    def check_journal(self, data_dir: Path | None) -> None:
        """Raises OSError if the journal there has broken."""
        if self._broken is not None:
            raise OSError(f"the journal in {data_dir} cannot be written any more: {self._broken}") from self._broken

    async def drain(
        self, running: Callable[[], int], drain: Callable[[float], Awaitable[object]], timeout: float
    ) -> None:
        """Let what runs finish, until that is done, `timeout` seconds have passed, or the next signal comes."""
        if count := running():
            print_draining(count, timeout)
        draining = asyncio.ensure_future(drain(timeout))
        impatient = asyncio.ensure_future(self.now.wait())
        await asyncio.wait((draining, impatient), return_when=asyncio.FIRST_COMPLETED)
        impatient.cancel()
        if draining.done():
            draining.result()
        else:
            draining.cancel()

    def leave_in_time(self) -> None:
        """The end has begun: it takes _STOP_TIMEOUT at most, and is itself not waited for by the next signal."""
        self.now.set()
        asyncio.get_running_loop().call_later(_STOP_TIMEOUT, os._exit, 1)


@contextlib.asynccontextmanager
async def _running(agents: list[Agent], stop: _Stop) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Run agents until the block ends; one that ends by itself ends the daemon."""
    tasks = [asyncio.create_task(agent.run(), name="agent") for agent in agents]
    for task in tasks:
        task.add_done_callback(lambda _: stop.set())
    try:
        yield tasks
    finally:
        stop.leave_in_time()
        for agent in agents:
            await agent.stop()
        await asyncio.wait(tasks, timeout=_STOP_TIMEOUT)
    for task in tasks:
        if task.done():
            task.result()


@contextlib.asynccontextmanager
async def _serving(
    master: Master, host: str, port: int, keys: MasterKeys, stop: _Stop, data_dir: Path | None = None, *, tcp_only: bool
) -> AsyncIterator[None]:
    """Have `master` listen, tell how to join it, and follow what becomes of its tokens, until the block ends."""
    # Beside certificates of their own, processes of this user have no other way to show who they are.
    tcp_only = tcp_only or isinstance(keys.keyring, Certificates)
    record: AccessRecord | None = None

    def on_bound(port: int) -> None:
        nonlocal record
        record = keys.note_address(host, port, host_port(reachable_host(host), port))

    try:
        port = await master.listen(host_port(host, port), tcp_only=tcp_only, identity=keys.identity, on_bound=on_bound)
    except OSError as error:
        raise why_not_listening(host, port) from error
    address = host_port(reachable_host(host), port)
    watching = asyncio.create_task(keys.watch(record, master.check_grants), name="tokens")
    watching.add_done_callback(lambda task: None if task.cancelled() or not task.exception() else stop.set())
    print_how_to_join(host, address, keys, data_dir)
    try:
        yield
    finally:
        if record is not None:
            record.remove()
        if watching.done():
            watching.result()
        watching.cancel()


async def serve_master(
    host: str,
    port: int,
    data_dir: Path | None,
    config: MasterConfig,
    drain_timeout: float,
    keys: MasterKeys,
    *,
    tcp_only: bool,
) -> int:
    """`manyhands master`."""
    stop = _Stop()
    master = Master(config, data_dir=data_dir, on_broken=stop.on_broken_journal, keyring=keys.keyring)
    async with _serving(master, host, port, keys, stop, data_dir, tcp_only=tcp_only):
        await stop.wait()
        if not stop.is_broken:
            await stop.drain(lambda: master.running, master.drain, drain_timeout)
    stop.leave_in_time()
    stop.check_journal(data_dir)
    await master.close()
    return stop.exit_code


async def serve_worker(
    way: Way,
    peers: Peers,
    name: str,
    slots: int,
    memory_bytes: int,
    store_folder: Path | None,
    store_bytes: int | None,
    drain_timeout: float,
    reaper: Reaper,
) -> int:
    """`manyhands worker`."""
    stop = _Stop()
    notices = WorkerNotices(way.address, slots, memory_bytes)
    agent = Agent(
        partial(Dialer, way.open_link, credential=way.credential),
        name=name,
        slots=slots,
        memory_bytes=memory_bytes,
        peers=peers,
        store_folder=store_folder,
        store_bytes=store_bytes,
        on_welcome=notices.on_welcome,
        on_link_lost=notices.on_link_lost,
        reaper=reaper,
    )
    async with _running([agent], stop):
        await stop.wait()
        await stop.drain(lambda: agent.running, agent.drain, drain_timeout)
    return stop.exit_code


async def serve_local(
    host: str,
    port: int,
    workers: int,
    slots: int,
    memory_bytes: int,
    drain_timeout: float,
    reaper: Reaper,
    keys: MasterKeys,
    *,
    tcp_only: bool,
) -> int:
    """`manyhands local`: a master and workers in this process, for others on this machine to use."""
    stop = _Stop()
    master = Master(keyring=keys.keyring)
    connect = partial(LocalUplink, master.join)
    agents = [
        Agent(connect, name=f"local-{i}", slots=slots, memory_bytes=memory_bytes, reaper=reaper) for i in range(workers)
    ]
    async with _serving(master, host, port, keys, stop, tcp_only=tcp_only), _running(agents, stop):
        await stop.wait()
        await stop.drain(lambda: master.running, master.drain, drain_timeout)
    await master.close()
    return stop.exit_code


async def serve_embedded(
    directory: Path, data_dir: Path | None, workers: int, slots: int, parent: int, ready_fd: int, reaper: Reaper
) -> int:
    """The daemon behind `Client()`: lives as long as the process that started it."""
    stop = _Stop()
    try:
        _watch_parent(parent, directory, stop)
        try:
            master = Master(MasterConfig(clients_return=False), data_dir, stop.on_broken_journal)
        except JournalFault as error:  # for the client, which waits for a line
            with os.fdopen(ready_fd, "w") as ready:
                ready.write(json.dumps({"error": str(error)}) + "\n")
            return 1
        path = str(directory / "master")
        await master.listen_locally(path)
        # A name only where it tells something: tags of printed lines stay short with one worker.
        names = [""] if workers == 1 else [f"worker-{i}" for i in range(workers)]
        connect = partial(LocalUplink, master.join)
        agents = [Agent(connect, name=name, slots=slots, reaper=reaper) for name in names]
        async with _running(agents, stop):
            while len(master.engine.scheduler.workers) < workers and not stop.is_set():
                await asyncio.sleep(0.002)
            with os.fdopen(ready_fd, "w") as ready:
                ready.write(json.dumps({"socket": path}) + "\n")
            await stop.wait()
        await master.close(grace=0.2)
        stop.check_journal(data_dir)
        return 0
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _watch_parent(parent: int, directory: Path, stop: asyncio.Event) -> None:
    """Stop when the process `parent` ends, however it ends: nobody is left to wait for us."""
    loop = asyncio.get_running_loop()
    pidfd: int | None = None

    def leave() -> None:
        shutil.rmtree(directory, ignore_errors=True)
        os._exit(1)

    def on_end() -> None:
        if pidfd is not None:
            loop.remove_reader(pidfd)
        stop.set()
        loop.call_later(_ORPHANED_TIMEOUT, leave)

    try:
        pidfd = os.pidfd_open(parent)
    except ProcessLookupError:
        on_end()
        return
    loop.add_reader(pidfd, on_end)
    if os.getppid() != parent:  # it had ended before we looked, and the number is another's now
        on_end()
