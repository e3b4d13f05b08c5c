"""Whole clusters of real processes: joins, losses, crashes, fairness; what users do and what befalls them."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.daemons import Daemon, start_master, wait_until

from manyhands import Client
from manyhands.client import cluster as cluster_module
from manyhands.errors import TaskCrashed


@pytest.fixture(params=["unix", "tcp"])
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """A master's, which its processes reach as on one machine, or as from other hosts."""
    master, address = start_master(*(["--tcp-only"] if request.param == "tcp" else []))
    with master:
        yield address


def worker(address: str, name: str, slots: int = 2) -> Daemon:
    return Daemon("worker", address, "--name", name, "--slots", str(slots))


@pytest.fixture(scope="module")
def shared() -> Iterator[str]:
    """The address of a master with one worker of two slots, for what hurts neither."""
    master, address = start_master()
    with master, worker(address, "w"):
        yield address


@pytest.fixture
def client(shared: str) -> Iterator[Client]:
    with Client(shared) as client:
        client.wait_for_workers(1, timeout=20)
        yield client


def log_run(folder: str, index: int) -> int:
    """Leave a trace for each run: one appended line, which concurrent writers do not tear."""
    with Path(folder, "runs").open("a") as file:
        file.write(f"{index}\n")
    time.sleep(0.01)
    return index * index


def runs(folder: Path) -> Counter[int]:
    path = folder / "runs"
    return Counter(int(line) for line in path.read_text().split()) if path.exists() else Counter()


def test_killed_worker_loses_nothing_and_finished_tasks_do_not_run_again(address: str, tmp_path: Path) -> None:
    with worker(address, "doomed") as doomed, worker(address, "steady"), Client(address) as client:
        client.wait_for_workers(2, timeout=20)
        results = client.map(log_run, [str(tmp_path)] * 400, range(400))
        first = [next(results) for _ in range(100)]
        doomed.kill()
        assert first + list(results) == [index * index for index in range(400)]
        counts = runs(tmp_path)
        assert set(counts) == set(range(400))
        again = {index for index, count in counts.items() if count > 1}
        # Only what the lost worker ran, or had finished without having reported it, may have run twice.
        assert len(again) <= 20, again
        assert not again & set(range(60))


def test_worker_that_joins_in_the_middle_gets_work() -> None:
    def who(_: int) -> int:
        time.sleep(0.02)
        return os.getppid()

    master, address = start_master()
    with master, worker(address, "early", slots=1), Client(address) as client:
        client.wait_for_workers(1, timeout=20)
        results = client.map(who, range(300))
        first = next(results)
        with worker(address, "late", slots=2):
            agents = Counter(results)
            assert len(agents) == 2
            assert agents[first] < 200, agents


def test_client_waits_for_a_worker_and_names_the_command(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "NO_WORKER_DELAY", 0.2)
    master, address = start_master()
    with master, Client(address) as client:
        future = client.submit(pow, 2, 10)
        wait_until(lambda: f"manyhands worker {address}" in caplog.text, what="the warning")
        assert not future.done()
        with worker(address, "late"):
            assert future.result(timeout=20) == 1024


def test_crash_is_charged_to_the_task_that_ran(client: Client) -> None:
    def sometimes(index: int) -> int:
        if index == 7:
            os.kill(os.getpid(), signal.SIGSEGV)
        return index

    futures = [client.submit(sometimes, index) for index in range(20)]
    with pytest.raises(TaskCrashed, match="SIGSEGV"):
        futures[7].result(timeout=50)
    assert [future.result(timeout=20) for index, future in enumerate(futures) if index != 7] == [
        index for index in range(20) if index != 7
    ]


def test_small_job_does_not_wait_behind_a_large_one(client: Client, shared: str) -> None:
    def spin(_: int) -> None:
        end = time.perf_counter() + 0.001
        while time.perf_counter() < end:
            pass

    with Client(shared) as other:
        large = client.map(spin, range(200_000))
        next(large)
        for submitter in (client, other):
            assert list(submitter.map(abs, range(-10, 0))) == list(range(10, 0, -1))
        large.close()


def test_higher_priority_goes_first(client: Client) -> None:
    def stamp(_: int) -> float:
        time.sleep(0.01)
        return time.monotonic()

    low = client.map(stamp, range(100))
    next(low)
    high = client.with_options(priority=5).map(stamp, range(30))
    last_high = max(high)
    assert sum(done < last_high for done in low) < 60


def test_max_parallel(client: Client, tmp_path: Path) -> None:
    def overlap(index: int) -> int:
        mine = tmp_path / f"running-{index}"
        mine.touch()
        seen = len(list(tmp_path.glob("running-*")))
        time.sleep(0.02)
        mine.unlink()
        return seen

    assert max(client.with_options(max_parallel=1).map(overlap, range(30))) == 1


def test_retries_with_backoff_and_attempt_numbers(client: Client, tmp_path: Path) -> None:
    def fails_twice(name: str) -> int:
        path = tmp_path / name
        path.open("a").write("x")
        if path.stat().st_size < 3:
            raise OSError(name)
        return path.stat().st_size

    patient = client.with_options(retries=2, retry_delay=0.05)
    assert patient.submit(fails_twice, "a").result(timeout=20) == 3
    choosy = client.with_options(retries=2, retry_delay=0.05, retry_on=(ValueError,))
    with pytest.raises(OSError, match="b"):
        choosy.submit(fails_twice, "b").result(timeout=20)
    assert (tmp_path / "b").stat().st_size == 1


def test_two_clients_share_equally(client: Client, shared: str) -> None:
    def stamp(_: int) -> float:
        time.sleep(0.005)
        return time.monotonic()

    with Client(shared) as other:
        mine = client.map(stamp, range(400))
        next(mine)
        # Many jobs of one client must not crowd out another client's single one.
        theirs = [other.map(stamp, range(100)) for _ in range(4)]
        ends = [max(results) for results in theirs]
        done_by_then = sum(stamp < max(ends) for stamp in mine)
        assert 250 < done_by_then <= 400


def test_stopped_worker_hands_its_work_over(address: str, tmp_path: Path) -> None:
    with worker(address, "leaving") as leaving, worker(address, "staying"), Client(address) as client:
        client.wait_for_workers(2, timeout=20)
        results = client.map(log_run, [str(tmp_path)] * 200, range(200))
        next(results)
        leaving.kill(signal.SIGTERM)
        assert list(results) == [index * index for index in range(1, 200)]
        wait_until(lambda: leaving.process.poll() is not None)


FORKING = """
import os, sys, threading
from manyhands import Client

with Client(sys.argv[1]) as client:
    done = threading.Event()

    def ask():
        while not done.is_set():
            client.submit(abs, -1).result()

    asking = threading.Thread(target=ask)
    asking.start()
    for number in range(200):
        child = os.fork()
        if child == 0:
            os._exit(0)
        assert os.waitpid(child, 0) == (child, 0), number
    done.set()
    asking.join()
    print(client.submit(pow, 2, 10).result())
"""


def test_a_client_over_grpc_may_fork_while_it_talks(address: str) -> None:
    """gRPC's own handlers of forks would hang it, or abort the children, every few hundred times."""
    with worker(address, "steady"):
        ended = subprocess.run(
            [sys.executable, "-P", "-c", FORKING, address], capture_output=True, text=True, timeout=40, check=False
        )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "1024\n", "")
