"""Tasks that take their worker down with them: quarantined after the third, and the innocent around them are done."""

import os
import signal
import time
from pathlib import Path

from tests.support.daemons import Daemon, start_master

from manyhands import Client, current_task
from manyhands.errors import TaskCrashed

WORKERS = 5


def run_or_kill_the_worker(n: int) -> tuple[int, int]:
    if n == 150:
        time.sleep(0.01)
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    return n, current_task().attempt


def test_who_kills_whole_workers_is_quarantined() -> None:
    master, address = start_master()
    workers = [Daemon("worker", address, "--slots", "1", "--name", f"w{n}") for n in range(WORKERS)]
    try:
        with Client(address) as client:
            client.wait_for_workers(WORKERS, timeout=30)
            outcomes = list(client.map(run_or_kill_the_worker, range(300), return_exceptions=True))
            crash = outcomes.pop(150)
            assert isinstance(crash, TaskCrashed), crash
            assert [n for n, _ in outcomes] == [n for n in range(300) if n != 150]
            assert sum(attempt for _, attempt in outcomes) <= 2, "hardly an innocent one was charged"
            assert (crash.attempts, len(crash.history)) == (3, 3)
            assert len({each.worker for each in crash.history}) == 3
            assert all(each.lost and abs(each.at - time.time()) < 100 for each in crash.history)
            assert "was lost" in str(crash)
            assert "3 times, the last time by the loss of the worker" in str(crash)
        assert sum(worker.process.poll() is not None for worker in workers) <= 4
    finally:
        for worker in workers:
            worker.stop()
        master.stop()


def test_planned_stops_are_not_counted(tmp_path: Path) -> None:
    def nap(folder: Path) -> int:
        with (folder / "starts").open("a") as file:
            file.write("x")
        time.sleep(0 if (folder / "starts").stat().st_size > 3 else 60)
        return current_task().attempt

    master, address = start_master()
    try:
        with Client(address) as client:
            future = client.submit(nap, tmp_path)
            for n in range(1, 4):
                worker = Daemon("worker", address, "--slots", "1", "--drain-timeout", "0")
                while not (tmp_path / "starts").exists() or (tmp_path / "starts").stat().st_size < n:
                    time.sleep(0.01)
                worker.stop()
            with Daemon("worker", address, "--slots", "1"):
                assert future.result(30) == 0
    finally:
        master.stop()
