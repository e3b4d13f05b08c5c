"""Tasks that run too long, in real slots: stopped, told, tried again; the others go on."""

import ctypes
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from manyhands import Client
from manyhands.errors import TaskTimeout


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with Client(slots=1) as client:
        yield client


def hold_the_lock(seconds: float) -> None:
    """Sleep in C with the interpreter's lock: nothing in this process can run meanwhile."""
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))


@pytest.mark.parametrize("idle", [time.sleep, hold_the_lock])
def test_a_task_that_runs_too_long(client: Client, idle: object) -> None:
    began = time.monotonic()
    slow = client.with_options(timeout=0.3).submit(idle, 50)
    others = [client.submit(pow, 2, n) for n in range(20)]
    with pytest.raises(TaskTimeout, match=r"task \d+ ran longer than its timeout of 0\.3 s .* was stopped") as caught:
        slow.result(20)
    assert time.monotonic() - began > 0.3
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.timeout == 0.3
    assert [other.result(20) for other in others] == [2**n for n in range(20)]


def test_the_next_attempt(client: Client, tmp_path: Path) -> None:
    def slow_at_first(name: str) -> str:
        path = tmp_path / name
        path.open("a").write("x")
        time.sleep(50 if path.stat().st_size == 1 else 0)
        return name

    patient = client.with_options(timeout=0.3, retries=1, retry_delay=0.0)
    assert patient.submit(slow_at_first, "a").result(20) == "a"
    assert patient.with_options(retry_on=OSError).submit(slow_at_first, "b").result(20) == "b", "it is an OSError"
    with pytest.raises(TaskTimeout):
        patient.with_options(retry_on=ValueError).submit(slow_at_first, "c").result(20)
    assert (tmp_path / "c").stat().st_size == 1


def test_in_a_map(client: Client) -> None:
    def sleep(seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    outcomes = list(client.with_options(timeout=0.5).map(sleep, [0.0, 50.0, 0.01, 0.0], return_exceptions=True))
    assert [isinstance(each, TaskTimeout) for each in outcomes] == [False, True, False, False]
    assert outcomes[2:] == [0.01, 0.0]


def test_each_task_has_its_own_time(client: Client) -> None:
    """A chunk as a whole may take longer."""
    assert len(list(client.with_options(timeout=0.4).map(time.sleep, [0.01] * 100))) == 100
    assert sum(client.with_options(timeout=5).map(abs, range(50_000))) == sum(range(50_000))
