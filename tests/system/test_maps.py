"""Maps on a real cluster: order, laziness, memory, credits, and what happens when nobody reads."""

import itertools
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError

import psutil
import pytest
from tests.support.daemons import wait_until

from manyhands import Client


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with Client(slots=2) as client:
        yield client


def memory(client: Client) -> int:
    """Bytes that this process and the master's hold."""
    here = psutil.Process()
    daemon = psutil.Process(client.submit(os.getppid).result(20))
    return int(here.memory_info().rss + daemon.memory_info().rss)


def test_order_whatever_the_tasks_take(client: Client) -> None:
    def uneven(n: int) -> int:
        if n % 37 == 0:
            time.sleep(0.01)
        return -n

    assert list(client.map(uneven, range(1000))) == [-n for n in range(1000)]
    assert list(client.map(uneven, (n for n in range(1000)))) == [-n for n in range(1000)]
    assert sorted(client.map_unordered(uneven, range(1000))) == sorted(-n for n in range(1000))
    assert list(client.starmap(pow, zip(range(100), itertools.repeat(2)))) == [n * n for n in range(100)]
    assert list(client.map(pow, range(100), [3] * 50)) == [n**3 for n in range(50)]
    assert list(client.map(abs, [])) == []


def test_unordered_does_not_wait_for_the_slow_one(client: Client) -> None:
    def nap(seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    results = client.map_unordered(nap, [1.0, *[0.0] * 20])
    assert [next(results) for _ in range(20)] == [0.0] * 20
    assert list(results) == [1.0]


def test_a_long_generator_takes_no_memory(client: Client) -> None:
    assert sum(client.map(abs, (n for n in range(50_000)))) == sum(range(50_000))  # warm
    before, most = memory(client), 0
    total = 0
    for n, each in enumerate(client.map(abs, (n for n in range(300_000)))):
        total += each
        if n % 50_000 == 0:
            most = max(most, memory(client))
    assert total == sum(range(300_000))
    assert most - before < 40 << 20


def test_an_endless_generator(client: Client) -> None:
    inputs = itertools.count()
    assert list(itertools.islice(client.map(abs, inputs), 2000)) == list(range(2000))
    pulled = next(inputs)
    for each in client.map_unordered(abs, inputs):
        assert each > pulled
        break
    ahead = client.map(abs, inputs, buffersize=10)
    first = next(ahead)
    ahead.close()
    assert next(inputs) - first <= 12
    assert client.submit(abs, -1).result(10) == 1


def test_leaving_early_frees_the_slots(client: Client) -> None:
    results = client.map(time.sleep, itertools.repeat(0.02))
    next(results)
    results.close()
    held = client.map(time.sleep, [0.02] * 5000)
    next(held)
    del held
    began = time.monotonic()
    assert client.submit(abs, -1).result(10) == 1
    assert time.monotonic() - began < 2


def test_an_unread_map_leaves_room_for_others(client: Client) -> None:
    """It fills its own credit, 64 MiB, not anybody else's."""

    def large(n: int) -> bytes:
        return bytes(1 << 20)

    unread = client.map(large, range(100))
    wait_until(lambda: client.get_stats()["tasks_completed"] >= 40, 30, "results of the unread map")
    assert client.submit(abs, -1).result(10) == 1
    assert list(client.map(abs, range(1000))) == list(range(1000))
    assert sum(len(each) for each in unread) == 100 << 20


def test_a_map_that_is_never_read_runs_to_its_end(client: Client) -> None:
    done = client.get_stats()["tasks_completed"]
    client.map(lambda n: bytes(1 << 20), range(100))
    wait_until(lambda: client.get_stats()["tasks_completed"] == done + 100, 40)


def test_two_threads_read_two_maps(client: Client) -> None:
    sums: list[int] = []
    threads = [
        threading.Thread(target=lambda: sums.append(sum(client.map(abs, (-n for n in range(20_000)))))) for _ in "ab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    assert sums == [sum(range(20_000))] * 2


def test_the_first_exception_ends_it(client: Client) -> None:
    def fussy(n: int) -> int:
        if n == 100:
            raise ValueError(f"not {n}")
        time.sleep(0.0005)
        return n

    seen: list[int] = []
    with pytest.raises(ValueError, match="not 100"):
        seen.extend(client.map(fussy, itertools.count()))
    assert seen == list(range(100))
    done = client.get_stats()["tasks_completed"]
    with pytest.raises(ValueError, match="not 100"):
        list(client.map(fussy, range(20_000)))
    assert client.submit(abs, -1).result(10) == 1
    assert client.get_stats()["tasks_completed"] - done < 10_000, "the rest was cancelled"


def test_a_timeout_ends_it(client: Client) -> None:
    began = time.monotonic()
    seen: list[None] = []
    with pytest.raises(TimeoutError):
        seen.extend(client.map(time.sleep, [0.0] * 5 + [1.0] * 4, timeout=0.5))
    assert seen == [None] * 5
    assert time.monotonic() - began < 0.9


def test_maps_and_callbacks_nest(client: Client) -> None:
    """Maps that feed maps, submits in callbacks, and a map in a callback."""
    doubled = client.map(lambda n: 2 * n, client.map_unordered(abs, (n for n in range(2000))))
    sums: list[int] = []
    ended = threading.Event()

    def again(future: object) -> None:
        sums.append(sum(client.map(abs, range(100))))
        client.submit(abs, -5).add_done_callback(lambda done: (sums.append(done.result()), ended.set()))

    client.submit(abs, 1).add_done_callback(again)
    assert sorted(doubled) == list(range(0, 4000, 2))
    assert ended.wait(10)
    assert sums == [sum(range(100)), 5]


def test_shutdown_in_the_middle_of_a_generator() -> None:
    with Client(slots=2) as client:
        seen: list[int] = []
        stopping = threading.Timer(0.2, client.shutdown)

        stopping.start()
        with pytest.raises(RuntimeError, match=r"shut ?down"):
            seen.extend(client.map(abs, itertools.count()))
        stopping.join(20)
        assert not stopping.is_alive()
        assert seen == list(range(len(seen)))
        assert seen


def test_shutdown_that_cancels_a_long_map() -> None:
    client = Client(slots=2)
    results = client.map(time.sleep, [0.01] * 5000)
    assert next(results) is None
    began = time.monotonic()
    client.shutdown(cancel_futures=True)
    assert time.monotonic() - began < 5
    with pytest.raises(CancelledError):
        list(results)
