"""The worker goes on: tasks that hold the GIL, print, are huge or stopped; slots that cannot start."""

from __future__ import annotations

import os
import re
import signal
import sys
import time

import pytest
from tests.integration.worker.running import RunningWorker
from tests.support.daemons import wait_until

from manyhands import Client
from manyhands.master.config import MasterConfig


def hold_the_gil(count: int) -> float:
    """A single call into C; its seconds."""
    begun = time.monotonic()
    sum(range(count))
    return time.monotonic() - begun


def hold_for(seconds: float) -> float:
    fastest = min(hold_the_gil(100_000) for _ in range(10))  # others may have the processor meanwhile
    return hold_the_gil(int(seconds * 100_000 / fastest))


def hold_if_first(index: int) -> float:
    return hold_for(1.2) if index == 0 else time.monotonic()


def test_a_held_gil_stops_neither_the_others_nor_the_heartbeats() -> None:
    config = MasterConfig(heartbeat_interval=0.1, heartbeat_timeout=0.3)
    with RunningWorker(config=config) as worker:
        held, *others = [worker.client.submit(hold_if_first, index) for index in range(200)]
        ends = [future.result(20) for future in others]
        assert not held.done()
        assert held.result(30) > 0.4
        assert max(ends) < time.monotonic()
        assert "lost the connection" not in worker.printed()
        assert len(worker.ask(lambda: list(worker.master.engine.scheduler.workers))) == 1


def pids_or_stop(index: int) -> int:
    time.sleep(0.001)  # long enough for the slot to send each result before the next task
    if index == 3:
        os.kill(os.getpid(), signal.SIGSTOP)
    return os.getpid()


def test_a_stopped_slot_holds_up_only_its_own_task(worker: RunningWorker) -> None:
    futures = [worker.client.submit(pids_or_stop, index) for index in range(100)]
    others = {future.result(20) for index, future in enumerate(futures) if index != 3}
    assert not futures[3].done()
    (stopped,) = set(worker.slot_pids()) - {worker.client.submit(os.getpid).result(20)}
    assert others <= set(worker.slot_pids())
    os.kill(stopped, signal.SIGCONT)
    assert futures[3].result(20) == stopped


@pytest.mark.parametrize("megabytes", [1, 16])
def test_large_items_and_results(client: Client, megabytes: int) -> None:
    data = os.urandom(1 << 20) * megabytes
    back = client.submit(bytes.swapcase, data).result(50)
    assert back == data.swapcase()


def printer(index: int) -> None:
    print("line", index)
    print("to stderr", index, file=sys.stderr)


def print_without_end() -> None:
    print("no end", end="")
    sys.stderr.write("nor here")


def print_megabytes() -> int:
    for _ in range(40):
        print("m" * 100_000)
    return 40


def print_rubbish() -> None:
    os.write(1, bytes(range(256)) + b"\xff\xfe\n")


def test_printing(worker: RunningWorker) -> None:
    list(worker.client.map(printer, range(50)))
    wait_until(lambda: len(re.findall(r"^\[w/\d\] line \d+$", worker.printed(), re.MULTILINE)) == 50)
    wait_until(lambda: len(re.findall(r"^\[w/\d\] to stderr \d+$", worker.printed(), re.MULTILINE)) == 50)


def test_printing_a_lot_and_rubbish(worker: RunningWorker) -> None:
    assert worker.client.submit(print_megabytes).result(20) == 40
    worker.client.submit(print_rubbish).result(20)
    assert list(worker.client.map(abs, range(-50, 0))) == list(range(50, 0, -1))
    wait_until(lambda: "xyz{|}~" in worker.printed())
    assert max(map(len, worker.printed().split("\n"))) < 5000


def test_lines_without_end_come_out_when_the_worker_ends() -> None:
    with RunningWorker(slots=1, name="") as worker:
        worker.client.submit(print_without_end).result(20)
        assert worker.client.submit(abs, -1).result(20) == 1
    assert "[0] no end\n" in worker.printed()
    assert "[0] nor here\n" in worker.printed()


@pytest.mark.parametrize("interpreter", ["/nonexistent/python", "/bin/false"])
def test_a_slot_that_cannot_start_is_complained_of_and_tried_again(
    interpreter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []
    with monkeypatch.context() as broken:
        broken.setattr(sys, "executable", interpreter)
        with RunningWorker(slots=1) as worker:
            future = worker.client.submit(abs, -5)
            wait_until(lambda: "died 3 times in a row before it ran anything" in worker.printed())
            assert not future.done()
            tries.append(worker.ask(lambda: worker.agent._core._roster.slots[0].failures))
            broken.undo()
            assert future.result(30) == 5
    assert tries[0] <= 5
    reason = "cannot be started" if "nonexistent" in interpreter else "exit code 1"
    assert reason in worker.printed()
