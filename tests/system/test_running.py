"""Whether a task runs, asked of the master once and heard of from then on."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.daemons import wait_until

from manyhands import Client


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with Client(slots=1) as client:
        yield client


def wait_for(path: Path) -> str:
    while not path.exists():
        time.sleep(0.005)
    return path.name


def test_of_what_runs_and_what_waits(client: Client, tmp_path: Path) -> None:
    first, second = client.submit(wait_for, tmp_path / "a"), client.submit(wait_for, tmp_path / "b")
    wait_until(first.running)
    assert not second.running(), "a slot runs one at a time, and what a task takes is unknown"
    assert not first.done()
    (tmp_path / "a").touch()
    assert first.result(20) == "a"
    assert not first.running()
    wait_until(second.running)
    (tmp_path / "b").touch()
    assert second.result(20) == "b"
    assert not second.running()


def test_later_questions_cost_nothing(client: Client, tmp_path: Path) -> None:
    future = client.submit(wait_for, tmp_path / "a")
    wait_until(future.running)
    began = time.perf_counter()
    for _ in range(10_000):
        assert future.running()
    assert time.perf_counter() - began < 1.0
    assert "pending" in repr(future)
    assert future.cancel(), "it can be cancelled nevertheless"
    assert not future.running()


def test_of_what_could_not_be_sent(client: Client) -> None:
    future = client.submit(abs, (n for n in range(3)))  # type: ignore[arg-type]
    assert not future.running()
