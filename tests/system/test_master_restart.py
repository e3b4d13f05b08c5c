"""The master dies with -9 and is started again on its journal: work goes on as if nothing had been."""

import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from tests.support.daemons import Daemon, start_master, wait_until

from manyhands import Client

TABLES = ("clients", "jobs", "blocks", "done", "outcomes", "tries", "inbox", "fragments", "data")


class Cluster:
    """A master that can be killed and comes back at its address, with the same journal, and two workers."""

    def __init__(self, folder: Path, *, tcp_only: bool) -> None:
        self._arguments = ["--data-dir", str(folder / "state"), *(["--tcp-only"] if tcp_only else [])]
        self.journal = folder / "state" / "journal.sqlite"
        self.master, self.address = start_master(*self._arguments)
        self.workers = [Daemon("worker", self.address, "--name", name, "--slots", "1") for name in ("a", "b")]

    def kill(self) -> None:
        self.master.kill()
        self.master.stop()

    def start(self) -> None:
        port = self.address.rpartition(":")[2]
        self.master = Daemon("master", "--port", port, *self._arguments)
        self.master.wait_for(r"serves at (\S+)")

    def rows(self) -> dict[str, int]:
        """What the journal holds, by table."""
        db = sqlite3.connect(f"file:{self.journal}?mode=ro", uri=True)
        try:
            return {table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES}
        finally:
            db.close()


@pytest.fixture
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    """Its parameter: "tcp", or "unix", which is the default."""
    cluster = Cluster(tmp_path, tcp_only=getattr(request, "param", "unix") == "tcp")
    with ExitStack() as stack:
        for worker in cluster.workers:
            stack.enter_context(worker)
        stack.callback(lambda: cluster.master.stop())  # noqa: PLW0108 - the last one
        yield cluster


def log_run(folder: str, index: int) -> int:
    """Leave a trace for each run."""
    with Path(folder, "runs").open("a") as file:
        file.write(f"{index}\n")
    time.sleep(0.005)
    return index * index


def wait_for(path: str) -> None:
    while not Path(path).exists():
        time.sleep(0.01)


def runs(folder: Path) -> Counter[int]:
    path = folder / "runs"
    return Counter(int(line) for line in path.read_text().split()) if path.exists() else Counter()


@pytest.mark.parametrize("cluster", ["unix", "tcp"], indirect=True)
def test_results_simply_come_and_nothing_runs_twice(cluster: Cluster, tmp_path: Path) -> None:
    with Client(cluster.address) as client:
        client.wait_for_workers(2, timeout=20)
        futures = [client.submit(log_run, str(tmp_path), index) for index in range(300)]
        results = client.map(log_run, [str(tmp_path)] * 300, range(300, 600))
        wait_until(lambda: len(runs(tmp_path)) > 50)
        cluster.kill()
        time.sleep(0.3)
        cluster.start()
        wait_until(lambda: len(runs(tmp_path)) > 200)
        cluster.kill()
        cluster.start()
        assert [future.result(timeout=60) for future in futures] == [index * index for index in range(300)]
        assert list(results) == [index * index for index in range(300, 600)]
        counts = runs(tmp_path)
        assert set(counts) == set(range(600))
        # Workers kept what they ran and what they had finished.
        assert not {index: count for index, count in counts.items() if count > 1}
    wait_until(lambda: not any(cluster.rows().values()), what="an empty journal")


def test_a_master_that_dies_again_and_again(cluster: Cluster, tmp_path: Path) -> None:
    """At any moment: while it recovers, while it takes work in, while clients read."""
    ended = threading.Event()
    rng = random.Random(7)

    def kill_now_and_then() -> None:
        for _ in range(5):
            if ended.wait(rng.uniform(0.05, 0.9)):
                return
            cluster.kill()
            time.sleep(rng.uniform(0.0, 0.3))
            cluster.start()

    with Client(cluster.address) as client:
        client.wait_for_workers(2, timeout=20)
        monkey = threading.Thread(target=kill_now_and_then)
        monkey.start()
        try:
            while monkey.is_alive():
                big = client.submit(bytes, 3_000_000)
                futures = [client.submit(pow, index, 2) for index in range(300)]
                assert list(client.map(str, range(20_000))) == [str(index) for index in range(20_000)]
                assert [future.result(timeout=60) for future in futures] == [index**2 for index in range(300)]
                assert len(big.result(timeout=60)) == 3_000_000
        finally:
            ended.set()
            monkey.join()
    wait_until(lambda: not any(cluster.rows().values()), what="an empty journal")


def test_cancelled_stays_cancelled(cluster: Cluster, tmp_path: Path) -> None:
    with Client(cluster.address) as client:
        client.wait_for_workers(2, timeout=20)
        blockers = [client.submit(wait_for, str(tmp_path / "go on")) for _ in range(2)]
        futures = [client.submit(log_run, str(tmp_path), index) for index in range(50)]
        assert all(future.cancel() for future in futures[:25])
        time.sleep(0.5)  # the cancels are written down
        cluster.kill()
        cluster.start()
        (tmp_path / "go on").touch()
        assert [future.result(timeout=30) for future in futures[25:]] == [index**2 for index in range(25, 50)]
        assert [blocker.result(timeout=30) for blocker in blockers] == [None, None]
        assert set(runs(tmp_path)) == set(range(25, 50))


@pytest.mark.parametrize("cluster", ["tcp"], indirect=True)
def test_data_outlive_the_master(cluster: Cluster, tmp_path: Path) -> None:
    with Client(cluster.address) as client:
        ref, small = client.put(np.arange(200_000.0)), client.put([1, 2, 3])
        kept = client.with_options(keep_results=True).submit(np.ones, 200_000).result(timeout=30)
        assert client.submit(np.sum, ref).result(timeout=30) == 19_999_900_000.0
        files = tmp_path / "state" / "data"
        put = {ref.id.hex(), small.id.hex()}  # what the task has made, too, if its worker had no store yet
        wait_until(lambda: put <= {file.name for file in files.iterdir()})
        cluster.kill()
        futures = [client.submit(sum, small), client.submit(np.sum, ref), client.submit(np.sum, kept)]
        cluster.start()
        assert [future.result(timeout=30) for future in futures] == [6, 19_999_900_000.0, 200_000.0]
        assert (client.get(small), client.get(ref)[7], client.get(kept)[7]) == ([1, 2, 3], 7.0, 1.0)
        del ref, small, kept, futures
        wait_until(lambda: not list(files.iterdir()))
        wait_until(lambda: not cluster.rows()["data"])
