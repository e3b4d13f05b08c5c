"""The embedded cluster: `Client()` in scripts that are run, and killed, as processes."""

import signal
import time
from pathlib import Path

import psutil
from tests.support.daemons import wait_until
from tests.support.processes import is_alive
from tests.support.scripts import left_over, run, start

UNGUARDED = """
    from dataclasses import dataclass
    from manyhands import Client

    @dataclass
    class Point:
        x: int

    def double(point):
        print("doubling", point.x)
        return Point(point.x * 2)

    client = Client(slots=2)
    doubled = list(client.map(double, [Point(n) for n in range(5)]))
    assert doubled == [Point(n * 2) for n in range(5)], doubled
    assert client.submit(pow, 2, 10).result() == 1024
    client.shutdown()
    print("fine")
"""


def test_unguarded_script_works_and_its_tasks_print_here(tmp_path: Path) -> None:
    done = run(tmp_path, UNGUARDED)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "fine"
    printed = [line for line in done.stdout.splitlines() if "doubling" in line]
    assert sorted(line.split("doubling ")[1] for line in printed) == list("01234")
    assert all(line.startswith("[") for line in printed)
    assert left_over(tmp_path) == []


def test_script_that_never_shuts_down_ends_and_leaves_nothing(tmp_path: Path) -> None:
    done = run(tmp_path, "from manyhands import Client\nprint(Client(slots=1).submit(pow, 2, 10).result())\n")
    assert (done.returncode, done.stdout) == (0, "1024\n"), done.stderr
    wait_until(lambda: not left_over(tmp_path))


LONG = """
    import os, sys, time
    from manyhands import Client

    def hold(_):
        while True:
            pass

    client = Client(slots=2)
    future = client.submit(os.getppid)
    print(future.result(), flush=True)
    client.submit(hold, 1)
    client.submit(hold, 2)
    time.sleep(60)
"""


def test_killed_interpreter_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    process = start(tmp_path, LONG)
    assert process.stdout is not None
    daemon = psutil.Process(int(process.stdout.readline()))
    family = [daemon, *daemon.children(recursive=True)]
    assert len(family) == 4  # the daemon, its reaper, two slots
    time.sleep(0.3)  # the slots now hold their GIL
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)
    wait_until(lambda: not any(is_alive(member) for member in family), 10, "the cluster's processes are gone")
    wait_until(lambda: not left_over(tmp_path), 10, "the socket's directory is gone")


DETACHING = """
    import time
    from manyhands import Client

    class Model:
        power = 2

    def load_model():
        return Model()

    def square(x, context):
        time.sleep(0.05)
        return x ** context.power

    client = Client(slots=2, data_dir="journal")
    client.with_options(context=load_model).map(square, range(20), detach=True, name="night-run")
    waiting = client.map(time.sleep, [0.2] * 1000)
    print("begun", flush=True)
    time.sleep(60)
"""

COMING_BACK = """
    from manyhands import Client

    client = Client(slots=2, data_dir="journal")
    print(sum(client.job("night-run").results(timeout=20)))
    client.job("night-run").cancel()
    client.shutdown()
"""


def test_with_a_journal_detached_jobs_outlive_the_cluster(tmp_path: Path) -> None:
    process = start(tmp_path, DETACHING)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    in_use = run(tmp_path, COMING_BACK)
    assert "ClusterError: the embedded cluster could not start: " in in_use.stderr
    assert "stop that one, or name another folder" in in_use.stderr
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)
    wait_until(lambda: not left_over(tmp_path), 10, "the first cluster is gone")
    # Nobody waits for the map of the first any more: it would take 100 s.
    done = run(tmp_path, COMING_BACK, timeout=20)
    assert (done.returncode, done.stdout) == (0, f"{sum(x * x for x in range(20))}\n"), done.stderr
