"""A few seconds of fuzzing: a real master is sent everything that is wrong, and an honest client notices nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.fuzz.tally import CLASSES

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(150)
def test_the_master_stays_up_and_the_honest_client_is_served(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "tests.fuzz", "--seed=4", "--minutes=0.1", "--lives=1",
            "--output", tmp_path / "report",
        ],
        cwd=ROOT, capture_output=True, text=True, timeout=140, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    report = json.loads((tmp_path / "report").read_text())
    assert report["failures"] == []
    assert report["total"] > 1000
    assert report["one_field"] * 2 > report["total"]
    for kind in CLASSES:
        assert sum(report["inputs"][kind].values()) > 0, kind
    honest = report["honest"]
    assert honest["done"] > 50
    assert (honest["wrong"], honest["failed"]) == (0, 0)
