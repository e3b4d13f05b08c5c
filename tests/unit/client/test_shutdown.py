"""shutdown in every phase: it returns, nothing that waits hangs, and nothing new is taken."""

import concurrent.futures
import itertools
import logging
import threading
import time
from collections.abc import Iterator

import pytest
from tests.support.daemons import wait_until
from tests.support.fake_master import FakeMaster, make_client

from manyhands import Client
from manyhands.client.attached import HandOver
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.errors import SessionLost


def ended(work: threading.Thread) -> bool:
    work.join(5)
    return not work.is_alive()


def test_what_was_submitted_is_done_first(client: Client, master: FakeMaster) -> None:
    master.running.clear()
    futures = [client.submit(abs, -n) for n in range(5)]
    stopping = threading.Thread(target=client.shutdown)
    stopping.start()
    with pytest.raises(RuntimeError, match="after shutdown"):
        while True:
            futures.append(client.submit(abs, -len(futures)))
    assert not futures[0].done()
    master.running.set()
    assert ended(stopping)
    assert [future.result(0) for future in futures] == list(range(len(futures)))
    for refused in (client.map, client.map_unordered):
        with pytest.raises(RuntimeError, match="after shutdown"):
            refused(abs, [1])
    with pytest.raises(RuntimeError, match="after shutdown"):
        client.with_options(priority=1).submit(abs, 1)


def test_twice_and_in_two_threads(client: Client) -> None:
    client.submit(abs, 1)
    threads = [threading.Thread(target=client.shutdown) for _ in range(2)]
    for thread in threads:
        thread.start()
    client.shutdown()
    assert all(ended(thread) for thread in threads)
    client.shutdown(wait=False, cancel_futures=True)


def test_cancel_futures_spares_what_runs(client: Client, master: FakeMaster) -> None:
    master.run_count = 1  # so that a slot takes one each, should both come in one block
    running = [client.submit(time.sleep, 0.4) for _ in range(2)]
    waiting = [client.submit(abs, n) for n in range(5)]
    results = client.map(abs, range(3))
    wait_until(lambda: sum(hi - lo for job in master.jobs.values() for lo, hi in job.started) == 2, 5)
    client.shutdown(cancel_futures=True)
    assert [future.result(0) for future in running] == [None, None]
    assert all(future.cancelled() for future in waiting)
    with pytest.raises(concurrent.futures.CancelledError):
        next(results)


def test_cancel_as_an_afterthought(client: Client, master: FakeMaster) -> None:
    master.running.clear()
    futures = [client.submit(abs, n) for n in range(20)]
    client.shutdown(wait=False)
    client.shutdown(wait=False, cancel_futures=True)
    wait_until(lambda: sum(future.cancelled() for future in futures) >= 18, 5)
    master.running.set()
    client.shutdown()
    assert all(future.done() for future in futures)


def test_from_a_callback(client: Client, master: FakeMaster) -> None:
    master.running.clear()
    first, second = client.submit(abs, -1), client.submit(abs, -2)
    first.add_done_callback(lambda _: client.shutdown())
    master.running.set()
    assert second.result(5) == 2
    assert client._connection.closed.wait(5)


def test_while_a_generator_is_mapped(client: Client) -> None:
    results = client.map(abs, itertools.count())
    assert next(results) == 0
    client.shutdown()
    seen = [0]
    with pytest.raises(RuntimeError, match="shut down before all inputs"):
        seen.extend(results)
    assert len(seen) > 1, "what had been pulled was done"
    assert seen == list(range(len(seen)))


def test_results_of_a_map_outlive_the_client(master: FakeMaster) -> None:
    with make_client(master) as client:
        results = client.map(abs, range(1000))
    del client
    assert list(results) == list(range(1000))


def test_after_the_master_died(master: FakeMaster) -> None:
    client = make_client(master, reconnect_timeout=0.1)
    master.running.clear()
    future = client.submit(abs, 1)
    results = client.map(abs, itertools.count())
    master.accepting = False
    master.break_link()
    client.shutdown()
    with pytest.raises(SessionLost):
        future.result(0)
    with pytest.raises(SessionLost):
        next(results)
    with pytest.raises(SessionLost):
        client.wait_for_workers(100)


