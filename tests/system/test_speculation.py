"""A worker that is far too slow: its last tasks run elsewhere as well, and are stopped at it once there is a result."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.daemons import Daemon, start_master, wait_until

from manyhands import Client, current_task
from manyhands.errors import TaskInterrupted

#: Seconds that a task takes at the slow worker.
ENDLESS = 300.0


@pytest.fixture
def client() -> Iterator[Client]:
    master, address = start_master()
    paces = {"quick": "0.1", "brisk": "0.1", "slow": str(ENDLESS)}
    workers = [
        Daemon("worker", address, "--slots", "1", "--name", name, env={"PACE": pace}) for name, pace in paces.items()
    ]
    try:
        with Client(address) as client:
            client.wait_for_workers(len(workers), timeout=30)
            yield client
    finally:
        for daemon in [*workers, master]:
            daemon.stop()


def test_a_slow_worker_holds_nobody_up(client: Client, tmp_path: Path) -> None:
    def work(n: int) -> tuple[int, int]:
        try:
            time.sleep(float(os.environ["PACE"]))
        except TaskInterrupted:
            (tmp_path / f"stopped {n}").touch()
            raise
        return n, current_task().attempt

    began = time.monotonic()
    assert list(client.with_options(speculate=True).map(work, range(30))) == [(n, 0) for n in range(30)]
    assert time.monotonic() - began < 60
    wait_until(lambda: list(tmp_path.iterdir()), what="the slow worker's copy is stopped")
    assert len(list(tmp_path.iterdir())) == 1
    assert client.get_stats()["tasks_completed"] == 30

    # All three are free again, the slow one included.
    names = set(client.map(lambda _: (time.sleep(0.5), os.getppid())[1], range(3)))
    assert len(names) == 3


def test_a_failure_of_the_second_copy_is_the_tasks(client: Client, tmp_path: Path) -> None:
    def work(n: int) -> int:
        if n != 7:
            return n
        with (tmp_path / "starts").open("a") as file:
            file.write("x")
        if (tmp_path / "starts").stat().st_size > 1:
            raise ValueError("the copy failed")
        time.sleep(ENDLESS)
        return n

    outcomes = list(client.with_options(speculate=True).map(work, range(10), return_exceptions=True))
    assert isinstance(outcomes.pop(7), ValueError)
    assert outcomes == [n for n in range(10) if n != 7]
    assert (tmp_path / "starts").stat().st_size == 2
