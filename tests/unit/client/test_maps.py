"""map, map_unordered, starmap: what is pulled when, by whom, in which order results come, and how it ends."""

import gc
import itertools
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError

import numpy as np
import pytest
from tests.support.daemons import wait_until
from tests.support.fake_master import FakeMaster

from manyhands import Client
from manyhands.wire.errors import EncodeError, RemoteTraceback


def fail_at(bad: int, n: int) -> int:
    if n == bad:
        raise ValueError(n)
    return n


def fail_at_5(n: int) -> int:
    return fail_at(5, n)


def fail_at_5_then_dawdle(n: int) -> int:
    if n >= 100:
        time.sleep(0.001)
    return fail_at_5(n)


class Pulled(Iterator[int]):
    """Counts, endlessly or up to `end`, and remembers who asked."""

    def __init__(self, end: int | None = None) -> None:
        self.count = 0
        self.end = end
        self.threads: set[threading.Thread] = set()

    def __next__(self) -> int:
        if self.count == self.end:
            raise StopIteration
        self.threads.add(threading.current_thread())
        self.count += 1
        return self.count - 1


def cancelled_jobs(master: FakeMaster) -> list[int]:
    bodies = [body.cancel for body in master.received if body.HasField("cancel")]
    return [cancel.job for cancel in bodies if not cancel.ranges]


# ------------------------------------------------------------ inputs


@pytest.mark.parametrize(
    "inputs",
    [
        range(2000),
        list(range(10)),
        (n for n in range(2000)),
        [],
        iter(()),
        range(1),
        {1: 2, 3: 4},
        "text",
        np.arange(9),
    ],
    ids=lambda inputs: type(inputs).__name__,
)
def test_order(client: Client, inputs: Iterable[object]) -> None:
    expected = list(inputs) if hasattr(inputs, "__len__") else None
    got = list(client.map(str, inputs))
    if expected is None:
        assert got in ([str(n) for n in range(2000)], [])
    else:
        assert got == [str(each) for each in expected]


def test_several_iterables_end_with_the_shortest(client: Client) -> None:
    assert list(client.map(pow, range(5), [2] * 9)) == [n**2 for n in range(5)]
    assert list(client.map(pow, itertools.count(), [2, 2, 2])) == [0, 1, 4]
    assert list(client.map(pow, [2], itertools.count(3))) == [8]
    assert list(client.map(pow, [], range(3))) == []
    assert list(client.map(list)) == []


def test_starmap(client: Client) -> None:
    assert list(client.starmap(pow, [(2, 3), [3, 2], (2, 3, 5)])) == [8, 9, 3]
    assert list(client.starmap(pow, ((n, 2) for n in range(3)))) == [0, 1, 4]
    assert list(client.starmap(dict, [(), ()])) == [{}, {}]
    with pytest.raises(TypeError):
        list(client.starmap(pow, [1, 2]))


def test_unordered(client: Client, master: FakeMaster) -> None:
    assert sorted(client.map_unordered(abs, (-n for n in range(5000)))) == list(range(5000))
    slow = client.map_unordered(time.sleep, [0.1, 0.0, 0.0])
    master.run_count = 1
    assert next(client.map_unordered(lambda s: time.sleep(s) or s, [1.0, 0.0])) == 0.0
    assert list(slow) == [None] * 3


