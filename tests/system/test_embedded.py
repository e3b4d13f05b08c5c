"""The embedded cluster: `Client()` in scripts that are run, and killed, as processes."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
from tests.support.daemons import wait_until
from tests.support.processes import is_alive


def script(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(text))
    return path


def start(path: Path, tmp_path: Path) -> subprocess.Popen[str]:
    scratch = tmp_path / "tmp"
    scratch.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, str(path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(scratch)},
    )  # fmt: skip


def run(path: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    process = start(path, tmp_path)
    out, err = process.communicate(timeout=50)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


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
    done = run(script(tmp_path, UNGUARDED), tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "fine"
    printed = [line for line in done.stdout.splitlines() if "doubling" in line]
    assert sorted(line.split("doubling ")[1] for line in printed) == list("01234")
    assert all(line.startswith("[") for line in printed)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_script_that_never_shuts_down_ends_and_leaves_nothing(tmp_path: Path) -> None:
    path = script(tmp_path, "from manyhands import Client\nprint(Client(slots=1).submit(pow, 2, 10).result())\n")
    done = run(path, tmp_path)
    assert (done.returncode, done.stdout) == (0, "1024\n"), done.stderr
    wait_until(lambda: not list((tmp_path / "tmp").iterdir()))


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
    process = start(script(tmp_path, LONG), tmp_path)
    assert process.stdout is not None
    daemon = psutil.Process(int(process.stdout.readline()))
    family = [daemon, *daemon.children(recursive=True)]
    assert len(family) == 3
    time.sleep(0.3)  # the slots now hold their GIL
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)
    wait_until(lambda: not any(is_alive(member) for member in family), 10, "the cluster's processes are gone")
    wait_until(lambda: not list((tmp_path / "tmp").iterdir()), 10, "the socket's directory is gone")


def test_client_inside_a_task_is_refused(tmp_path: Path) -> None:
    path = script(
        tmp_path,
        """
        from manyhands import Client, errors

        def nested():
            with Client() as client:
                return client.submit(pow, 2, 3).result()

        with Client(slots=1) as client:
            try:
                client.submit(nested).result()
            except errors.NestedClient as error:
                print("refused:", error)
        """,
    )
    done = run(path, tmp_path)
    assert done.stdout.startswith("refused:"), done.stderr


def test_local_module_travels_and_its_new_version_too(tmp_path: Path) -> None:
    (tmp_path / "recipe.py").write_text("FACTOR = 2\ndef cook(x):\n    return x * FACTOR\n")
    path = script(
        tmp_path,
        """
        import importlib, pathlib, time
        from manyhands import Client
        import recipe

        with Client(slots=1) as client:
            print(list(client.map(recipe.cook, range(3))))
            print(list(client.map(lambda x: recipe.cook(x) + 1, range(3))))
            pathlib.Path("recipe.py").write_text("FACTOR = 30\\ndef cook(x):\\n    return x * FACTOR\\n")
            importlib.invalidate_caches()
            importlib.reload(recipe)
            print(list(client.map(recipe.cook, range(3))))
        """,
    )
    done = run(path, tmp_path)
    assert done.stdout.splitlines() == ["[0, 2, 4]", "[1, 3, 5]", "[0, 30, 60]"], done.stderr
