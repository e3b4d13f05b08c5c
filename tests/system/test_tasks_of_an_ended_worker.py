"""The end of `manyhands worker`, polite or not, while its tasks hold their GIL: nothing is left of it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import psutil
import pytest
from tests.support.daemons import Daemon, start_master, wait_until

from manyhands import Client


def hold(folder: str) -> None:
    Path(folder, str(os.getpid())).touch()
    sum(range(1 << 60))


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def shared_memory() -> set[str]:
    """Pages of slots, that is; the folder for data is the master's, too."""
    return {path.name for path in Path("/dev/shm").iterdir() if "manyhands" in path.name and not path.is_dir()}


@pytest.mark.skipif(sys.platform != "linux", reason="parent-death signals are Linux's")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_no_slot_and_no_file_is_left(number: signal.Signals, tmp_path: Path) -> None:
    scratch, marks = tmp_path / "tmp", tmp_path / "marks"
    scratch.mkdir()
    marks.mkdir()
    before = shared_memory()
    master, address = start_master()
    with (
        master,
        Daemon("worker", address, "--slots", "2", "--drain-timeout", "0.5", env={"TMPDIR": str(scratch)}) as worker,
        Client(address) as client,
    ):
        for _ in range(2):
            client.submit(hold, str(marks))
        wait_until(lambda: len(list(marks.iterdir())) == 2, what="both tasks run")
        slots = [psutil.Process(int(mark.name)) for mark in marks.iterdir()]
        family = psutil.Process(worker.process.pid).children(recursive=True)
        assert set(slots) <= set(family)
        worker.kill(number)
        code = worker.wait()
        wait_until(lambda: not any(map(alive, family)), 10, "the slots are gone")
        assert code == {signal.SIGTERM: 0, signal.SIGINT: 130, signal.SIGKILL: -9}[number]
        assert [path for path in scratch.rglob("*") if not path.name.endswith("-spill")] == []
        assert shared_memory() <= before
        client.shutdown(wait=False, cancel_futures=True)
