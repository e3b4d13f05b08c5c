"""A short chaos run: a real cluster under load, each fault once, and what its clients saw is as promised."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.chaos.plan import Kind

ROOT = Path(__file__).parents[2]

#: A small disk would need root.
KINDS = [kind for kind in Kind if kind is not Kind.FULL_DISK]
#: Its plan has a pause beyond the heartbeat timeout, is over soon after the time asked for, and no fault takes
#: away what another one strikes at.
SEED, MINUTES, HEARTBEAT_TIMEOUT = 59380, 0.14, 4


@pytest.mark.timeout(150)
def test_nothing_is_lost_and_nothing_hangs(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "tests.chaos", f"--seed={SEED}", f"--minutes={MINUTES}",
            f"--heartbeat-timeout={HEARTBEAT_TIMEOUT}", f"--kinds={','.join(KINDS)}", "--clients=2",
            "--output", tmp_path / "r",
        ],
        cwd=ROOT, capture_output=True, text=True, timeout=140, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    report = json.loads((tmp_path / "r").read_text())
    assert report["violations"] == []
    assert list(report["kinds"]) == KINDS
    for name, kind in report["kinds"].items():
        assert (kind["struck"], kind["missed"]) == (1, 0), name
    totals = report["totals"]
    assert totals["ended"] > 200  # a real load, on the slowest machine too
    assert min(totals["values"], totals["raised"], totals["cancelled"]) > 0
