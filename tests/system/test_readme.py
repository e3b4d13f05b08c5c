"""The README's Python, run: the examples as they stand, the one for several machines against real daemons."""

import re
import subprocess
import sys
from pathlib import Path

from tests.support.daemons import Daemon, start_master

README = (Path(__file__).parents[2] / "README.md").read_text()
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def run_script(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = folder / "script.py"
    path.write_text(text)
    return subprocess.run(
        [sys.executable, "-W", "error", path], capture_output=True, text=True, timeout=50, check=False, cwd=folder
    )


def test_the_first_example(tmp_path: Path) -> None:
    done = run_script(SNIPPETS[0], tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    power, pi, count = done.stdout.splitlines()
    assert power == "1024"
    assert re.fullmatch(r"pi is about 3\.1[34]\d", pi)
    assert count == "10501 tasks done"


def test_the_example_of_failures(tmp_path: Path) -> None:
    done = run_script(f"from manyhands import Client\n{SNIPPETS[1]}", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "[1.5, None, 3.0]",
        "item 1, 'two': could not convert string to float: 'two'",
        "3.0",
    ]


def test_the_example_of_a_context(tmp_path: Path) -> None:
    done = run_script(f"from manyhands import Client\n{SNIPPETS[2]}", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1998.0\n999999000000.0\n", "")


def test_the_example_of_a_search(tmp_path: Path) -> None:
    done = run_script(f"from manyhands import Client\n{SNIPPETS[3]}", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    found = re.fullmatch(r"{'x': (\S+), 'n': 5} (\S+) \(1000,\)\n", done.stdout)
    assert found, done.stdout
    assert abs(float(found[1]) - 0.3) < 1e-3
    assert float(found[2]) < 1e-6


def test_the_example_for_several_machines(tmp_path: Path) -> None:
    """On this machine's loopback instead of three hosts; otherwise word for word, with the first one's function."""
    function = re.search(r"^def simulate.*?\n\n\n", SNIPPETS[0], re.MULTILINE | re.DOTALL)
    assert function
    master, address = start_master()
    with master:
        join = master.wait_for(r"manyhands (worker \S+)")[1]
        workers = [Daemon(*join.split(), "--slots", "1") for _ in range(3)]
        try:
            snippet = SNIPPETS[4].replace("192.0.2.7:7077", address).replace("range(100_000)", "range(300)")
            assert address in snippet
            assert "range(300)" in snippet
            lines = f"from manyhands import Client\n{function[0]}{snippet}"
            done = run_script(f"{lines}print(len(estimates), min(estimates) > 3, max(estimates) < 3.3)\n", tmp_path)
        finally:
            assert [worker.stop() for worker in workers] == [0, 0, 0]
    assert done.stdout == "300 True True\n", done.stderr
    assert done.stderr.startswith("simulate: 300 of 300 done")


def test_the_example_of_a_job_that_outlives_its_client(tmp_path: Path) -> None:
    function = re.search(r"^def simulate.*?\n\n\n", SNIPPETS[0], re.MULTILINE | re.DOTALL)
    assert function
    master, address = start_master("--data-dir", str(tmp_path / "state"))
    with master, Daemon("worker", address, "--slots", "1"):
        lines = f'from manyhands import Client\n{function[0]}client = Client("{address}")\n'
        snippet = SNIPPETS[5].replace("range(100_000)", "range(30)")
        assert "range(30)" in snippet
        done = run_script(f"{lines}{snippet}print(job.wait(timeout=40))\n", tmp_path)
    assert done.stdout == "JobProgress(total=30, succeeded=30, failed=0, finished=True)\n", done.stderr
