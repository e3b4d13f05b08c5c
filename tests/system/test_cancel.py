"""Cancelling, in real slots: whatever state a task is in, its future is cancelled at once and its slot is free soon."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import pytest
from tests.support.daemons import Daemon, wait_until
from tests.support.scripts import start

from manyhands import AsyncClient, Client
from manyhands.errors import TaskInterrupted, TaskTimeout
from manyhands.worker.stopping import STOP_GRACE

#: Seconds until a slot is free whose task heeds the interrupt, on a busy machine; without it tasks take a minute.
SOON = 5.0


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with (
        Daemon("local", "--port", "0", "--slots", "1") as daemon,
        Client(daemon.wait_for(r"serves at (\S+)")[1]) as client,
    ):
        yield client


def pid_when_free(client: Client) -> int:
    return client.submit(os.getpid).result(STOP_GRACE + 2 * SOON)


def idle(path: Path, ended: str = "cleaned up") -> None:
    """Says that it has begun, and how it ends."""
    path.write_text("begun")
    try:
        time.sleep(60)
    except TaskInterrupted:
        path.write_text("interrupted")
        raise
    finally:
        if path.read_text() == "interrupted":
            path.write_text(ended)


def hold_the_lock(path: Path) -> None:
    """Spin in C with the interpreter's lock: nothing else in this process can run for minutes."""
    path.write_text("begun")
    max(itertools.repeat(0, 1 << 36))


def swallow(path: Path) -> None:
    path.write_text("begun")
    for _ in range(60):
        try:
            time.sleep(1)
        except BaseException:
            path.write_text("swallowed")


def wait_for_child(path: Path) -> None:
    code = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text('begun'); time.sleep(60)"
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


async def await_long(path: Path) -> None:
    path.write_text("begun")
    try:
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0.01)
        path.write_text("cleaned up")


def begins(path: Path) -> None:
    wait_until(path.exists, what="the task has begun")


@pytest.mark.parametrize("function", [idle, await_long])
def test_running_and_polite(client: Client, tmp_path: Path, function: Callable[[Path], object]) -> None:
    pid, path = pid_when_free(client), tmp_path / "story"
    future = client.submit(function, path)
    begins(path)
    assert future.cancel()
    assert future.cancelled()
    with pytest.raises(CancelledError):
        future.result(0)
    assert pid_when_free(client) == pid, "the process lives on"
    assert path.read_text() == "cleaned up"


@pytest.mark.parametrize(("function", "story"), [(hold_the_lock, "begun"), (swallow, "swallowed")])
def test_running_and_deaf(client: Client, tmp_path: Path, function: Callable[[Path], object], story: str) -> None:
    pid, path = pid_when_free(client), tmp_path / "story"
    future = client.submit(function, path)
    begins(path)
    began = time.monotonic()
    assert future.cancel()
    assert future.cancelled()
    assert pid_when_free(client) != pid, "it was killed"
    assert time.monotonic() - began > STOP_GRACE * 0.9
    assert path.read_text() == story


def test_a_child_process_ends_with_its_task(client: Client, tmp_path: Path) -> None:
    pid, path = pid_when_free(client), tmp_path / "story"
    future = client.submit(wait_for_child, path)
    begins(path)
    children = Path(f"/proc/{pid}/task/{pid}/children")
    assert children.read_text()
    assert future.cancel()
    assert pid_when_free(client) == pid
    assert not children.read_text()


