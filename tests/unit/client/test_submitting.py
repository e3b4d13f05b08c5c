"""submit: what travels, in which blocks, and what happens to tasks that cannot."""

import functools
import threading
import time

import numpy as np
import pytest
from tests.support.daemons import wait_until
from tests.support.fake_master import FakeMaster, make_client

from manyhands import Client
from manyhands.client import connection as connection_module
from manyhands.client import room as room_module
from manyhands.client import submitting as submitting_module
from manyhands.client.loop import background
from manyhands.client.session import MAX_STREAMS
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.errors import EncodeError, SessionLost, TaskCrashed


def keywords(*args: object, **kwargs: object) -> tuple[object, object]:
    return args, kwargs


class Counter:
    def __init__(self) -> None:
        self.count = 0

    def add(self, number: int) -> int:
        self.count += number
        return self.count


def test_arguments(client: Client) -> None:
    assert client.submit(keywords, 1, self=2, fn=3, x=[4]).result(5) == ((1,), {"self": 2, "fn": 3, "x": [4]})
    with pytest.raises(TypeError):
        client.submit(fn=abs)  # type: ignore[call-arg]


def test_arguments_are_pickled_at_the_call(client: Client, master: FakeMaster) -> None:
    master.running.clear()
    array = np.zeros(3)
    futures = []
    for value in range(3):
        array[:] = value
        futures.append(client.submit(np.sum, array))
    array[:] = 100
    master.running.set()
    assert [future.result(5) for future in futures] == [0, 3, 6]


def test_other_callables_travel_as_data(client: Client, master: FakeMaster) -> None:
    counter = Counter()
    futures = [client.submit(counter.add, 2) for _ in range(2)]
    assert [future.result(5) for future in futures] == [2, 2], "each call has its own copy"
    assert counter.count == 0
    assert client.submit(functools.partial(pow, 2), 5).result(5) == 32
    assert {block.call for block in master.blocks} == {pb.CALL_APPLY}
    assert list(client.map(functools.partial(pow, 2), range(3))) == [1, 2, 4]
    assert list(client.map(functools.partial(pow), [2, 3], [2, 2])) == [4, 9]


def test_a_loop_of_submits_becomes_few_blocks(client: Client, master: FakeMaster) -> None:
    futures = [client.submit(pow, 2, n % 7) for n in range(5000)]
    assert [future.result(10) for future in futures] == [2 ** (n % 7) for n in range(5000)]
    assert len(master.blocks) < 500
    assert [block.first for block in master.blocks[1:]] == [block.end for block in master.blocks[:-1]]
    assert max(len(block.payload) for block in master.blocks) < 66_000
    assert sum(body.HasField("define") for body in master.received) == 1


