"""A cluster that goes on after its master was killed: for tests that do that."""

from __future__ import annotations

from pathlib import Path

from tests.support.daemons import Daemon, start_master


class Cluster:
    """A master with a journal, which can be killed and comes back, and workers."""

    def __init__(self, folder: Path, workers: int = 0) -> None:
        self._arguments = ["--data-dir", str(folder / "state")]
        self.master, self.address = start_master(*self._arguments)
        self.workers = [Daemon("worker", self.address, "--name", f"w{n}", "--slots", "1") for n in range(workers)]

    def restart(self) -> None:
        self.master.kill()
        self.master.stop()
        self.master = Daemon("master", "--port", self.address.rpartition(":")[2], *self._arguments)
        self.master.wait_for("serves at")

    def stop(self) -> None:
        for daemon in (*self.workers, self.master):
            daemon.stop()
