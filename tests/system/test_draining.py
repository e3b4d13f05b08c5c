"""Daemons that are asked to end while tasks run: what is finished, what is handed back, and the second signal."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.clients import forsaken
from tests.support.command_line import run_cli, status
from tests.support.daemons import Daemon, start_master, wait_until

from manyhands import Client, current_task


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    master, address = start_master("--reconnect-timeout", "5")
    with master:
        yield address


def trace(folder: str, index: int, end: str = "begun") -> tuple[int, int]:
    """Note who runs it, and when it ends; returns the agent's process and the attempt.

    It ends when there is a file of the name `end`: at once, by default.
    """
    task = current_task()
    assert task is not None
    with Path(folder, "begun").open("a") as file:
        file.write(f"{index}\n")
    while not Path(folder, end).exists():
        time.sleep(0.01)
    with Path(folder, "ended").open("a") as file:
        file.write(f"{index}\n")
    return os.getppid(), task.attempt


def count(path: Path) -> Counter[int]:
    return Counter(map(int, path.read_text().split())) if path.exists() else Counter()


def worker(address: str, name: str, *arguments: str) -> Daemon:
    return Daemon("worker", address, "--name", name, "--slots", "2", *arguments)


def test_a_worker_finishes_what_runs_and_hands_back_the_rest(address: str, tmp_path: Path) -> None:
    with worker(address, "leaving") as leaving, Client(address) as client:
        client.wait_for_workers(1, timeout=20)
        agent = leaving.process.pid
        client.submit(trace, str(tmp_path), 99).result(20)
        slow = [client.submit(trace, str(tmp_path), index, "end") for index in range(2)]
        wait_until(lambda: len(count(tmp_path / "begun")) == 3, what="both slots are at work")
        quick = [client.submit(trace, str(tmp_path), index) for index in range(2, 40)]
        leaving.kill(signal.SIGTERM)
        leaving.wait_for("manyhands: finishing 2 running tasks, for 30 s at most; press Ctrl-C again, or send SIGTERM")
        (shown,) = status(address)["workers"]
        assert (shown["name"], shown["draining"]) == ("leaving", True)
        assert "leaving (draining)" in run_cli("status", address)[1]
        with worker(address, "staying"):
            (tmp_path / "end").touch()
            assert all(future.result(20) == (agent, 0) for future in slow)
            assert {attempt for _, attempt in (future.result(20) for future in quick)} == {0}
            assert agent not in {place for place, _ in (future.result(20) for future in quick)}
            assert leaving.wait() == 0
            assert max(count(tmp_path / "begun").values()) == 1, "nothing ran twice"


def test_what_does_not_finish_in_time_runs_elsewhere_and_is_not_charged(address: str, tmp_path: Path) -> None:
    with worker(address, "leaving", "--drain-timeout", "0.5") as leaving, Client(address) as client:
        futures = [client.submit(trace, str(tmp_path), index, "end") for index in range(2)]
        wait_until(lambda: len(count(tmp_path / "begun")) == 2, what="both slots are at work")
        began = time.monotonic()
        leaving.kill(signal.SIGTERM)
        assert leaving.wait() == 0
        assert 0.5 < time.monotonic() - began < 2
        (tmp_path / "end").touch()
        with worker(address, "staying") as staying:
            assert [future.result(20) for future in futures] == [(staying.process.pid, 0)] * 2


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)], ids=lambda value: getattr(value, "name", "")
)
def test_the_second_signal_stops_a_worker_at_once(
    address: str, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    with worker(address, "leaving") as leaving, Client(address) as client:
        futures = [client.submit(trace, str(tmp_path), index, "end") for index in range(2)]
        wait_until(lambda: len(count(tmp_path / "begun")) == 2, what="both slots are at work")
        leaving.kill(number)
        leaving.wait_for("finishing 2 running tasks")
        began = time.monotonic()
        leaving.kill(number)
        assert leaving.wait() == code
        assert time.monotonic() - began < 1
        # It said goodbye: nobody waits for it to come back.
        assert not status(address)["workers"]
        (tmp_path / "end").touch()
        with worker(address, "staying") as staying:
            assert [future.result(20) for future in futures] == [(staying.process.pid, 0)] * 2


def test_a_master_lets_running_tasks_report(tmp_path: Path) -> None:
    master, address = start_master()
    with master, worker(address, "w"), forsaken(address) as client:
        running = [client.submit(trace, str(tmp_path), index, "end") for index in range(2)]
        queued = [client.submit(trace, str(tmp_path), index) for index in range(2, 300)]
        wait_until(lambda: len(count(tmp_path / "begun")) == 2, what="both slots are at work")
        master.kill(signal.SIGINT)
        master.wait_for("manyhands: finishing 2 running tasks")
        (tmp_path / "end").touch()
        assert [future.result(20)[1] for future in running] == [0, 0]
        assert master.wait() == 130
        assert count(tmp_path / "begun").keys() == {0, 1}, "nothing else was started"
        assert not any(future.done() for future in queued)


def test_the_second_signal_stops_a_master_at_once(tmp_path: Path) -> None:
    master, address = start_master()
    with master, worker(address, "w", "--drain-timeout", "0"), forsaken(address) as client:
        client.submit(trace, str(tmp_path), 0, "end")
        wait_until(lambda: count(tmp_path / "begun"), what="the task runs")
        master.kill(signal.SIGTERM)
        master.wait_for("finishing 1 running task, for 30 s at most")
        began = time.monotonic()
        master.kill(signal.SIGTERM)
        assert master.wait() == 0
        assert time.monotonic() - began < 2


def test_a_local_cluster_drains(tmp_path: Path) -> None:
    with Daemon("local", "--port", "0", "--slots", "2") as local:
        address = local.wait_for(r"serves at (\S+)")[1]
        with forsaken(address) as client:
            future = client.submit(trace, str(tmp_path), 0, "end")
            wait_until(lambda: count(tmp_path / "begun"), what="the task runs")
            local.kill(signal.SIGTERM)
            local.wait_for("finishing 1 running task")
            (tmp_path / "end").touch()
            assert future.result(20) == (local.process.pid, 0)
            assert local.wait() == 0
