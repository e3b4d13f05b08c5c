"""get_stats after loads whose figures are known."""

import time
from collections.abc import Iterator

import pytest
from tests.support.daemons import wait_until

from manyhands import Client


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(slots=2) as client:
        list(client.map(abs, range(10)))
        yield client


def hold(seconds: float) -> None:
    time.sleep(seconds)
    if seconds > 0.07:
        raise ValueError(seconds)


def test_a_known_load(client: Client) -> None:
    """40 tasks of 50 ms in 2 slots take a second, which ends with pauses that do not count."""
    before = client.get_stats()
    assert before["tasks_completed"] == 10
    assert before["num_workers"] == 1
    list(client.map(hold, [0.05] * 20))
    time.sleep(0.5)
    for future in [client.submit(hold, 0.05) for _ in range(20)]:
        future.result()
    stats = client.get_stats()
    assert stats["tasks_completed"] == 50
    took = stats["total_time"] - before["total_time"]
    assert 1.0 <= took < 1.4
    assert stats["throughput"] == pytest.approx(50 / stats["total_time"])
    busy = stats["avg_task_time"] * 50 - before["avg_task_time"] * 10
    assert 2.0 <= busy < 2.2
    assert stats["efficiency"] == pytest.approx(stats["avg_task_time"] * 50 / (2 * stats["total_time"]))
    assert busy / (2 * took) > 0.75
    assert client.get_stats() == stats, "nothing goes on"


def test_what_failed_counts_and_what_was_cancelled_does_not(client: Client) -> None:
    failed = client.submit(hold, 0.1)
    assert isinstance(failed.exception(), ValueError)
    assert client.get_stats()["tasks_completed"] == 11
    assert client.get_stats()["avg_task_time"] * 11 == pytest.approx(0.1, rel=0.2)
    running = [client.submit(hold, 0.06) for _ in range(2)]
    waiting = [client.submit(hold, 0.06) for _ in range(30)]
    cancelled = sum(future.cancel() for future in waiting)
    assert cancelled > 20
    for future in (*running, *waiting):
        if not future.cancelled():
            future.result()
    assert client.get_stats()["tasks_completed"] == 11 + 32 - cancelled
    results = client.map(hold, [0.01] * 500)
    next(results)
    results.close()
    wait_until(lambda: client._connection.stats.open == 0, 2, "tasks that count as open")
    stats = client.get_stats()
    assert stats["tasks_completed"] < 11 + 32 - cancelled + 100
    assert client.get_stats() == stats, "the clock has stopped"


def test_the_figures_are_there_as_soon_as_the_result(client: Client) -> None:
    for n in range(200):
        assert client.submit(abs, -n).result() == n
        assert client.get_stats()["tasks_completed"] == 11 + n
