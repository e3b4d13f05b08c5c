"""Whoever of a cluster is killed while tasks hold their GIL: every process of theirs is gone within 2 s."""

from __future__ import annotations

import inspect
import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest
from tests.support.clients import forsaken
from tests.support.daemons import Daemon, start_master, wait_until
from tests.support.processes import is_alive
from tests.support.scripts import left_over, start

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="parent-death signals and /proc are Linux's")

#: Seconds until everything must be gone.
GONE = 2.0

#: How many processes `hold` notes.
NOTED = 7


def hold(folder: str, spin: str) -> None:
    """Start processes of every kind, note their ids, and never return nor let go of the GIL."""
    import multiprocessing
    import os
    import pathlib
    import re
    import subprocess
    import time

    def note(pid: int) -> None:
        pathlib.Path(folder, str(pid)).touch()

    sleep = ["sleep", "600"]
    note(subprocess.Popen(sleep).pid)
    note(subprocess.Popen(sleep, start_new_session=True).pid)
    note(subprocess.Popen(sleep, process_group=0).pid)
    note(subprocess.Popen(sleep, env={}).pid)
    # A daemon of the old school: the shell that started it has ended.
    note(int(subprocess.check_output(["setsid", "sh", "-c", "sleep 600 >&- & echo $!"])))
    forked = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
    forked.start()
    note(forked.pid or 0)
    note(os.getpid())
    if spin == "re":
        re.match(r"(a+)+$", "a" * 40 + "b")
    else:
        sum(range(10**12))


def noted(folder: Path, tasks: int) -> list[psutil.Process]:
    """What the tasks have started, once they hold their GIL."""
    wait_until(lambda: len(list(folder.iterdir())) == NOTED * tasks, what="every task has started its processes")
    processes = [psutil.Process(int(path.name)) for path in folder.iterdir()]
    time.sleep(0.1)
    assert all(map(is_alive, processes))
    return processes


def all_gone(processes: list[psutil.Process], began: float) -> None:
    wait_until(
        lambda: not any(map(is_alive, processes)),
        GONE,
        "what is left: " + ", ".join(map(str, filter(is_alive, processes))),
    )
    assert time.monotonic() - began < GONE


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder


SCRIPT = f"""from __future__ import annotations
{inspect.getsource(hold)}
import os, sys, time
from manyhands import Client
client = Client(slots=2)
print(client.submit(os.getppid).result(), flush=True)
for spin in ("re", "sum"):
    client.submit(hold, "notes", spin)
time.sleep(600)
"""


@pytest.mark.parametrize("killed", ["client", "daemon"])
def test_of_an_embedded_cluster(killed: str, tmp_path: Path, notes: Path) -> None:
    script = start(tmp_path, SCRIPT)
    assert script.stdout is not None
    daemon = psutil.Process(int(script.stdout.readline()))
    processes = {*noted(notes, 2), daemon, *daemon.children(recursive=True)}
    began = time.monotonic()
    if killed == "client":
        script.kill()
    else:
        daemon.kill()
    all_gone(list(processes), began)
    script.kill()
    script.communicate(timeout=20)
    if killed == "client":
        wait_until(lambda: not left_over(tmp_path), GONE, "its folder is gone")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
def test_of_a_worker(number: signal.Signals, notes: Path) -> None:
    master, address = start_master()
    with (
        master,
        Daemon("worker", address, "--slots", "2", "--drain-timeout", "0.5") as worker,
        forsaken(address) as client,
    ):
        for spin in ("re", "sum"):
            client.submit(hold, str(notes), spin)
        agent = psutil.Process(worker.process.pid)
        processes = {*noted(notes, 2), agent, *agent.children(recursive=True)}
        began = time.monotonic()
        os.kill(agent.pid, number)
        worker.process.wait(GONE)
        all_gone(list(processes), began)


def test_of_master_and_workers_in_one_process(notes: Path) -> None:
    with Daemon("local", "--port", "0", "--workers", "2", "--slots", "1") as local:
        address = local.wait_for(r"serves at (\S+)")[1]
        with forsaken(address) as client:
            for spin in ("re", "sum"):
                client.submit(hold, str(notes), spin)
            daemon = psutil.Process(local.process.pid)
            processes = {*noted(notes, 2), daemon, *daemon.children(recursive=True)}
            began = time.monotonic()
            local.kill()
            local.wait(GONE)
            all_gone(list(processes), began)
