"""Tasks that take their slot down: who is charged, what is told, and that the rest goes on."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.integration.worker.running import RunningWorker

from manyhands import Client, current_task
from manyhands.errors import TaskCrashed


def leave(code: int) -> None:
    print("the last words", file=sys.stderr)
    os._exit(code)


def kill_myself(number: int) -> None:
    print("the last words", file=sys.stderr)
    os.kill(os.getpid(), number)


def read_nothing(_: int) -> None:
    print("the last words", file=sys.stderr)
    ctypes.string_at(0)


@pytest.mark.parametrize(
    ("function", "argument", "exit_code", "number"),
    [
        (leave, 3, 3, None),
        (leave, 0, 0, None),
        (read_nothing, 0, None, signal.SIGSEGV),
        (kill_myself, signal.SIGKILL, None, signal.SIGKILL),
        (kill_myself, signal.SIGTERM, None, signal.SIGTERM),
    ],
)
def test_third_crash_fails_and_tells(
    client: Client, function: Callable[[int], None], argument: int, exit_code: int | None, number: int | None
) -> None:
    with pytest.raises(TaskCrashed) as caught:
        client.submit(function, argument).result(30)
    crash = caught.value
    assert (crash.exit_code, crash.signal, crash.attempts, crash.worker) == (exit_code, number, 3, "w")
    assert "the last words" in crash.stderr_tail
    if number == signal.SIGSEGV:
        assert "Segmentation fault" in crash.stderr_tail
        assert "in read_nothing" in crash.stderr_tail


def log_or_crash(folder: str, index: int, crashing: int) -> tuple[int, int]:
    with Path(folder, "runs").open("a") as file:
        file.write(f"{index}\n")
    time.sleep(0.002)
    if index == crashing:
        os._exit(1)
    task = current_task()
    assert task is not None
    return index, task.attempt


def test_only_the_task_that_ran_is_charged(client: Client, tmp_path: Path) -> None:
    futures = [client.submit(log_or_crash, str(tmp_path), index, 20) for index in range(60)]
    with pytest.raises(TaskCrashed):
        futures[20].result(30)
    others = [future.result(30) for index, future in enumerate(futures) if index != 20]
    assert others == [(index, 0) for index in range(60) if index != 20]
    runs = Counter(map(int, (tmp_path / "runs").read_text().split()))
    assert runs == Counter({index: 3 if index == 20 else 1 for index in range(60)})


class Bomb:
    def __init__(self, code: int) -> None:
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (self.code,)


def test_slot_dies_while_it_decodes_the_argument(client: Client) -> None:
    futures = [client.submit(str, item) for item in (1, Bomb(4), 3)]
    with pytest.raises(TaskCrashed, match="exit code 4"):
        futures[1].result(30)
    assert (futures[0].result(30), futures[2].result(30)) == ("1", "3")


def test_slot_dies_while_it_loads_the_function(client: Client) -> None:
    bomb = Bomb(5)

    def never(_: int) -> object:
        return bomb

    with pytest.raises(TaskCrashed, match="exit code 5"):
        client.submit(never, 1).result(30)
    assert client.submit(abs, -1).result(30) == 1


def test_slot_dies_while_it_encodes_the_result(client: Client) -> None:
    def last() -> object:
        class Late:
            def __reduce__(self) -> tuple[Any, ...]:
                os._exit(6)

        return Late()

    with pytest.raises(TaskCrashed, match="exit code 6"):
        client.submit(last).result(30)


def close_everything() -> None:
    os.closerange(3, 256)
    time.sleep(5)


def test_task_that_closes_what_is_not_its_own(client: Client) -> None:
    with pytest.raises(TaskCrashed, match="closed the pipe to its agent"):
        client.submit(close_everything).result(30)
    assert client.submit(abs, -1).result(30) == 1


def scribble(rubbish: bytes) -> None:
    for fd in range(3, 256):
        try:
            os.write(fd, rubbish)
        except OSError:
            continue
    time.sleep(5)


@pytest.mark.parametrize("rubbish", [b"a line of text\n", bytes(64), b"\xff" * 1000], ids=["text", "zeros", "ones"])
def test_task_that_writes_into_what_is_not_its_own(client: Client, rubbish: bytes) -> None:
    with pytest.raises(TaskCrashed, match="manyhands killed this process"):
        client.submit(scribble, rubbish).result(30)
    assert client.submit(abs, -1).result(30) == 1


def test_crashes_do_not_stop_a_large_map(worker: RunningWorker) -> None:
    def sometimes(index: int) -> int:
        task = current_task()
        assert task is not None
        if index % 500 == 250 and task.attempt == 0:
            kill_myself(signal.SIGKILL)
        return index

    assert list(worker.client.map(sometimes, range(2000))) == list(range(2000))
