"""Threads that meet at bad moments: each thing that can wait reaches its end all the same."""

import concurrent.futures
import itertools
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from tests.support.daemons import wait_until
from tests.support.fake_master import FakeMaster, make_client

from manyhands import Client
from manyhands.client.mapping import begin_map
from manyhands.client.options import Options
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.errors import SessionLost

#: Seconds that each of these goes on.
DURATION = 0.7


@pytest.fixture(autouse=True)
def switching() -> Iterator[None]:
    """Threads take turns a thousand times as often as usual."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(usual)


def together(*works: Callable[[], None], timeout: float = 20.0) -> None:
    """Run each in a thread of its own until all have ended; raises what one of them raised."""
    errors: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout)
        assert not thread.is_alive(), f"{thread} hangs"
    if errors:
        raise errors[0]


def again(work: Callable[[random.Random], None], seed: int) -> Callable[[], None]:
    """`work`, repeated for a while."""

    def repeat() -> None:
        ends_at, draw = time.monotonic() + DURATION, random.Random(seed)
        while time.monotonic() < ends_at:
            work(draw)

    return repeat


def test_submitting_cancelling_and_completing(client: Client) -> None:
    def submit_and_cancel(draw: random.Random) -> None:
        futures = [client.submit(abs, -n) for n in range(draw.randrange(1, 60))]
        cancelled = {n for n in range(len(futures)) if draw.random() < 0.3 and futures[n].cancel()}
        for n, future in enumerate(futures):
            if n in cancelled:
                assert future.cancelled()
            else:
                assert future.result(10) == n

    together(*(again(submit_and_cancel, seed) for seed in range(4)))
    client.shutdown()  # returns only when every task is accounted for
    assert client._connection.stats.open == 0


def test_many_ways_to_wait_for_futures_that_are_ending(client: Client) -> None:
    def watch(futures: list[concurrent.futures.Future[int]], way: int) -> None:
        if way == 0:
            assert [future.result(10) for future in futures] == list(range(len(futures)))
        elif way == 1:
            assert not concurrent.futures.wait(futures, 10).not_done
        elif way == 2:
            assert len(list(concurrent.futures.as_completed(futures, 10))) == len(futures)
        else:
            called = [threading.Event() for _ in futures]
            for future, event in zip(futures, called, strict=True):
                future.add_done_callback(lambda _, event=event: event.set())  # type: ignore[misc]
            assert all(event.wait(10) for event in called)

    def submit_and_watch(draw: random.Random) -> None:
        futures = [client.submit(abs, -n) for n in range(draw.randrange(1, 30))]
        together(*(lambda way=way: watch(futures, way) for way in range(4)))  # type: ignore[misc]

    together(*(again(submit_and_watch, seed) for seed in range(2)))


def test_maps_read_and_dropped_in_several_threads(client: Client) -> None:
    def read(draw: random.Random) -> None:
        count, stop = draw.randrange(200), draw.randrange(200)
        inputs = range(count) if draw.random() < 0.5 else (n for n in range(count))
        taken = list(itertools.islice(client.map(abs, inputs), stop))
        assert taken == list(range(min(count, stop)))

    together(*(again(read, seed) for seed in range(4)))
    client.shutdown()
    assert client._connection.stats.open == 0


def test_shutdown_while_a_generator_is_mapped(master: FakeMaster) -> None:
    def one(draw: random.Random) -> None:
        client = make_client(master)
        seen: list[int] = []

        def read() -> None:
            with pytest.raises(RuntimeError, match=r"shut ?down"):
                seen.extend(client.map(abs, itertools.count()))

        def stop() -> None:
            wait_until(lambda: len(seen) >= 0, 5)
            time.sleep(draw.random() * 0.01)
            client.shutdown(cancel_futures=False)

        together(read, stop, stop)
        assert seen == list(range(len(seen)))

    again(one, 1)()


def test_the_master_asks_for_definitions_while_jobs_begin_and_end(client: Client, master: FakeMaster) -> None:
    def begin(draw: random.Random) -> None:
        assert list(client.map(abs, range(2))) == [0, 1]

    def ask(draw: random.Random) -> None:
        master.send(pb.Body(want=pb.Want(hashes=[bytes([n]) * 16 for n in range(100)])))
        time.sleep(0.0005)

    together(again(begin, 1), again(begin, 2), again(ask, 3))
    assert client.submit(abs, -1).result(5) == 1


def test_a_session_is_forgotten_while_everything_happens(client: Client, master: FakeMaster) -> None:
    def work(draw: random.Random) -> None:
        futures = [client.submit(abs, -n) for n in range(20)]
        if draw.random() < 0.3:
            futures[draw.randrange(20)].cancel()
        try:
            results = client.map(abs, range(20))
            assert list(results) == list(range(20))
        except SessionLost as error:
            assert "no longer knows this client" in str(error)
        concurrent.futures.wait(futures, 10)
        assert all(future.done() for future in futures)

    def forget(draw: random.Random) -> None:
        time.sleep(0.1)
        master.forget()

    together(again(work, 1), again(work, 2), again(forget, 3))
    client.shutdown()
    assert client._connection.stats.open == 0


def test_a_seal_between_two_looks_is_noticed(client: Client) -> None:
    reader = begin_map(
        client.session, Options(), abs, ([-1],), star=False, ordered=True, buffersize=None, eager=True, stand_in=None
    )
    entry = wait_until(reader.poll, 5)
    assert list(reader.values(entry)) == [1]  # type: ignore[arg-type]
    reader.done_with(entry)  # type: ignore[arg-type]
    assert not reader.wake_on_arrival(lambda: None), "nothing will come that could wake it"
    assert reader.poll() is None
    assert reader.is_ended
