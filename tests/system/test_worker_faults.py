"""Workers that are killed, stopped and come back in the middle of a job: when their tasks run again, and how often."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.support.command_line import run_cli, status
from tests.support.daemons import Daemon, start_master, wait_until

from manyhands import Client, current_task
from manyhands.errors import Refused

#: Seconds, as given to the master.
HEARTBEAT_TIMEOUT = 1.5


@pytest.fixture(scope="module")
def masters() -> Iterator[dict[str, str]]:
    """The addresses of one that its workers reach by a Unix socket, and of one that they reach by TCP."""
    with ExitStack() as stack:
        addresses = {}
        for kind, arguments in {"unix": (), "tcp": ("--tcp-only",)}.items():
            master, addresses[kind] = start_master("--heartbeat-timeout", str(HEARTBEAT_TIMEOUT), *arguments)
            stack.enter_context(master)
        yield addresses


@pytest.fixture
def address(request: pytest.FixtureRequest, masters: dict[str, str]) -> str:
    """Its parameter: "unix", or "tcp", which is the default."""
    return masters[getattr(request, "param", "tcp")]


def worker(address: str, name: str, slots: int = 1) -> Daemon:
    return Daemon("worker", address, "--name", name, "--slots", str(slots), "--drain-timeout", "0")


def step(folder: str, index: int, seconds: float) -> tuple[int, int]:
    """Note the start: where and when; return the index and the agent's process."""
    with Path(folder, "starts").open("a") as file:
        file.write(f"{index} {os.getppid()} {time.monotonic()}\n")
    time.sleep(seconds)
    return index, os.getppid()


def step_unless(folder: str, index: int, agent: int) -> tuple[int, int]:
    """Long on the worker `agent`, and at once elsewhere."""
    return step(folder, index, 60.0 if os.getppid() == agent else 0.0)


def starts(folder: Path) -> list[tuple[int, int, float]]:
    """(index, agent, when), in order."""
    path = folder / "starts"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(index), int(agent), float(when)) for index, agent, when in map(str.split, lines)]


def wait_for_starts(folder: Path, count: int) -> None:
    wait_until(lambda: len(starts(folder)) >= count, what=f"{count} starts")


def names(address: str) -> set[str]:
    return {worker["name"] for worker in status(address)["workers"]}


@pytest.mark.parametrize("address", ["unix", "tcp"], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=lambda number: number.name)
def test_tasks_of_a_lost_worker_run_elsewhere_soon(address: str, number: signal.Signals, tmp_path: Path) -> None:
    """`kill -9`: within 2 s. Stopped: within the heartbeat's timeout."""
    with worker(address, "doomed", 2) as doomed, Client(address) as client:
        futures = [client.submit(step_unless, str(tmp_path), index, doomed.process.pid) for index in range(40)]
        wait_for_starts(tmp_path, 2)
        with worker(address, "steady", 2) as steady:
            futures[-1].result(20)  # others take what it has not started
            running = {index for index, agent, _ in starts(tmp_path) if agent == doomed.process.pid}
            assert len(running) == 2
            began = time.monotonic()
            doomed.kill(number)
            try:
                again = wait_until(
                    lambda: [
                        when
                        for index, agent, when in starts(tmp_path)
                        if index in running and agent == steady.process.pid
                    ],
                    what="they run again",
                )
                assert [future.result(20) for future in futures] == [(index, steady.process.pid) for index in range(40)]
            finally:
                doomed.kill(signal.SIGCONT)
            assert isinstance(again, list)
            print(f"{number.name}: {again[0] - began:.2f} s")
            assert again[0] - began < (2.0 if number == signal.SIGKILL else HEARTBEAT_TIMEOUT + 0.2)


def test_a_stopped_worker_comes_back_as_a_new_one(address: str, tmp_path: Path) -> None:
    """Its tasks have run elsewhere by then: what it reports late does not count again."""
    with worker(address, "sleepy", 2) as sleepy, worker(address, "steady") as steady, Client(address) as client:
        client.wait_for_workers(2, timeout=20)
        results = client.map(step, [str(tmp_path)] * 300, range(300), [0.01] * 300)
        first = next(results)
        sleepy.kill(signal.SIGSTOP)
        wait_until(lambda: names(address) == {"steady"}, what="the stopped worker is given up")
        sleepy.kill(signal.SIGCONT)
        wait_until(lambda: names(address) == {"sleepy", "steady"}, what="it is back")
        done = [first, *results]
        assert [index for index, _ in done] == list(range(300))
        assert {agent for _, agent in done} == {sleepy.process.pid, steady.process.pid}
        assert client.get_stats()["tasks_completed"] == 300


