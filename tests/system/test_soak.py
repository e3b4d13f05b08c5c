"""A short soak: all kinds of work, workers and clients that come and go, and nothing of it is left."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TASKS = 100_000


@pytest.mark.timeout(180)
def test_nothing_is_left_behind(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak", f"--tasks={TASKS}", "--seed=1", "--output", tmp_path / "r"],
        cwd=ROOT, capture_output=True, text=True, timeout=170, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    report = json.loads((tmp_path / "r").read_text())
    assert report["violations"] == []
    assert len(report["samples"]) == 10
    assert report["samples"][-1]["tasks"] >= TASKS
    assert report["drained"] > 0
    assert report["clients"] > 1
