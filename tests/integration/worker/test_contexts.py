"""with_options(context=): made once a slot and function, by the first task that needs it, and what goes wrong there."""

from __future__ import annotations

import asyncio
import operator
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.integration.worker.running import RunningWorker
from tests.support.daemons import wait_until

from manyhands import Client, current_task
from manyhands.errors import RemoteTraceback, TaskCrashed, TaskTimeout


class Model:
    def __init__(self) -> None:
        self.pid = os.getpid()
        self.used = 0


def load_model(folder: Path, seconds: float = 0.0) -> Model:
    """Leaves a trace: which process made it, for which task."""
    time.sleep(seconds)
    with (folder / "made").open("a") as file:
        file.write(f"{os.getpid()} {current_task().index}\n")
    return Model()


async def open_model(folder: Path) -> tuple[Model, asyncio.AbstractEventLoop]:
    return load_model(folder), asyncio.get_running_loop()


def made(folder: Path) -> list[list[str]]:
    path = folder / "made"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def use(x: int, *, context: Model) -> int:
    assert context.pid == os.getpid()
    context.used += 1
    return x if context.used else -1


def use_too(x: int, y: int = 1, *, context: Model) -> tuple[int, int, int]:
    context.used += 1
    return x, y, context.used


async def use_later(x: int, context: Model) -> int:
    await asyncio.sleep(0)
    return use(x, context=context)


def test_once_a_slot_and_function(client: Client, worker: RunningWorker, tmp_path: Path) -> None:
    view = client.with_options(context=partial(load_model, tmp_path))
    assert list(view.map(use, range(3000))) == list(range(3000))
    assert [view.submit(use, x).result(20) for x in range(10)] == list(range(10))
    assert len({pid for pid, _ in made(tmp_path)}) == len(made(tmp_path)) <= len(worker.slot_pids())
    before = len(made(tmp_path))
    assert [used for _, _, used in view.map(use_too, range(1))] == [1], "another function has its own"
    assert len(made(tmp_path)) == before + 1
    assert list(client.with_options(context=partial(load_model, tmp_path)).map(use, [1])) == [1], "the same by content"
    assert len(made(tmp_path)) <= before + 2, "by the other slot at most"


def test_however_it_is_called(client: Client, tmp_path: Path) -> None:
    view = client.with_options(context=partial(load_model, tmp_path))
    assert [item[:2] for item in view.starmap(use_too, [(1, 2), (3,)])] == [(1, 2), (3, 1)]
    assert [item[:2] for item in view.map(use_too, [1, 2], [3, 4])] == [(1, 3), (2, 4)]
    assert view.submit(use_too, 5, y=6).result(20)[:2] == (5, 6)
    assert view.submit(partial(use_too, y=7), 8).result(20)[:2] == (8, 7)
    assert [item[:2] for item in view.map(partial(use_too, y=9), [1])] == [(1, 9)]
    assert list(view.map(use_later, range(20))) == list(range(20))


def test_in_a_reduction_it_is_for_the_map_function(client: Client, worker: RunningWorker, tmp_path: Path) -> None:
    view = client.with_options(context=partial(load_model, tmp_path))
    assert view.map_reduce(use, range(300), operator.add) == sum(range(300))
    assert len(made(tmp_path)) <= len(worker.slot_pids()), "and combining needs none"
    pairs = view.map_reduce_by_key(lambda x, context: [(x % 3, use(x, context=context))], range(30), operator.add)
    assert pairs == {rest: sum(range(rest, 30, 3)) for rest in range(3)}


def test_an_async_set_up_shares_the_loop_of_async_tasks(client: Client, tmp_path: Path) -> None:
    async def check(x: int, context: tuple[Model, asyncio.AbstractEventLoop]) -> bool:
        return context[1] is asyncio.get_running_loop()

    assert all(client.with_options(context=partial(open_model, tmp_path)).map(check, range(4)))


