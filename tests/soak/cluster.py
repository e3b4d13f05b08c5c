"""The processes of a soak: a master, an agent that stays, one that is replaced ever and again, clients."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.chaos.cluster import DAEMON, ROOT, Managed, lasting_port

from manyhands.errors import MasterUnreachable
from manyhands.status import fetch_status

STATUS_TIMEOUT = 60.0


class SoakClient:
    """A process that does tasks when told. Ends with its input, and so with us."""

    def __init__(self, address: str, seed: int, log: Path) -> None:
        self.told: dict[str, Any] = {"done": 0, "resting": True}
        self.is_killed = False
        self._log = log
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.soak.client", address, str(seed)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT,
            )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.told = json.loads(line)

    @property
    def done(self) -> int:
        """Tasks, as far as it has told."""
        return int(self.told["done"])

    @property
    def is_resting(self) -> bool:
        """Whether it has done what it was told to."""
        return bool(self.told["resting"])

    def do(self, tasks: int) -> None:
        assert self.process.stdin is not None
        self.told = {**self.told, "resting": False}
        self.process.stdin.write(f"{tasks}\n")
        self.process.stdin.flush()

    def leave(self) -> None:
        """When it has done what it was told to."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def kill(self) -> None:
        self.is_killed = True
        self.process.kill()

    def complaint(self) -> str | None:
        """What was wrong with it; None while it runs, or if all was well."""
        code = self.process.poll()
        if code is None or self.is_killed:
            return None
        self._reader.join(10)
        if code:
            return f"a client ended with {code}: {self._log.read_text()[-2000:]}"
        if self.told.get("open_futures") != 0 or self.told.get("open_tasks") != 0:
            return f"a client left with open futures: {self.told}"
        return None


class Cluster:
    """A master with a journal, and two workers of one slot each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.address = f"127.0.0.1:{lasting_port()}"
        self.master = Managed("master", self._master_command, folder / "master.log", folder)
        self.steady = self._worker("steady")
        self.replaced = self._worker("replaced-1")
        #: Those that were asked to end, and have not been seen to.
        self.leaving: list[Managed] = []
        self.replacements = {"drained": 0, "killed": 0}

    def _master_command(self, _: int) -> Sequence[str | Path]:
        return (*DAEMON, "master", "--port", self.address.rpartition(":")[2], "--data-dir", self.data_dir)

    def _worker(self, name: str) -> Managed:
        def command(_: int) -> Sequence[str | Path]:
            return (*DAEMON, "worker", self.address, "--name", name, "--slots", "1")

        return Managed(name, command, self.folder / f"{name}.log", self.folder)

    def start(self) -> None:
        for each in (self.master, self.steady, self.replaced):
            each.start()

    @property
    def is_replacement_there(self) -> bool:
        """Whether the worker that is to be replaced next has joined."""
        return any(worker["name"] == self.replaced.name for worker in self.status()["workers"])

    def replace(self, *, kill: bool) -> None:
        """The one worker by another, the old one drained or killed."""
        old = self.replaced
        how = "killed" if kill else "drained"
        self.replacements[how] += 1
        if kill:
            old.kill()
        else:
            old.signal(signal.SIGTERM)
            self.leaving.append(old)
        self.replaced = self._worker(f"replaced-{sum(self.replacements.values()) + 1}")
        self.replaced.start()

    def complaints(self) -> list[str]:
        """Of processes that ended when, or as, they should not have."""
        staying = (self.master, self.steady, self.replaced)
        found = [_complaint(each, "ended by itself") for each in staying if each.exit_code is not None]
        for each in [each for each in self.leaving if each.exit_code is not None]:
            self.leaving.remove(each)
            if each.exit_code:
                found.append(_complaint(each, "was drained and ended"))
        return found

    def status(self) -> dict[str, Any]:
        """See `manyhands status --json`. Raises MasterUnreachable after a minute: the machine may be busy."""
        deadline = time.monotonic() + STATUS_TIMEOUT
        while True:
            try:
                return fetch_status(self.address)
            except MasterUnreachable:
                if time.monotonic() > deadline:
                    raise

    def close(self) -> None:
        """Kill whatever still runs."""
        for each in (self.master, self.steady, self.replaced, *self.leaving):
            if each.process is not None:
                each.kill()


def _complaint(process: Managed, how: str) -> str:
    return f"{process.name} {how} with {process.exit_code}: {process.log.read_text()[-2000:]}"