def first_attempt(folder: str, end: str) -> int:
    """Note the start; return which attempt this is, from 0, when there is a file of the name `end`."""
    task = current_task()
    assert task is not None
    step(folder, task.attempt, 0.0)
    while not Path(folder, end).exists():
        time.sleep(0.01)
    return task.attempt


# That others do not begin a second attempt is not promised: it may have been sent to them before the worker came back.


def test_what_a_returning_worker_still_runs_goes_on(address: str, tmp_path: Path) -> None:
    """Although its second attempt is queued by then: the first result counts."""
    with worker(address, "sleepy") as sleepy, Client(address) as client:
        future = client.submit(first_attempt, str(tmp_path), "end")
        wait_for_starts(tmp_path, 1)
        sleepy.kill(signal.SIGSTOP)  # the agent, not its slot
        wait_until(lambda: not names(address), what="the stopped worker is given up")
        sleepy.kill(signal.SIGCONT)
        wait_until(lambda: names(address) == {"sleepy"}, what="it is back")
        assert len(starts(tmp_path)) == 1, "the first attempt still runs"
        (tmp_path / "end").touch()
        assert future.result(20) == 0


def test_the_late_result_of_an_open_task_is_used(address: str, tmp_path: Path) -> None:
    with worker(address, "sleepy") as sleepy, Client(address) as client:
        future = client.submit(first_attempt, str(tmp_path), "end")
        wait_for_starts(tmp_path, 1)
        sleepy.kill(signal.SIGSTOP)
        (tmp_path / "end").touch()
        wait_until(lambda: not names(address), what="the stopped worker is given up, long after the task's end")
        sleepy.kill(signal.SIGCONT)
        assert future.result(20) == 0


def hold_the_lock(seconds: float) -> float:
    """Keep the interpreter's lock, as C code that never looks up does."""
    import ctypes

    began = time.monotonic()
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))  # PyDLL: with the lock
    return time.monotonic() - began


def test_a_task_that_holds_the_interpreters_lock_costs_nobody_a_heartbeat(address: str) -> None:
    seconds = 2 * HEARTBEAT_TIMEOUT
    with worker(address, "busy", 2) as busy, Client(address) as client:
        held = client.submit(hold_the_lock, seconds)
        futures = [client.submit(abs, -n) for n in range(10)]
        assert [future.result(2) for future in futures] == list(range(10))
        silent = 0.0
        while not held.done():
            (silent_now,) = (shown["silent"] for shown in status(address)["workers"] if shown["name"] == "busy")
            silent = max(silent, silent_now)
            time.sleep(0.05)
        assert held.result() >= seconds
        assert silent < HEARTBEAT_TIMEOUT * 0.75
        assert "lost" not in busy.output


#: Makes a process speak another protocol in its handshake.
OTHER_PROTOCOL = "from manyhands.wire import handshake; handshake.PROTOCOL = 77; "


def test_another_protocol_is_refused_on_both_sides() -> None:
    master, address = start_master()
    with master:
        other = [sys.executable, "-P", "-c", OTHER_PROTOCOL]
        other[-1] += "from manyhands.__main__ import main; raise SystemExit(main())"
        code, output = run_cli("worker", address, command=other)
        assert code == 1
        assert output.startswith("manyhands: this worker (manyhands ")
        assert " speaks protocol 77, the master (manyhands " in output
        assert output.endswith("install the same version of manyhands on both\n")
        other[-1] = OTHER_PROTOCOL + "import manyhands, sys; manyhands.Client(sys.argv[1])"
        code, output = run_cli(address, command=other)
        assert code == 1
        last = output.splitlines()[-1]
        assert last.startswith(
            f"{Refused.__module__}.Refused: the master at {address} refused: this client (manyhands "
        )
        assert "speaks protocol 77" in output.splitlines()[-1]
        wait_until(lambda: master.output.count("speaks protocol 77, the master") == 2, what="both in its output")