def test_its_time_is_not_the_tasks(client: Client, worker: RunningWorker, tmp_path: Path) -> None:
    """Nor does a timeout count it."""
    view = client.with_options(context=partial(load_model, tmp_path, 0.3), timeout=0.15, progress_timeout=0.15)
    before = client.get_stats()
    assert list(view.map(lambda x, context: x, range(2000))) == list(range(2000))
    after = client.get_stats()
    took = [each["tasks_completed"] * each["avg_task_time"] for each in (before, after)]
    assert took[1] - took[0] < 0.3
    with pytest.raises(TaskTimeout):
        view.submit(lambda context: time.sleep(5)).result(20)


def fail(folder: Path, times: int) -> str:
    with (folder / "failed").open("a") as file:
        file.write("x")
    if (folder / "failed").stat().st_size <= times:
        raise LookupError("no model here")
    return "a model"


def take(x: int, context: str) -> tuple[int, str]:
    return x, context


def test_what_it_raises_fails_one_task_each(client: Client, tmp_path: Path) -> None:
    view = client.with_options(context=partial(fail, tmp_path, 3), max_parallel=1)
    outcomes = list(view.map(take, range(6), return_exceptions=True))
    assert outcomes[3:] == [(3, "a model"), (4, "a model"), (5, "a model")]
    assert [str(error) for error in outcomes[:3]] == ["no model here"] * 3
    error = outcomes[0]
    assert isinstance(error, LookupError)
    assert "with_options(context=)" in error.__notes__[0]
    assert isinstance(error.__cause__, RemoteTraceback)
    assert "in fail" in str(error.__cause__)
    assert "slot_loop" not in str(error.__cause__)


def test_it_is_retried_with_its_task(client: Client, tmp_path: Path) -> None:
    view = client.with_options(context=partial(fail, tmp_path, 2), retries=2, retry_delay=0.01)
    assert view.submit(take, 1).result(20) == (1, "a model")


def test_one_that_cannot_be_loaded(client: Client) -> None:
    class Broken:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
            return os.stat, ("/no/such/file",)

        def __call__(self) -> None: ...

    with pytest.raises(Exception, match="/no/such/file") as caught:
        client.with_options(context=Broken()).submit(take, 1).result(20)
    assert "with_options(context=)" in caught.value.__notes__[0]


def test_a_function_that_takes_none(client: Client) -> None:
    with pytest.raises(TypeError, match="context"):
        client.with_options(context=dict).submit(lambda: 1).result(20)


def leave_at_first(folder: Path, times: int) -> str:
    load_model(folder)
    if len(made(folder)) <= times:
        os._exit(7)
    return "a model"


def test_who_dies_in_it_is_charged(client: Client, tmp_path: Path) -> None:
    view = client.with_options(context=partial(leave_at_first, tmp_path, 2))
    assert view.submit(take, 1).result(20) == (1, "a model")
    other = tmp_path / "other"
    other.mkdir()
    view = client.with_options(context=partial(leave_at_first, other, 3))
    with pytest.raises(TaskCrashed, match="exit code 7"):
        view.submit(take, 1).result(20)


def test_made_again_in_the_next_process(client: Client, tmp_path: Path) -> None:
    def take_or_die(x: int, context: Model) -> int:
        if x == 50 and current_task().attempt == 0:
            os._exit(7)
        return x

    view = client.with_options(context=partial(load_model, tmp_path), max_parallel=1)
    assert list(view.map(take_or_die, range(100))) == list(range(100))
    pids = [pid for pid, _ in made(tmp_path)]
    assert len(set(pids)) == len(pids) >= 2


def sleep_and_load(folder: Path) -> str:
    load_model(folder)
    if len(made(folder)) == 1:
        time.sleep(60)
    return "a model"


def test_cancelled_in_it(client: Client, tmp_path: Path) -> None:
    view = client.with_options(context=partial(sleep_and_load, tmp_path))
    results = view.map(take, [1])
    wait_until(lambda: bool(made(tmp_path)), 20, "the set-up runs")
    results.close()
    begun = time.monotonic()
    assert list(view.map(take, range(50))) == [(x, "a model") for x in range(50)]
    assert time.monotonic() - begun < 20
