"""Futures are the standard library's in every protocol they take part in."""

import asyncio
import concurrent.futures
import gc
import pickle
import threading
import time
import weakref
from concurrent.futures import CancelledError

import cloudpickle
import pytest
from tests.support.daemons import wait_until
from tests.support.fake_master import FakeMaster

from manyhands import Client
from manyhands.client.loop import background
from manyhands.wire.errors import EncodeError, RemoteTraceback


def fail(text: str) -> None:
    raise ValueError(text)


def test_result_and_exception(client: Client) -> None:
    future = client.submit(divmod, 7, 2)
    assert future.result(5) == (3, 1)
    assert future.exception() is None
    assert future.result() is future.result(), "decoded once"
    failed = client.submit(fail, "no")
    with pytest.raises(ValueError, match="no") as caught:
        failed.result(5)
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert failed.exception() is caught.value
    assert future.done()
    assert not future.running()
    assert not future.cancelled()


def test_repr_does_not_decode(client: Client) -> None:
    future = client.submit(abs, -1)
    wait_until(future.done, 5)
    assert "finished" in repr(future)
    assert "NoneType" not in repr(future)
    future.result()
    assert "returned int" in repr(future)


def test_timeout(client: Client, master: FakeMaster) -> None:
    master.running.clear()
    future = client.submit(abs, 1)
    with pytest.raises(TimeoutError):
        future.result(0.01)
    with pytest.raises(TimeoutError):
        future.exception(timeout=0)
    master.running.set()
    assert future.result(5) == 1


def test_wait_and_as_completed(client: Client, master: FakeMaster) -> None:
    master.running.clear()
    futures = [client.submit(abs, n) for n in range(100)]
    waiting = threading.Timer(0.02, master.running.set)
    waiting.start()
    done, not_done = concurrent.futures.wait(futures, timeout=10)
    assert not not_done
    assert {future.result() for future in done} == set(range(100))
    assert set(concurrent.futures.as_completed(futures)) == set(futures)


def test_first_exception(client: Client, master: FakeMaster) -> None:
    master.running.clear()
    futures = [client.submit(abs, 1), client.submit(fail, "x")]
    threading.Timer(0.02, master.running.set).start()
    done, _ = concurrent.futures.wait(futures, 10, concurrent.futures.FIRST_EXCEPTION)
    assert futures[1] in done


def test_asyncio_wraps_it(client: Client) -> None:
    async def main() -> list[object]:
        futures = [asyncio.wrap_future(client.submit(pow, 2, n)) for n in range(10)]
        failing = asyncio.wrap_future(client.submit(fail, "x"))
        return [*await asyncio.gather(*futures), *await asyncio.gather(failing, return_exceptions=True)]

    *results, error = asyncio.run(main())
    assert results == [2**n for n in range(10)]
    assert isinstance(error, ValueError)


def test_callbacks_run_apart_and_may_submit(client: Client, master: FakeMaster) -> None:
    master.running.clear()
    future = client.submit(abs, -1)
    seen: list[tuple[str, int]] = []

    def submit_again(done: concurrent.futures.Future[int]) -> None:
        value = client.submit(abs, done.result() - 3).result(5)
        seen.append((threading.current_thread().name, value))

    future.add_done_callback(submit_again)
    future.add_done_callback(lambda _: 1 / 0)  # is logged, and disturbs nobody
    future.add_done_callback(submit_again)
    master.running.set()
    wait_until(lambda: len(seen) == 2, 5)
    assert seen == [("manyhands-callbacks", 2)] * 2
    future.add_done_callback(lambda _: seen.append((threading.current_thread().name, 0)))
    assert seen[-1] == (threading.current_thread().name, 0), "at once if it has ended, as in the standard library"


def _cancelled_at(master: FakeMaster) -> set[int]:
    """The tasks that the master was told to cancel."""
    bodies = [body for body in list(master.received) if body.HasField("cancel")]
    return {index for body in bodies for span in body.cancel.ranges for index in range(span.lo, span.hi)}


def test_cancel(client: Client, master: FakeMaster) -> None:
    master.running.clear()
    futures = [client.submit(abs, n) for n in range(20)]
    called: list[object] = []
    futures[3].add_done_callback(called.append)
    waiter = threading.Thread(target=lambda: concurrent.futures.wait([futures[3]]))
    waiter.start()
    assert futures[3].cancel()
    assert futures[3].cancel()
    waiter.join(5)
    assert not waiter.is_alive()
    assert all(future.cancel() for future in futures[5:9])
    for future in (futures[3], *futures[5:9]):
        assert future.cancelled()
        assert future.done()
        with pytest.raises(CancelledError):
            future.result()
        with pytest.raises(CancelledError):
            future.exception()
    master.running.set()
    assert [future.result(5) for future in futures if not future.cancelled()] == [0, 1, 2, 4, *range(9, 20)]
    assert not futures[0].cancel()
    wait_until(lambda: called == [futures[3]], 5)
    wait_until(lambda: _cancelled_at(master) == {3, 5, 6, 7, 8}, 5)
    assert client.get_stats()["tasks_completed"] == 15


def test_cancel_of_what_runs_drops_the_late_result(client: Client, master: FakeMaster) -> None:
    future = client.submit(time.sleep, 0.2)
    wait_until(lambda: any(job.started for job in master.jobs.values()), 5)
    assert future.cancel()
    assert client.submit(abs, -2).result(5) == 2
    client.shutdown()
    assert future.cancelled()


def test_a_result_is_dropped_with_its_future(client: Client) -> None:
    class Thing:
        pass

    future = client.submit(Thing)
    alive = weakref.ref(future.result(5))
    gone = weakref.ref(future)
    assert alive() is not None
    del future
    wait_until(lambda: gone() is None and alive() is None, 5)


def test_a_raised_exception_keeps_nothing_alive(client: Client) -> None:
    future = client.submit(fail, "x")
    with pytest.raises(ValueError, match="x"):
        future.result(5)
    gone = weakref.ref(future)
    gc.disable()
    try:
        del future
        wait_until(lambda: gone() is None, 5)
    finally:
        gc.enable()


def test_many_threads_decode_one_future(client: Client) -> None:
    future = client.submit(list, range(1000))
    results: list[object] = []
    threads = [threading.Thread(target=lambda: results.append(future.result(5))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(results) == 8
    assert len({id(result) for result in results}) == 1


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps])
def test_it_cannot_be_pickled(client: Client, dumps: object) -> None:
    future = client.submit(abs, 1)
    for thing in (future, client, client.map(abs, [1])):
        with pytest.raises(TypeError, match="cannot be sent to a task"):
            dumps(thing)  # type: ignore[operator]
        inside = client.submit(abs, [thing])
        with pytest.raises(EncodeError, match="cannot be sent to a task"):
            inside.result(5)


def test_an_end_is_told_on_whatever_thread_it_comes(client: Client, master: FakeMaster) -> None:
    ended: list[bool] = []
    master.running.clear()
    future = client.submit(abs, 1)
    future.on_end(lambda: ended.append(background().is_current))
    master.running.set()
    future.result(5)
    wait_until(lambda: ended == [True], 5)
    future.on_end(lambda: ended.append(background().is_current))
    assert ended == [True, False]
