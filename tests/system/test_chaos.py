"""A short chaos run: a real cluster under load, a fault a second, and what its clients saw is as promised."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.chaos.plan import Kind

ROOT = Path(__file__).parents[2]

#: A small disk would need root.
KINDS = [kind for kind in Kind if kind is not Kind.FULL_DISK]
#: Its plan has some pauses beyond the heartbeat timeout, and is over soon after the time asked for.
SEED, MINUTES = 137, 0.4


@pytest.mark.timeout(200)
def test_nothing_is_lost_and_nothing_hangs(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "tests.chaos", f"--seed={SEED}", f"--minutes={MINUTES}",
            f"--kinds={','.join(KINDS)}", "--output", tmp_path / "r",
        ],
        cwd=ROOT, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    report = json.loads((tmp_path / "r").read_text())
    assert report["violations"] == []
    assert list(report["kinds"]) == KINDS
    for name, kind in report["kinds"].items():
        assert kind["struck"] > 0, name
        assert kind["struck"] + kind["missed"] == 2, name
    totals = report["totals"]
    assert totals["ended"] > 500  # a real load, on the slowest machine too
    assert min(totals["values"], totals["raised"], totals["cancelled"]) > 0
