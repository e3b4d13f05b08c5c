"""How a client's process may end, fork or be interrupted: nothing hangs, and nothing is left behind."""

import os
import select
import signal
import time
from pathlib import Path

import pytest
from tests.support.daemons import wait_until
from tests.support.scripts import left_over, run, start

FORKS = """
    import concurrent.futures, multiprocessing, os, sys, time
    from manyhands import Client, errors

    def refused(use):
        try:
            use()
        except errors.ForkedClient:
            return True
        return False

    def child(client, pending, ended, results, answers):
        answers.put([
            refused(lambda: client.submit(abs, 1)),
            refused(lambda: client.with_options(retries=1).submit(abs, 1)),
            refused(lambda: client.map(abs, [1])),
            refused(lambda: next(results)),
            refused(lambda: pending.result()),
            refused(lambda: pending.cancel()),
            refused(lambda: concurrent.futures.wait([pending])),
            refused(lambda: next(concurrent.futures.as_completed([pending]))),
            refused(lambda: client.wait_for_workers(1)),
            refused(lambda: client.shutdown()),
            ended.result() == 3,
        ])
        with Client(slots=1) as own:
            answers.put(own.submit(pow, 2, 5).result(20))

    with Client(slots=2) as client:
        ended, pending = client.submit(abs, -3), client.submit(time.sleep, 1.0)
        results = client.map(abs, (n for n in range(10000)))
        assert ended.result() == 3 and next(results) == 0
        context = multiprocessing.get_context("fork")
        answers = context.SimpleQueue()
        process = context.Process(target=child, args=(client, pending, ended, results, answers))
        process.start()
        print(answers.get())
        print(answers.get())
        process.join()
        if (pid := os.fork()) == 0:
            sys.exit(7)  # through the end of the block
        print(process.exitcode, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        print(client.submit(abs, -4).result(), len(list(results)), pending.result())
    print("done")
"""


def test_a_forked_child_is_told_and_the_parent_goes_on(tmp_path: Path) -> None:
    done = run(tmp_path, FORKS)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str([True] * 11), "32", "0 7", "4 9999 None", "done"], done.stderr
    assert left_over(tmp_path) == []


INTERRUPTED = """
    import concurrent.futures, itertools, os, time
    from manyhands import Client

    client = Client(slots=2)
    def wait_in_result(): client.submit(time.sleep, 0.4).result() or time.sleep(60)
    def wait_in_map(): list(client.map(time.sleep, [0.1] * 500))
    def wait_in_lazy_map(): list(client.map(time.sleep, itertools.repeat(0.1)))
    def wait_in_wait(): concurrent.futures.wait([client.submit(time.sleep, 0.02) for _ in range(100)])
    def submitting():
        for _ in range(40): futures = [client.submit(abs, n) for n in range(20_000)]
    def reading(): sum(client.map(abs, itertools.count()))
    def sending(): list(client.map(abs, range(50_000_000)))

    for wait in (wait_in_result, wait_in_map, wait_in_lazy_map, wait_in_wait, submitting, reading, sending):
        print("ready", flush=True)
        try:
            wait()
        except KeyboardInterrupt:
            client.with_options(priority=1).submit(abs, 1).result(20)
            assert client.submit(abs, -5).result(40) == 5
            assert list(client.with_options(priority=1).map(abs, range(5))) == list(range(5))
        else:
            print("not interrupted:", wait, flush=True)
    client.shutdown(cancel_futures=True)
    print("done", flush=True)
"""


def test_ctrl_c_leaves_a_client_that_works(tmp_path: Path) -> None:
    process = start(tmp_path, INTERRUPTED)
    assert process.stdout is not None
    lines, presses = [], 0
    while (line := process.stdout.readline()) == "ready\n":
        lines.append(line)
        time.sleep(0.3)
        while True:
            os.killpg(process.pid, signal.SIGINT)
            presses += 1
            if select.select([process.stdout], [], [], 20)[0]:
                break
            # Python drops an interrupt that falls into a finalizer; who presses Ctrl-C in vain presses it again.
            assert presses <= 8, f"Ctrl-C does not interrupt {len(lines)}"
    _, err = process.communicate(timeout=30)
    assert (len(lines), line, process.returncode) == (7, "done\n", 0)
    assert not err or (presses == 8 and err.startswith("Exception ignored")), err
    assert left_over(tmp_path) == []


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_that_nobody_catches_ends_the_script(tmp_path: Path, times: int) -> None:
    """With `with`, and although a task runs for long when pressed twice."""
    seconds = 0.5 if times == 1 else 60
    process = start(
        tmp_path,
        f"""
        import time
        from manyhands import Client
        with Client(slots=2) as client:
            results = client.map(time.sleep, [{seconds}] * 100)
            print("ready", flush=True)
            list(results)
        """,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    for _ in range(times):
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGINT)
    began = time.monotonic()
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - began < 10
    assert process.returncode != 0
    assert "KeyboardInterrupt" in err
    wait_until(lambda: not left_over(tmp_path), 10, "the cluster has tidied up")


FORGOTTEN = """
    import gc, os, time
    from manyhands import Client

    def gone(pid):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return True
            time.sleep(0.01)
        return False

    client = Client(slots=1)
    daemon = client.submit(os.getppid).result()
    future = client.submit(pow, 2, 5)
    results = client.map(abs, range(100))
    cycle = [client]
    cycle.append(cycle)
    del client, cycle
    gc.collect()
    assert future.result() == 32 and list(results) == list(range(100)), "what was given is done"
    del results, future
    print(gone(daemon))
"""


def test_a_client_that_was_forgotten_takes_its_cluster_along(tmp_path: Path) -> None:
    done = run(tmp_path, FORGOTTEN)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")
    assert left_over(tmp_path) == []


LEAVING = """
    import atexit, itertools, threading, time
    from manyhands import Client

    client = Client(slots=2)

    def last():
        assert kept.result(0) == 1, "done before any atexit handler"
        client.shutdown()
        for refused in (lambda: client.submit(abs, 1), lambda: client.map(abs, [1])):
            try:
                refused()
            except RuntimeError as error:
                print(error)

    atexit.register(last)
    endless = client.map(abs, itertools.count())
    next(endless)
    unread = client.map(abs, range(1000))

    def slow():
        time.sleep(0.3)
        return 1

    kept = client.submit(slow)
    kept.add_done_callback(lambda _: print("called back"))
"""


def test_the_interpreters_end(tmp_path: Path) -> None:
    done = run(tmp_path, LEAVING)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["called back"] + 2 * ["cannot schedule new futures after interpreter shutdown"]
    assert left_over(tmp_path) == []