def test_a_lone_task_is_handed_over_unless_the_caller_waited_for_the_last_one(
    client: Client, master: FakeMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed = 0
    hand_over = connection_module.Connection.hand_over

    def counting(connection: connection_module.Connection) -> None:
        nonlocal handed
        handed += 1
        hand_over(connection)

    def submit_and_wait() -> None:
        master.running.clear()
        future = client.submit(abs, -1)
        threading.Timer(0.05, master.running.set).start()
        assert future.result(5) == 1

    monkeypatch.setattr(connection_module.Connection, "hand_over", counting)
    monkeypatch.setattr(submitting_module, "LATE", 60.0)
    submit_and_wait()
    assert handed == 1, "nothing is known of this caller"
    submit_and_wait()
    assert handed == 1, "who waits gives way by himself"
    monkeypatch.setattr(submitting_module, "LATE", 0.1)
    background().loop.call_soon_threadsafe(time.sleep, 0.5)
    submit_and_wait()
    assert handed == 1
    submit_and_wait()
    assert handed == 2, "the last task had to wait for its turn"


def test_a_change_of_function_begins_a_block(client: Client, master: FakeMaster) -> None:
    futures = [client.submit((abs, len)[n % 2], (-n, "x" * n)[n % 2]) for n in range(10)]
    assert [future.result(5) for future in futures] == list(range(10))
    assert len(master.blocks) == 10
    assert [job.opening.name for job in master.jobs.values()] == ["submit"]


def test_many_threads_submit(client: Client) -> None:
    sums: list[int] = []

    def work() -> None:
        futures = [client.submit(abs, -n) for n in range(500)]
        sums.append(sum(future.result(20) for future in futures))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sums == [sum(range(500))] * 8


def test_what_cannot_be_pickled_fails_its_own_future(client: Client) -> None:
    bad = client.submit(len, [threading.Lock()])
    good = client.submit(len, [1])
    assert bad.done()
    with pytest.raises(EncodeError, match="argument 1"):
        bad.result()
    lock = threading.Lock()
    with pytest.raises(EncodeError):
        client.submit(lambda: lock).result()
    assert good.result(5) == 1


def test_options_reach_the_master(client: Client, master: FakeMaster) -> None:
    view = client.with_options(
        retries=3, retry_delay=0.5, retry_backoff=3.0, retry_delay_max=7.0, retry_on=(OSError, KeyError)
    )
    again = view.with_options(priority=5, max_parallel=2, name="mine")
    assert view.submit(abs, 1).result(5) == again.submit(abs, 1).result(5) == 1
    assert view.with_options(retries=3).submit(abs, 1).result(5) == 1
    first, second = [job.opening for job in master.jobs.values()]
    assert (first.retry.retries, first.retry.delay, first.retry.backoff, first.retry.delay_max) == (3, 0.5, 3.0, 7.0)
    assert master.loaded.load(first.retry.retry_on) == (OSError, KeyError)
    assert (first.priority, first.max_parallel, first.name) == (0, 0, "submit")
    assert (second.priority, second.max_parallel, second.name) == (5, 2, "mine")
    assert not first.metered


def test_no_retry_on_means_any(client: Client, master: FakeMaster) -> None:
    client.with_options(retries=1).submit(abs, 1).result(5)
    assert [job.opening.retry.retry_on for job in master.jobs.values()] == [b""]


class Model:
    """By value, with a definition of its own."""


SIZE = 1


def load_model() -> object:
    return Model, SIZE


def test_the_context_reaches_the_master_with_all_it_refers_to(client: Client, master: FakeMaster) -> None:
    view = client.with_options(context=load_model, retries=1, retry_on=OSError)
    assert view.submit(abs, -1).result(5) == 1
    assert list(view.map(abs, [-1])) == [1]
    for opening in [job.opening for job in master.jobs.values()]:
        made = master.loaded.load(opening.context)()
        assert (made[0].__name__, made[1]) == ("Model", 1)
        hashes = {opening.context, opening.retry.retry_on, *opening.definitions}
        assert opening.context not in opening.definitions
        assert hashes <= set(master.definitions)
    with pytest.raises(TypeError, match="cannot be given as an argument, too"):
        view.submit(abs, -1, context=3)
    assert client.submit(dict, context=3).result(5) == {"context": 3}


def test_a_changed_context_is_another_job(client: Client, master: FakeMaster, monkeypatch: pytest.MonkeyPatch) -> None:
    view = client.with_options(context=load_model)
    assert [view.submit(abs, -1).result(5) for _ in range(3)] == [1, 1, 1]
    monkeypatch.setitem(globals(), "SIZE", 2)
    assert [view.submit(abs, -1).result(5) for _ in range(3)] == [1, 1, 1]
    first, second = master.jobs.values()
    assert [master.loaded.load(job.opening.context)()[1] for job in (first, second)] == [1, 2]
    wait_until(lambda: first.sealed_at == 3, what="the first is at its end")


def test_a_context_that_cannot_be_pickled_fails_the_call(client: Client) -> None:
    lock = threading.Lock()
    view = client.with_options(context=lambda: lock)
    with pytest.raises(EncodeError, match="lock"):
        view.submit(abs, 1).result()
    with pytest.raises(EncodeError, match="lock"):
        view.map(abs, [1])


def test_crashes_and_rejections(client: Client, master: FakeMaster) -> None:
    master.running.clear()
    crashed, rejected = client.submit(abs, 1), client.submit(abs, 2)
    crash = pb.CrashReport(worker="w1", exit_code=-9, stderr_tail="out of luck\n")
    master.send(
        pb.Body(
            failure=pb.Failure(job=1, index=0, kind=pb.Failure.KIND_CRASHED, crashes=[pb.CrashReport(), crash, crash])
        )
    )
    master.send(pb.Body(failure=pb.Failure(job=1, index=1, kind=pb.Failure.KIND_REJECTED, text="not today")))
    error = crashed.exception(5)
    assert isinstance(error, TaskCrashed)
    assert (error.signal, error.exit_code, error.attempts, error.worker) == (9, None, 3, "w1")
    assert "out of luck" in str(error)
    assert "not today" in str(rejected.exception(5))


def test_wanted_definitions_are_sent_again(client: Client, master: FakeMaster) -> None:
    master.running.clear()
    future = client.submit(keywords, 1)
    wait_until(lambda: master.definitions, 5)
    wanted = list(master.definitions)
    master.definitions.clear()
    master.send(pb.Body(want=pb.Want(hashes=[*wanted, b"?" * 16])))
    wait_until(lambda: list(master.definitions) == wanted, 5)
    master.running.set()
    assert future.result(5) == ((1,), {})


def test_a_session_the_master_forgot(client: Client, master: FakeMaster) -> None:
    master.running.clear()
    futures = [client.submit(abs, n) for n in range(10)]
    results = client.map(abs, range(10))
    wait_until(lambda: len(master.jobs) == 2, 5)
    master.forget()
    for future in futures:
        with pytest.raises(SessionLost, match="no longer knows this client"):
            future.result(5)
    with pytest.raises(SessionLost):
        list(results)
    master.running.set()
    assert client.submit(abs, -5).result(5) == 5, "the client goes on, in a new session"


def test_a_broken_link_is_a_blip(client: Client, master: FakeMaster) -> None:
    futures = []
    for n in range(200):
        futures.append(client.submit(abs, n))
        if n % 50 == 25:
            master.break_link()
    assert [future.result(10) for future in futures] == list(range(200))


def test_a_master_that_stays_away_fails_what_waits(master: FakeMaster) -> None:
    client = make_client(master, reconnect_timeout=0.2)
    master.running.clear()
    future = client.submit(abs, 1)
    master.accepting = False
    master.break_link()
    with pytest.raises(SessionLost, match=r"for 0\.2 s"):
        future.result(5)
    with pytest.raises(SessionLost):
        client.submit(abs, 1)
    client.shutdown()


def test_submit_waits_while_too_much_is_unacknowledged(
    client: Client, master: FakeMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room_module, "UNACKNOWLEDGED_BYTES", 1 << 20)
    payload = b"x" * (300 << 10)
    master.deaf.set()
    submitted: list[int] = []

    def work() -> None:
        for n in range(10):
            client.submit(len, payload + b"%d" % n)
            submitted.append(n)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    wait_until(lambda: len(submitted) >= 4, 5)
    time.sleep(0.1)
    assert len(submitted) < 7
    master.deaf.clear()
    master.break_link()
    thread.join(10)
    assert len(submitted) == 10


def test_the_callback_thread_is_never_blocked(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_module, "UNACKNOWLEDGED_BYTES", -1)
    ended = threading.Event()
    background().call(lambda: (client.submit(abs, 1), ended.set()))  # type: ignore[func-returns-value]
    assert ended.wait(5)


def test_the_loop_dying_fails_everything(client: Client, master: FakeMaster) -> None:
    master.running.clear()
    future = client.submit(abs, 1)

    def fault() -> None:
        raise ZeroDivisionError("a fault of ours")

    background().post(fault)
    with pytest.raises(ZeroDivisionError):
        future.result(5)
    with pytest.raises(ZeroDivisionError):
        client.submit(abs, 1)


def test_views_that_come_and_go_leave_no_jobs(client: Client, master: FakeMaster) -> None:
    kept = client.with_options(name="kept")
    futures = [kept.submit(abs, -1)]
    views = (client.with_options(name=f"view {number}") for number in range(3 * MAX_STREAMS))
    futures += [view.submit(abs, -1) for view in views]
    assert [future.result(5) for future in futures] == [1] * len(futures)
    jobs = client.session.connection.jobs
    wait_until(lambda: len(jobs()) == MAX_STREAMS + 1, 5, "the latest, and the one that is held")
    assert sum(job.sealed_at is not None for job in master.jobs.values()) == 2 * MAX_STREAMS
    assert kept.submit(abs, -2).result(5) == 2
    assert len(jobs()) == MAX_STREAMS + 1, "in the job that it had"


def test_a_view_made_again_and_again_has_one_job(client: Client, master: FakeMaster) -> None:
    futures = [client.with_options(priority=1).submit(abs, -number) for number in range(100)]
    assert [future.result(5) for future in futures] == list(range(100))
    assert len(client.session.connection.jobs()) == 1


def test_tasks_of_a_view_that_is_gone_end(client: Client, master: FakeMaster) -> None:
    master.running.clear()
    futures = [client.with_options(name=f"view {number}").submit(abs, -number) for number in range(2 * MAX_STREAMS)]
    assert futures[1].cancel()
    master.running.set()
    assert [future.result(5) for future in futures if not future.cancelled()] == [0, *range(2, 2 * MAX_STREAMS)]
    wait_until(lambda: len(client.session.connection.jobs()) == MAX_STREAMS, 5, "the latest")
