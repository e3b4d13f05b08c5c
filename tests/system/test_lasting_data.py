"""Data that their client has let go of, and tasks still need: they last, whoever is restarted or on another host."""

from __future__ import annotations

import gc
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.support.command_line import status
from tests.support.daemons import Daemon, start_master, wait_until
from tests.support.elsewhere import ELSEWHERE, skip_unless_possible, worker_elsewhere
from tests.support.restarted import Cluster

from manyhands import Client, Ref
from manyhands.errors import DataLost, SessionLost
from manyhands.wire.host_store import HostStore

COUNT = 2_000_000


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    skip_unless_possible()
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.stop()


def add(array: np.ndarray, number: int) -> float:
    return float(array.sum()) + number


def test_what_open_tasks_need_outlives_the_master(cluster: Cluster) -> None:
    """Also what nobody but they refers to: put on the way, or an array that was changed since."""
    with Client(cluster.address) as client:
        array = np.zeros(COUNT)
        futures = [client.submit(add, client.put(np.full(COUNT, fill)), 0) for fill in (1.0, 2.0)]
        for number in range(3):
            array[number] = 1.0
            futures.append(client.submit(add, array, 100))
        del array
        gc.collect()
        wait_until(lambda: sum(job["queued"] for job in status(cluster.address)["jobs"]) == len(futures))
        wait_until(lambda: not client._connection.data._held)
        time.sleep(0.5)  # until the master has heard of that, too
        cluster.restart()
        cluster.workers.append(worker_elsewhere(cluster.address))
        assert [future.result(timeout=30) for future in futures] == [COUNT, 2 * COUNT, 101, 102, 103]


ELSEWHERE_CLIENT = """
import sys, time
from pathlib import Path
import numpy as np
from manyhands import Client

COUNT = 2_000_000

def add(array, number):
    return float(array.sum()) + number

def stored():
    return [path.name for path in Path("/dev/shm").rglob("*") if len(path.name) == 32]

with Client(sys.argv[1]) as client:
    futures = [client.submit(add, client.put(np.full(COUNT, fill)), 1) for fill in (1.0, 2.0, 3.0)]
    assert [future.result(timeout=30) for future in futures] == [COUNT + 1, 2 * COUNT + 1, 3 * COUNT + 1]
    deadline = time.monotonic() + 10
    while stored():
        assert time.monotonic() < deadline, f"nobody needs them, and they are here still: {stored()}"
        time.sleep(0.01)
    refs = [client.put(np.full(10 * COUNT, fill)) for fill in (4.0, 5.0)]
    client.map(add, refs, range(2), detach=True, name="left behind")
"""


def test_what_a_client_on_another_host_puts_on_the_way(cluster: Cluster) -> None:
    """It has it alone for a while, and must not let go of it before the master has it; then it must."""
    cluster.workers.append(worker_elsewhere(cluster.address))
    done = subprocess.run(
        [*ELSEWHERE, sys.executable, "-c", ELSEWHERE_CLIENT, cluster.address],
        capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert not done.returncode, done.stderr
    cluster.restart()
    with Client(cluster.address) as client:
        assert list(client.job("left behind").results(timeout=30)) == [40 * COUNT, 50 * COUNT + 1]


def ones_slowly(_: int) -> np.ndarray:
    time.sleep(0.3)
    return np.ones(COUNT)


def is_served(client: Client) -> bool:
    try:
        return client.submit(abs, -1).result(timeout=30) == 1
    except SessionLost:
        return False


def test_what_a_master_that_forgot_everything_has_never_heard_of() -> None:
    """Refs of a session that is over: their data are put again by who has them, or lost. Nobody waits for them."""
    skip_unless_possible()
    master, address = start_master("--no-journal")
    here, elsewhere = Daemon("worker", address, "--slots", "1"), worker_elsewhere(address)
    try:
        with Client(address) as client:
            client.wait_for_workers(2, timeout=20)
            keeping = client.with_options(keep_results=True)
            given = client.put(np.ones(COUNT))
            refs: list[Ref[np.ndarray]] = list(keeping.map(ones_slowly, range(6)))
            near = [ref for ref in refs if client._connection.data._is_here(ref.id)]
            far = [ref for ref in refs if ref not in near]
            assert near
            assert far, "both workers have had a part"
            master.kill()
            master.stop()
            master = Daemon("master", "--port", address.rpartition(":")[2], "--no-journal")
            wait_until(lambda: is_served(client))
            for ref in (given, *near):
                assert client.submit(add, ref, 0).result(timeout=30) == COUNT
            for ref in far:
                with pytest.raises(DataLost, match="does not have the datum"):
                    client.submit(add, ref, 0).result(timeout=30)
            assert is_served(client)
    finally:
        for daemon in (here, elsewhere, master):
            daemon.stop()


def test_a_client_without_a_place_for_data_waits_for_none_of_a_session_that_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_place(*_: object, **__: object) -> HostStore:
        raise OSError("there is no shared memory")

    monkeypatch.setattr(HostStore, "join", no_place)
    master, address = start_master("--no-journal")
    with Daemon("worker", address, "--slots", "1"), Client(address) as client:
        ref: Ref[np.ndarray] = client.with_options(keep_results=True).submit(np.ones, COUNT).result(timeout=20)
        assert client.submit(add, ref, 1).result(timeout=20) == COUNT + 1
        master.kill()
        master.stop()
        with Daemon("master", "--port", address.rpartition(":")[2], "--no-journal"):
            wait_until(lambda: is_served(client))
            with pytest.raises(DataLost, match="does not have the datum"):
                client.submit(add, ref, 0).result(timeout=30)
            assert is_served(client)


LEAVING_CLIENT = """
import sys, time
import numpy as np
from manyhands import Client

def slow(array):
    time.sleep(3)
    return float(array.sum())

client = Client(sys.argv[1])
ref = client.with_options(keep_results=True).submit(np.ones, 1_000_000).result(timeout=20)
futures = [client.submit(slow, ref) for _ in range(10)]
time.sleep(1)
print("they run", flush=True)
time.sleep(100)
"""


def test_tasks_whose_data_nobody_brings_back_are_in_nobody_s_way(cluster: Cluster) -> None:
    """Their client, the host with their data, and what the master knew of how to make them are all gone."""
    cluster.workers.append(worker_elsewhere(cluster.address))
    leaving = subprocess.Popen(
        [*ELSEWHERE, sys.executable, "-c", LEAVING_CLIENT, cluster.address], stdout=subprocess.PIPE, text=True
    )
    assert leaving.stdout is not None
    assert leaving.stdout.readline() == "they run\n"
    leaving.kill()
    leaving.wait()
    leaving.stdout.close()
    cluster.workers[0].kill()
    cluster.restart()
    cluster.workers.append(worker_elsewhere(cluster.address))
    with Client(cluster.address) as client:
        assert client.submit(abs, -1).result(timeout=30) == 1
