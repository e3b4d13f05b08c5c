"""The processes of a chaos run: master, workers and clients, started, signalled and started again; their logs."""

from __future__ import annotations

import asyncio
import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
from tests.chaos.proxy import Link
from tests.chaos.tasks import STARTS_VARIABLE, WORKER_VARIABLE
from tests.support.elsewhere import ELSEWHERE
from tests.support.processes import is_alive

from manyhands.arguments import access_directory
from manyhands.keys import token_keys
from manyhands.wire.tokens import TOKEN_VARIABLE

ROOT = Path(__file__).parents[2]
DAEMON = (sys.executable, "-P", Path(__file__).with_name("daemon.py"))
#: What a daemon may take to end in good order, in seconds.
STOP_TIMEOUT = 15.0


def lasting_port() -> int:
    """A free port that stays ours while the master is down: below those that the system gives to others."""
    while True:
        port = random.randrange(10_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Managed:
    """One role's process, and its successors; each writes to the same log."""

    def __init__(self, name: str, command: Callable[[int], Sequence[str | Path]], log: Path, cwd: Path) -> None:
        self.name = name
        self.log = log
        #: Counts the processes, from 1: what `command` is given.
        self.incarnation = 0
        #: Held from its end to its restart, by whoever ended it.
        self.lock = asyncio.Lock()
        self._command = command
        self._cwd = cwd
        self.env: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.incarnation += 1
        with self.log.open("ab") as log:
            log.write(f"---- {self.name}, process {self.incarnation}\n".encode())
            log.flush()
            self.process = subprocess.Popen(
                [*map(str, self._command(self.incarnation))],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._cwd, start_new_session=True,
                env={**os.environ, **self.env}, preexec_fn=_die_with_harness,  # noqa: PLW1509 - from the main thread
            )  # fmt: skip

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        assert self.process is not None
        return self.process.poll()

    def signal(self, number: int) -> None:
        """Nothing happens if it has ended."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait()

    def slots(self) -> list[psutil.Process]:
        """Of an agent: its slots' processes, which say so in their command line."""
        try:
            children = psutil.Process(self.pid).children()
        except psutil.NoSuchProcess:
            return []
        return sorted(filter(_is_slot, children), key=lambda child: child.pid)

    async def ended(self, timeout: float) -> bool:
        """Wait until it has, at most `timeout` seconds; whether it has."""
        deadline = asyncio.get_running_loop().time() + timeout
        while self.exit_code is None and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)
        return self.exit_code is not None


def _is_slot(child: psutil.Process) -> bool:
    try:
        return is_alive(child) and any("manyhands.worker.slot " in word for word in child.cmdline())
    except psutil.NoSuchProcess:
        return False


def _die_with_harness() -> None:
    """In the child, before it becomes what it is to be: nothing of a run survives the harness."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)


class Cluster:
    """A master, workers and clients; each of the latter has a link of its own to the master."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        *,
        workers: int,
        slots: int,
        clients: int,
        data_dir: Path,
        heartbeat_timeout: float,
        apart: bool,
    ) -> None:
        """apart: workers, and every other client, are as if on hosts of their own."""
        self.folder = folder
        self.histories = folder / "histories"
        self.starts = folder / "starts"
        for each in (self.histories, self.starts):
            each.mkdir(parents=True)
        self.port = lasting_port()
        self._seed = seed
        self._elsewhere = ELSEWHERE if apart else ()
        self.data_dir = data_dir
        self._heartbeat_timeout = heartbeat_timeout
        self.workers = {f"worker-{n}": self._worker(f"worker-{n}", slots) for n in range(workers)}
        self.clients = {f"client-{n}": self._client(n) for n in range(clients)}
        self.links = {name: Link(name, lambda: ("127.0.0.1", self.port)) for name in (*self.workers, *self.clients)}
        self.master = Managed("master", self._master_command, folder / "master.log", folder)

    @property
    def everybody(self) -> dict[str, Managed]:
        return {"master": self.master, **self.workers, **self.clients}

    # ------------------------------------------------------------ commands

    def _master_command(self, _: int) -> Sequence[str | Path]:
        return (
            *DAEMON, "master", "--tcp-only", "-v", "--port", str(self.port),
            "--data-dir", self.data_dir, "--heartbeat-timeout", str(self._heartbeat_timeout),
        )  # fmt: skip

    def _worker(self, name: str, slots: int) -> Managed:
        def command(_: int) -> Sequence[str | Path]:
            address = f"127.0.0.1:{self.links[name].port}"
            return (
                *self._elsewhere, *DAEMON, "worker", address, "-v", "--name", name, "--slots", str(slots),
            )  # fmt: skip

        worker = Managed(name, command, self.folder / f"{name}.log", self.folder)
        worker.env = {STARTS_VARIABLE: str(self.starts), WORKER_VARIABLE: name}
        return worker

    def _client(self, number: int) -> Managed:
        name = f"client-{number}"
        elsewhere = self._elsewhere if number % 2 else ()

        def command(incarnation: int) -> Sequence[str | Path]:
            address = f"127.0.0.1:{self.links[name].port}"
            full = f"{name}.{incarnation}"
            return (
                *elsewhere, sys.executable, "-m", "tests.chaos.client",
                address, self.histories / full, full, str(self._seed),
            )  # fmt: skip

        # In the repository, so that the tasks' module is the client's own and travels by value.
        return Managed(name, command, self.folder / f"{name}.log", ROOT)

    # ------------------------------------------------------------ life

    async def start(self) -> None:
        # Everybody comes through a link of his own, at whose address no access file lies.
        tokens = token_keys(access_directory(self.data_dir)).written_tokens()
        for role, members in (("worker", self.workers), ("client", self.clients)):
            for managed in members.values():
                managed.env[TOKEN_VARIABLE] = tokens[role]
        for link in self.links.values():
            await link.open()
        for managed in self.everybody.values():
            managed.start()

    async def close(self) -> None:
        """Whatever still runs is killed."""
        for managed in self.everybody.values():
            if managed.process is not None:
                managed.kill()
        for link in self.links.values():
            await link.close()