def test_queued_behind_a_running_one(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "story"
    first = client.submit(idle, path)
    begins(path)
    others = [client.submit((tmp_path / str(n)).write_text, "ran") for n in range(50)]
    assert all(future.cancel() for future in others[::2])
    assert first.cancel()
    assert [future.result(20) for future in others[1::2]] == [3] * 25
    assert sorted(int(each.name) for each in tmp_path.glob("[0-9]*")) == list(range(1, 50, 2))


def test_many_short_ones_in_the_midst_of_them(client: Client) -> None:
    """Each is queued, sent ahead, running, or finished and unreported when its cancel comes; none is ever lost."""
    for _ in range(5):
        futures = [client.submit(time.sleep, 0.0005) for _ in range(600)]
        futures[50].result(20)
        cancelled = [future.cancel() for future in futures[::-1]][::-1]
        assert all(future.cancelled() == yes for future, yes in zip(futures, cancelled, strict=True))
        assert any(cancelled)
        assert client.submit(abs, -1).result(20) == 1


def test_the_next_task_is_not_hit(client: Client) -> None:
    """The interrupt for a task that has just ended is not raised in the one behind it."""
    for n in range(300):
        meant = client.submit(time.sleep, 0.0002 * (n % 7))
        after = client.submit(sum, range(1000))
        meant.cancel()
        assert after.result(20) == 499_500


def test_finished_is_too_late(client: Client) -> None:
    future = client.submit(abs, -3)
    assert future.result(20) == 3
    assert not future.cancel()


def test_a_map_that_is_closed(client: Client, tmp_path: Path) -> None:
    def run(n: int) -> int:
        if n:
            idle(tmp_path / str(n))
        return n

    pid = pid_when_free(client)
    results = client.map(run, range(3))
    assert next(results) == 0
    begins(tmp_path / "1")
    results.close()
    assert pid_when_free(client) == pid
    assert (tmp_path / "1").read_text() == "cleaned up"
    assert not (tmp_path / "2").exists()


def test_a_client_that_leaves(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "story"
    with Client(client.address) as other:
        future = other.submit(idle, path)
        begins(path)
        future.cancel()
    assert pid_when_free(client)
    assert path.read_text() == "cleaned up"


def test_shutdown_spares_the_running(client: Client, tmp_path: Path) -> None:
    def nap(path: Path) -> str:
        path.write_text("begun")
        time.sleep(1.0)
        return "rested"

    with Client(client.address) as other:
        running = other.submit(nap, tmp_path / "a")
        begins(tmp_path / "a")
        pending = other.submit(nap, tmp_path / "b")
        other.shutdown(cancel_futures=True)
    assert running.result(0) == "rested"
    assert pending.cancelled()


def test_a_timeout_is_polite_first(client: Client, tmp_path: Path) -> None:
    pid, path = pid_when_free(client), tmp_path / "story"
    with pytest.raises(TaskTimeout):
        client.with_options(timeout=0.3).submit(idle, path).result(20)
    assert pid_when_free(client) == pid
    assert path.read_text() == "cleaned up"


def test_an_error_while_cleaning_up_is_no_other_outcome(client: Client) -> None:
    def stumble() -> None:
        try:
            time.sleep(60)
        finally:
            raise ValueError("in the cleanup")

    with pytest.raises(TaskTimeout):
        client.with_options(timeout=0.2).submit(stumble).result(20)


def test_from_asyncio(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "story"

    async def main() -> None:
        async with AsyncClient(client.address) as asynchronous:
            future = asynchronous.submit(idle, path)
            await asyncio.to_thread(begins, path)
            future.cancel()
            assert await asyncio.wait_for(asynchronous.submit(abs, -2), 20) == 2

    asyncio.run(main())
    assert path.read_text() == "cleaned up"


CTRL_C = """
    import pathlib, time
    from manyhands import Client

    def idle(path):
        pathlib.Path(path).write_text("begun")
        time.sleep(60)

    with Client(slots=1) as client:
        client.submit(idle, "story").result()
"""


def test_ctrl_c_stops_what_runs(tmp_path: Path) -> None:
    path = tmp_path / "story"
    script = start(tmp_path, CTRL_C)
    begins(path)
    began = time.monotonic()
    script.send_signal(signal.SIGINT)
    script.communicate(timeout=30)
    assert script.returncode != 0
    assert time.monotonic() - began < 20, "it did not wait for the task's end"