@pytest.mark.parametrize("when", ["before", "after"])
def test_cancel_while_the_master_is_away(client: Client, master: FakeMaster, when: str) -> None:
    """It is told when it is back, and nobody waits for that; `when`: it is lost before it is asked, or after."""
    master.running.clear()
    futures = [client.submit(abs, n) for n in range(5)]
    wait_until(lambda: client._connection._dialer is not None and not client._connection._dialer.pending_bytes, 5)
    results = client.map(abs, range(3))
    master.accepting = False
    if when == "before":
        master.break_link()
    else:
        master.deaf.set()
    client.shutdown(wait=False, cancel_futures=True)
    if when == "after":
        assert not concurrent.futures.wait(futures, 0.2).done
        master.break_link()
        master.deaf.clear()
    assert len(concurrent.futures.wait(futures, 5).done) == 5
    assert all(future.cancelled() for future in futures)
    with pytest.raises(concurrent.futures.CancelledError):
        next(results)
    assert client._connection.closed.wait(5)
    assert when == "after" or not any(body.HasField("cancel") for body in master.received)
    master.accepting = True
    wait_until(lambda: any(body.HasField("close_session") for body in master.received), 10)
    cancels = [body.cancel for body in master.received if body.HasField("cancel")]
    assert sorted(sum(each.hi - each.lo for each in cancel.ranges) for cancel in cancels) == [3, 5]
    assert all(cancel.spare_running for cancel in cancels)


def test_what_is_known_to_run_is_not_cancelled_while_the_master_is_away(client: Client, master: FakeMaster) -> None:
    master.running.clear()
    futures = [client.submit(abs, -n) for n in range(3)]
    assert not futures[0].running()
    master.send(pb.Body(dispatched=pb.Dispatched(job=1, ranges=[pb.Range(lo=0, hi=2)])))
    wait_until(futures[0].running, 5)
    master.accepting = False
    master.break_link()
    client.shutdown(wait=False, cancel_futures=True)
    wait_until(futures[2].cancelled, 5)
    assert not futures[1].done()
    master.running.set()
    master.accepting = True
    assert [future.result(10) for future in futures[:2]] == [0, 1]


def sent(client: Client) -> bool:
    """Whether everything that was said has reached the master, which may take a moment."""
    connection = client._connection
    assert connection._dialer is not None
    return connection.background.run(connection._dialer.flush(5)).result(10)


def test_while_a_job_is_handed_over(client: Client, master: FakeMaster) -> None:
    """Half of it is not left with the master, and all of it is not cancelled."""

    def inputs() -> Iterator[int]:
        yield from range(50)
        client.shutdown(wait=False, cancel_futures=True)
        assert sent(client)
        yield from range(50)

    master.running.clear()
    with pytest.raises(RuntimeError, match="after shutdown"):
        client.map(abs, inputs(), detach=True, name="half")
    assert client._connection.closed.wait(5)
    (cancel,) = [body.cancel for body in master.received if body.HasField("cancel")]
    assert not cancel.ranges
    assert not any(body.HasField("seal_job") for body in master.received)


def test_inputs_that_raise_leave_no_job(client: Client, master: FakeMaster, monkeypatch: pytest.MonkeyPatch) -> None:
    def inputs() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    def abandon_late(job: HandOver, *, cancel: bool) -> None:
        assert sent(client)
        abandon(job, cancel=cancel)

    abandon = HandOver.abandon
    monkeypatch.setattr(HandOver, "abandon", abandon_late)
    with pytest.raises(OSError, match="the disk is gone"):
        client.map(abs, inputs(), detach=True, name="half")
    wait_until(lambda: any(body.HasField("cancel") for body in master.received), 5)
    assert not any(body.HasField("seal_job") for body in master.received), "then it would be the master's"


def test_waiting_for_workers_ends_with_the_client(client: Client) -> None:
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            client.wait_for_workers(100)
        except SessionLost as error:
            errors.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    client.shutdown()
    assert ended(waiting)
    assert len(errors) == 1
    with pytest.raises(SessionLost):
        client.wait_for_workers(100)


def test_an_exception_leaves_the_block_as_itself(master: FakeMaster) -> None:
    with pytest.raises(ZeroDivisionError), make_client(master) as client:
        future = client.submit(abs, -1)
        raise ZeroDivisionError
    assert future.result(0) == 1


def test_ctrl_c_leaves_the_block_without_the_rest(client: Client, master: FakeMaster) -> None:
    master.running.clear()
    with pytest.raises(KeyboardInterrupt), client:
        futures = [client.submit(abs, n) for n in range(50)]
        threading.Timer(0.2, master.running.set).start()
        raise KeyboardInterrupt
    assert sum(future.cancelled() for future in futures) >= 48


def test_a_cluster_that_cannot_be_stopped_ends_the_shutdown(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise OSError("no such process")

    client._connection.after_close = fail
    with caplog.at_level(logging.CRITICAL, "asyncio"):
        client.shutdown()
    assert client._connection.closed.is_set()


def test_a_dropped_client_does_what_it_was_given(master: FakeMaster) -> None:
    client = make_client(master)
    connection = client._connection
    master.running.clear()
    future = client.submit(abs, -1)
    del client
    master.running.set()
    assert future.result(5) == 1
    assert connection.closed.wait(5)
