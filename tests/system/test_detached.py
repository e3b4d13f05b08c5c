"""Detached jobs: they outlive their client and their master, and are found by name."""

import asyncio
import concurrent.futures
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.daemons import Daemon, start_master, wait_until

from manyhands import AsyncClient, Client
from manyhands.errors import ClusterError, JobNameTaken, SessionLost, TaskTimeout, UnknownJob


@pytest.fixture
def master(tmp_path: Path) -> Iterator[tuple[Daemon, str]]:
    master, address = start_master("--data-dir", str(tmp_path / "state"))
    with master:
        yield master, address


def worker(address: str) -> Daemon:
    return Daemon("worker", address, "--name", "w", "--slots", "2")


NIGHT_RUN = """
import dataclasses, sys
from manyhands import Client

@dataclasses.dataclass
class Point:
    x: int
    y: int

def point(x):
    if x == 7:
        raise ValueError(f"no point {x}")
    return Point(x, x * x)

client = Client(sys.argv[1])
job = client.map(point, (x for x in range(500)), detach=True, name="night-run")
print(job.name)
sys.stdout.flush()
import os
os._exit(0)
"""


def test_results_are_read_by_another_process_after_the_client_and_the_master_died(
    master: tuple[Daemon, str], tmp_path: Path
) -> None:
    first, address = master
    command = [sys.executable, "-P", "-c", textwrap.dedent(NIGHT_RUN), address]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert said.stdout == "night-run\n", said.stderr
    with Client(address) as client:
        job = client.job("night-run")
        assert job.progress() == (500, 0, 0, False)
        with pytest.raises(TimeoutError):
            job.wait(timeout=0.2)
        with worker(address):
            assert job.wait(timeout=30) == (500, 499, 1, True)
            assert job.progress().done == 500
            points = job.results()
            assert [(point.x, point.y) for point in (next(points) for _ in range(7))] == [(x, x * x) for x in range(7)]
            with pytest.raises(ValueError, match="no point 7"):
                next(points)
    first.kill()
    first.stop()
    port = address.rpartition(":")[2]
    with Daemon("master", "--port", port, "--data-dir", str(tmp_path / "state")) as again:
        again.wait_for("serves at")
        with Client(address) as client:
            outcomes = list(client.job("night-run").results(return_exceptions=True))
            assert [outcome.y for outcome in outcomes if not isinstance(outcome, Exception)] == [
                x * x for x in range(500) if x != 7
            ]
            client.job("night-run").cancel()
            with pytest.raises(UnknownJob, match="there is no detached job 'night-run'; no others are there either"):
                client.job("night-run")


def test_results_come_while_the_job_runs_and_across_a_restart_of_the_master(
    master: tuple[Daemon, str], tmp_path: Path
) -> None:
    first, address = master

    def slow(x: int) -> int:
        time.sleep(0.01)
        return x + 1

    with worker(address), Client(address) as client:
        job = client.map_unordered(slow, range(400), detach=True, name="slow")
        results = job.results(timeout=60)
        assert next(results) == 1
        first.kill()
        first.stop()
        port = address.rpartition(":")[2]
        with Daemon("master", "--port", port, "--data-dir", str(tmp_path / "state")) as again:
            again.wait_for("serves at")
            assert list(results) == list(range(2, 401))
            assert job.wait(timeout=20).finished
            job.cancel()


def test_a_name_is_taken_once_and_free_again_after_cancel(master: tuple[Daemon, str]) -> None:
    _, address = master
    with Client(address) as client:
        job = client.map(abs, range(10), detach=True, name="twice")
        with pytest.raises(JobNameTaken, match="there is a detached job 'twice' already"):
            client.map(abs, range(10), detach=True, name="twice")
        with pytest.raises(ValueError, match="give it one, with name="):
            client.map(abs, range(10), detach=True)
        results = job.results()
        job.cancel()
        with pytest.raises(concurrent.futures.CancelledError):
            next(results)
        with pytest.raises(UnknownJob):
            job.progress()
        with pytest.raises(UnknownJob):
            job.results()
        inputs = (time.sleep(0.3 * (n == 40)) or n for n in range(50))
        hasty = client.with_options(queue_timeout=0.2).map(abs, inputs, detach=True, name="hasty")
        assert hasty.wait(timeout=20) == (50, 0, 50, True)
        assert [type(each) for each in hasty.results(20, return_exceptions=True)] == [TaskTimeout] * 50
        again = client.map(abs, range(10), detach=True, name="twice")
        assert again.progress().total == 10
        assert client.submit(abs, -1) is not None
        with worker(address):
            assert list(again.results(timeout=20)) == list(range(10))


def test_large_results_come_as_fast_as_they_are_read(master: tuple[Daemon, str]) -> None:
    _, address = master
    with worker(address), Client(address) as client:
        job = client.map(bytes, [400_000] * 100, detach=True, name="large")
        job.wait(timeout=60)
        results = job.results()
        assert len(next(results)) == 400_000
        time.sleep(0.5)  # a reader that is slow holds nobody up
        assert sum(map(len, results)) == 99 * 400_000


def test_a_client_that_dies_before_it_is_through_leaves_nothing(master: tuple[Daemon, str]) -> None:
    _, address = master

    def inputs() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    with Client(address) as client:
        with pytest.raises(OSError, match="the disk is gone"):
            client.map(abs, inputs(), detach=True, name="half")
        with pytest.raises(UnknownJob):
            wait_until(lambda: client.job("half") is None)


def test_a_master_without_a_journal_says_so() -> None:
    master, address = start_master()
    with master, Client(address) as client:
        with pytest.raises(ClusterError, match="start it with --data-dir"):
            client.map(abs, range(10), detach=True, name="lost")
        with pytest.raises(UnknownJob, match="keeps no journal"):
            client.job("lost")


def test_from_an_event_loop(master: tuple[Daemon, str]) -> None:
    _, address = master

    def inputs() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    async def main() -> None:
        async with AsyncClient(address) as client:
            job = await client.map(abs, (-n for n in range(50_000)), detach=True, name="night-run")
            assert await job.progress() == (50_000, 0, 0, False)
            with pytest.raises(TimeoutError, match=r"'night-run' has not ended after 0\.1 s"):
                await job.wait(timeout=0.1)
            waiting = asyncio.create_task(job.wait())
            await asyncio.sleep(0.1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            with pytest.raises(JobNameTaken, match="'night-run' already"):
                await client.map_unordered(abs, [1], detach=True, name="night-run")
            with pytest.raises(OSError, match="the disk is gone"):
                await client.map_unordered(abs, inputs(), detach=True, name="half")
            with pytest.raises(UnknownJob):
                while True:
                    await client.job("half")
            waiting = client.submit(abs, -1)
            reading = asyncio.create_task(anext(job.results()))
            await asyncio.sleep(0.2)
            await client.shutdown(cancel_futures=True)  # which is none of its business
            with pytest.raises(SessionLost, match="shut down"):
                await reading
            assert waiting.cancelled()
        async with AsyncClient(address) as client:  # another one
            job = await client.job("night-run")
            with worker(address):
                assert (await job.wait(timeout=30)).finished
                for _ in range(2):
                    assert [n async for n in job.results()] == list(range(50_000))
            await job.cancel()
            with pytest.raises(UnknownJob):
                await job.progress()
            with pytest.raises(UnknownJob):
                await anext(job.results())

    asyncio.run(asyncio.wait_for(main(), 50))
