"""What tasks leave behind or start beside them: threads, forks, their own event loops, exits that are none."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from tests.integration.worker.running import RunningWorker
from tests.support.daemons import wait_until

from manyhands import Client, current_task
from manyhands.errors import ResultEncodeError


def same_slot(index: int) -> int:
    return os.getpid()


def exits() -> None:
    sys.exit("the task's own affair")


def interrupts() -> None:
    raise KeyboardInterrupt


def recurses(depth: int = 0) -> int:
    return recurses(depth + 1) + 1


@pytest.mark.parametrize(
    ("function", "error"), [(exits, SystemExit), (interrupts, KeyboardInterrupt), (recurses, RecursionError)]
)
def test_ends_that_cost_no_slot(
    worker: RunningWorker, function: Callable[[], None], error: type[BaseException]
) -> None:
    before = worker.slot_pids()
    with pytest.raises(error):
        worker.client.submit(function).result(20)
    assert set(worker.client.map(same_slot, range(20))) <= set(before)
    assert worker.slot_pids() == before


def test_threads_left_behind(worker: RunningWorker) -> None:
    def leave_threads(count: int) -> int:
        for daemon in (True, False):
            for _ in range(count):
                threading.Thread(target=time.sleep, args=(100,), daemon=daemon).start()
        return threading.active_count()

    before = worker.slot_pids()
    assert worker.client.submit(leave_threads, 3).result(20) >= 7
    assert set(worker.client.map(same_slot, range(20))) <= set(before)


# ---------------------------------------------------------------- forks


def wait_for(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def fork(kind: str, folder: str, index: int) -> object:
    """One child, which ends as `kind` says; each run of a task leaves its index in the folder."""
    with Path(folder, "runs").open("a") as file:
        file.write(f"{index}\n")
    child = os.fork()
    if child:
        return wait_for(child)
    match kind:
        case "leaves":
            os._exit(3)
        case "exits":
            sys.exit(4)
        case "raises":
            raise OSError("the child's own")
    return "what a child returns goes nowhere"


@pytest.mark.parametrize(("kind", "code"), [("leaves", 3), ("exits", 4), ("raises", 1), ("returns", 0)])
def test_a_forked_child_runs_nothing_of_its_parents(
    worker: RunningWorker, tmp_path: Path, kind: str, code: int
) -> None:
    before = worker.slot_pids()
    assert list(worker.client.map(partial(fork, kind, str(tmp_path)), range(30))) == [code] * 30
    assert worker.slot_pids() == before
    runs = Counter(map(int, (tmp_path / "runs").read_text().split()))
    assert runs == Counter(range(30))
    if kind == "raises":
        wait_until(lambda: worker.printed().count("OSError: the child's own") == 30)


def ask_child() -> tuple[object, object]:
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, repr(current_task()).encode())
        os._exit(0)
    wait_for(child)
    return os.read(read, 1000).decode(), repr(current_task())


def test_a_forked_child_knows_its_task(client: Client) -> None:
    childs, parents = client.submit(ask_child).result(20)
    assert childs == parents != "None"


def square_in_children(n: int) -> list[int]:
    context = multiprocessing.get_context("fork")
    with context.Pool(2) as pool:
        return pool.map(abs, range(-n, 0))


def test_multiprocessing_in_a_task(worker: RunningWorker) -> None:
    before = worker.slot_pids()
    assert worker.client.submit(square_in_children, 50).result(30) == list(range(50, 0, -1))
    assert worker.client.submit(same_slot, 1).result(20) in before


# ---------------------------------------------------------------- coroutines


async def doubled(x: int) -> int:
    await asyncio.sleep(0)
    return 2 * x


async def which_loop(_: int) -> tuple[int, int]:
    return os.getpid(), id(asyncio.get_running_loop())


class Doubler:
    async def double(self, x: int) -> int:
        return 2 * x

    async def __call__(self, x: int) -> int:
        return 2 * x


@pytest.mark.parametrize(
    "function",
    [doubled, partial(doubled), lambda x: doubled(x + 0), Doubler().double, Doubler()],
    ids=["function", "partial", "lambda", "method", "instance"],
)
def test_coroutines_are_awaited(client: Client, function: Callable[[int], object]) -> None:
    assert client.submit(function, 4).result(20) == 8
    assert list(client.map(function, range(5))) == [0, 2, 4, 6, 8]


def test_a_slot_has_one_loop(client: Client) -> None:
    loops = set(client.map(which_loop, range(40)))
    assert len(loops) == len({pid for pid, _ in loops})


async def fails() -> None:
    await asyncio.sleep(0)
    raise LookupError("inside")


async def closes_its_loop() -> None:
    loop = asyncio.get_running_loop()
    loop.call_soon(loop.stop)
    await asyncio.sleep(5)


def test_coroutines_that_fail(client: Client) -> None:
    with pytest.raises(LookupError, match="inside"):
        client.submit(fails).result(20)
    with pytest.raises(RuntimeError, match="stopped before Future completed"):
        client.submit(closes_its_loop).result(20)
    assert list(client.map(doubled, range(20))) == list(range(0, 40, 2))


def counts(n: int) -> object:
    return (k for k in range(n))


async def counts_slowly(n: int) -> object:
    return [k async for k in produce(n)]


async def produce(n: int):
    for k in range(n):
        yield k


def test_generators(client: Client) -> None:
    with pytest.raises(ResultEncodeError, match=r"generator.*list"):
        client.submit(counts, 3).result(20)
    with pytest.raises(ResultEncodeError, match="async_generator"):
        client.submit(produce, 3).result(20)
    assert client.submit(counts_slowly, 3).result(20) == [0, 1, 2]