def test_arguments_are_checked(client: Client) -> None:
    assert list(client.map(abs, [1], chunksize=100, buffersize=2, timeout=5)) == [1]
    with pytest.raises(ValueError, match="chunksize must be >= 1"):
        client.map(abs, [1], chunksize=0)
    with pytest.raises(ValueError, match="buffersize must be None or > 0"):
        client.map(abs, [1], buffersize=0)
    with pytest.raises(TypeError, match="buffersize must be an integer"):
        client.map(abs, [1], buffersize=1.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        client.map(abs, 5)  # type: ignore[arg-type]


# ------------------------------------------------------------ what is pulled


def test_sized_inputs_are_sent_at_once(client: Client, master: FakeMaster) -> None:
    inputs = list(range(1000))
    results = client.map(abs, inputs)
    inputs[:] = [-1] * 1000
    wait_until(lambda: sum(block.end - block.first for block in master.blocks) == 1000, 5)
    assert list(results) == list(range(1000))


def test_others_are_pulled_by_the_thread_that_reads(client: Client) -> None:
    inputs = Pulled()
    results = client.map(abs, inputs)
    assert 0 < inputs.count < 100
    inputs.threads.clear()
    reader = threading.Thread(target=lambda: list(itertools.islice(results, 5000)))
    reader.start()
    reader.join(20)
    assert inputs.count >= 5000
    assert inputs.threads == {reader}


def test_buffersize(client: Client) -> None:
    for inputs in (Pulled(), Pulled(40)):
        results = client.map(abs, inputs, buffersize=3)
        assert inputs.count == 3
        for n in range(30):
            assert next(results) == n
            assert inputs.count - n <= 4
        results.close()
    sized = client.map(abs, range(100), buffersize=1)
    assert list(sized) == list(range(100))


@pytest.mark.parametrize("how", ["close", "break", "del", "cycle"])
@pytest.mark.parametrize("ordered", [True, False])
def test_leaving_early_cancels_the_rest(client: Client, master: FakeMaster, how: str, ordered: bool) -> None:
    inputs = Pulled()
    results = (client.map if ordered else client.map_unordered)(abs, inputs)
    next(results)
    if how == "close":
        results.close()
        assert list(results) == []
    elif how == "break":
        for _ in results:
            break
        del results, _
    elif how == "del":
        del results
    else:
        cycle = [results]
        cycle.append(cycle)  # type: ignore[arg-type]
        del results, cycle
        gc.collect()
    pulled = inputs.count
    wait_until(lambda: cancelled_jobs(master) == [1], 5)
    assert client.submit(abs, -1).result(5) == 1
    assert inputs.count == pulled
    client.shutdown()
    assert client._connection.stats.open == 0


def test_a_map_that_is_never_read_runs_to_its_end(client: Client, master: FakeMaster) -> None:
    held = client.map(abs, range(3000))
    client.map(abs, range(2000))
    assert client.submit(abs, -1).result(5) == 1
    wait_until(lambda: client.get_stats()["tasks_completed"] == 5001, 10)
    assert not cancelled_jobs(master)
    assert {number: job.unlimited for number, job in master.jobs.items()} == {1: False, 2: True, 3: False}
    assert list(held) == list(range(3000))


def test_results_are_not_kept(client: Client) -> None:
    class Thing:
        pass

    results = client.map(lambda _: Thing(), range(10))
    seen = [weakref.ref(thing) for thing in results]
    del results
    gc.collect()
    assert not any(each() for each in seen)


def test_the_reader_tells_what_it_has_consumed(client: Client, master: FakeMaster) -> None:
    results = client.map(lambda n: b"x" * 100_000, itertools.count())
    assert sum(len(next(results)) for _ in range(200)) == 20_000_000
    wait_until(lambda: master.jobs[1].consumed > 1 << 20, 5)


# ------------------------------------------------------------ what goes wrong


@pytest.mark.parametrize("eager", [True, False])
def test_an_exception_comes_at_its_place_and_cancels_the_rest(client: Client, master: FakeMaster, eager: bool) -> None:
    master.run_count = 10
    inputs: Iterable[int] = range(3000) if eager else Pulled(3000)
    seen: list[int] = []
    results = client.map(fail_at_5_then_dawdle, inputs)
    with pytest.raises(ValueError, match="5") as caught:
        seen.extend(results)
    assert seen == list(range(5))
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    wait_until(lambda: cancelled_jobs(master) == [1], 5)
    with pytest.raises(StopIteration):
        next(results)


def test_an_iterable_that_raises(client: Client) -> None:
    def inputs() -> Iterator[int]:
        yield from range(100)
        raise KeyError("mine")

    seen: list[int] = []
    results = client.map(abs, inputs())
    with pytest.raises(KeyError, match="mine"):
        seen.extend(results)
    assert seen == list(range(100)), "what came before it is not lost"
    with pytest.raises(StopIteration):
        next(results)


@pytest.mark.parametrize("eager", [True, False])
def test_an_input_that_cannot_be_pickled(client: Client, eager: bool) -> None:
    inputs = [1, 2, threading.Lock(), 4]
    seen: list[str] = []
    with pytest.raises(EncodeError, match="item 2"):
        seen.extend(client.map(str, inputs if eager else iter(inputs)))
    assert seen == ["1", "2"]


def test_a_function_that_cannot_be_pickled(client: Client, master: FakeMaster) -> None:
    lock = threading.Lock()
    with pytest.raises(EncodeError, match="lock"):
        client.map(lambda n: (lock, n), range(3))
    assert not master.jobs


@pytest.mark.parametrize("own", ["client", "future", "results"])
def test_inputs_that_must_not_travel(client: Client, own: str) -> None:
    culprit = {"client": client, "future": client.submit(abs, 1), "results": client.map(abs, [1])}[own]
    with pytest.raises(TypeError, match="cannot be sent to a task"):
        list(client.map(str, [1, {"deep": [culprit]}]))
    with pytest.raises(TypeError, match="cannot be sent to a task"):
        client.map(lambda n: culprit, [1])


def test_a_timeout_cancels_the_rest(client: Client, master: FakeMaster) -> None:
    master.running.clear()
    results = client.map(abs, range(10), timeout=0.05)
    with pytest.raises(TimeoutError):
        next(results)
    wait_until(lambda: cancelled_jobs(master) == [1], 5)
    assert list(results) == []
    master.running.set()
    relaxed = client.map(abs, range(10), timeout=0.01)
    wait_until(lambda: client.get_stats()["tasks_completed"] >= 10, 5)
    assert list(relaxed) == list(range(10)), "what is there is given also after the deadline"


def test_a_result_that_cannot_be_unpickled(client: Client) -> None:
    class Grumpy:
        def __reduce__(self) -> tuple[object, ...]:
            return int, ("no number",)

    results = client.map(lambda n: Grumpy() if n == 2 else n, range(4))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(Exception, match="no number"):
        next(results)


def test_ctrl_c_in_the_input(client: Client, master: FakeMaster) -> None:
    def inputs() -> Iterator[int]:
        yield from range(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(client.map(abs, inputs()))
    wait_until(lambda: cancelled_jobs(master) == [1], 5)
    with pytest.raises(KeyboardInterrupt):
        list(client.map(pow, range(9), inputs()))
    assert client.submit(abs, -1).result(5) == 1


def test_cancelled_tasks_of_a_map(client: Client, master: FakeMaster) -> None:
    master.running.clear()
    results = client.map(abs, range(10))
    client.shutdown(wait=False, cancel_futures=True)
    with pytest.raises(CancelledError):
        list(results)
    master.running.set()


# ------------------------------------------------------------ several at once


def test_two_threads_read_two_maps(client: Client) -> None:
    sums: list[int] = []

    def read() -> None:
        sums.append(sum(client.map(abs, (-n for n in range(20_000)))))

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sums == [sum(range(20_000))] * 2


def test_maps_feed_maps(client: Client) -> None:
    first = client.map(abs, (-n for n in range(3000)))
    second = client.map_unordered(str, first)
    third = client.map(int, second)
    assert sorted(third) == list(range(3000))


def test_inputs_that_use_the_client(client: Client) -> None:
    def inputs() -> Iterator[int]:
        for n in range(50):
            yield client.submit(abs, -n).result(5)

    assert list(client.map(abs, inputs())) == list(range(50))


def test_two_readers_of_one_map_see_each_result_once(client: Client) -> None:
    results = client.map(abs, (-n for n in range(5000)))
    seen: list[int] = []

    def read() -> None:
        while True:
            try:
                seen.append(next(results))
            except StopIteration:
                return
            except ValueError:  # "generator already executing": the other one is at it, as with any generator
                time.sleep(0)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(seen) == list(range(5000))


# ------------------------------------------------------------ progress


def test_progress_without_a_terminal(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(client.map(abs, range(10), progress=True)) == list(range(10))
    assert "abs: 10 of 10 done" in capsys.readouterr().err
    assert len(list(client.map_unordered(abs, iter(range(7)), progress=True))) == 7
    assert "abs: 7 done" in capsys.readouterr().err
    with pytest.raises(ValueError, match="5"):
        list(client.map(fail_at_5, range(10), progress=True))
    assert "fail_at_5" in capsys.readouterr().err
    assert list(client.starmap(pow, [(2, 2)], progress=True)) == [4]
    assert "pow: 1 of 1 done" in capsys.readouterr().err
