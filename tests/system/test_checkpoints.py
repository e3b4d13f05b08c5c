"""Checkpoints of real scripts: rerun under other hash seeds, after edits, after kill -9; two clients at once."""

import os
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

from tests.support.daemons import wait_until

SCRIPT = """
    import dataclasses, pathlib, sys, time
    import helping
    from manyhands import Client

    @dataclasses.dataclass
    class Reading:
        name: str
        tags: set

    @dataclasses.dataclass
    class Result:
        reading: Reading
        value: int

    def work(reading):
        with open({runs!r}, "a") as file:
            file.write(reading.name + "\\n")
        time.sleep({pause})
        return Result(reading, helping.help(len(reading.tags)))

    readings = [Reading(str(number), {{"a", "b", str(number)}}) for number in range({count})]
    with Client(slots=2) as client:
        kept = client.with_options(checkpoint="./kept")
        total = 0
        for number, result in enumerate(kept.map(work, iter(readings) if {lazy} else readings)):
            assert type(result) is Result and type(result.reading) is Reading, "the script's own classes"
            assert result.reading == readings[number]
            total += result.value
        future = kept.submit(work, readings[0])
        assert future.result().reading == readings[0]
        print(total, client.get_stats()["tasks_recalled"])
"""


class Project:
    """A script and a module of its own."""

    def __init__(self, folder: Path, count: int = 100, pause: float = 0.0) -> None:
        self.folder = folder
        self.values: dict[str, Any] = {"runs": str(folder / "runs"), "count": count, "pause": pause, "lazy": False}
        self.help = "return x"

    def start(self, seed: int = 0) -> subprocess.Popen[str]:
        (self.folder / "helping.py").write_text(f"def help(x):\n    {self.help}\n")
        (self.folder / "script.py").write_text(textwrap.dedent(SCRIPT).format(**self.values))
        return subprocess.Popen(
            [sys.executable, "-B", "script.py"], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env={**os.environ, "PYTHONHASHSEED": str(seed)}, start_new_session=True,
        )  # fmt: skip

    def run(self, seed: int = 0) -> list[int]:
        """What the script prints: the total, and how many results it had already."""
        process = self.start(seed)
        out, err = process.communicate(timeout=50)
        assert process.returncode == 0, err
        return [int(each) for each in out.split()]

    def run_count(self) -> int:
        """How often something has run."""
        path = self.folder / "runs"
        return len(path.read_text().split()) if path.exists() else 0

    def ran(self) -> Counter[str]:
        """What has run since the last look."""
        path = self.folder / "runs"
        lines = path.read_text().split() if path.exists() else []
        path.unlink(missing_ok=True)
        return Counter(lines)


def test_a_script_is_rerun(tmp_path: Path) -> None:
    project = Project(tmp_path)
    assert project.run(seed=1)[0] == 300
    assert project.ran().keys() == {str(number) for number in range(100)}
    assert project.run(seed=2) == [300, 101]
    assert not project.ran()
    project.values.update(lazy=True, count=120)
    assert project.run(seed=3)[0] == 360
    assert project.ran().keys() == {str(number) for number in range(100, 120)}
    project.help = "return x + 1"
    assert project.run(seed=4)[0] == 480
    assert len(project.ran()) == 120
    project.help = "return x  # as it was"
    assert project.run(seed=5) == [360, 121]
    assert not project.ran()


def test_kill_9_of_the_client_loses_a_moment_only(tmp_path: Path) -> None:
    project = Project(tmp_path, count=200, pause=0.01)
    for seed in range(2):
        enough = project.run_count() + 70
        process = project.start(seed)
        wait_until(lambda enough=enough: project.run_count() >= enough, 40)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=20)
    assert project.run(seed=9)[0] == 600
    counts = project.ran()
    assert counts.keys() == {str(number) for number in range(200)}
    # Each time at most what had run in the last moment, at 200 a second: 0.1 s of gathering, and what was on its way.
    assert counts.total() - 201 <= 2 * 60


def test_two_clients_at_once(tmp_path: Path) -> None:
    project = Project(tmp_path, count=200, pause=0.002)
    running = [project.start(seed) for seed in (1, 2)]
    for process in running:
        out, err = process.communicate(timeout=50)
        assert process.returncode == 0, err
        assert out.split()[0] == "600"
    project.ran()
    assert project.run() == [600, 201]
    assert not project.ran()
