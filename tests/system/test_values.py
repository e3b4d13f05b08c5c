"""What users define in a script, sent to a real cluster and back; the cases are in `main_values.py`."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("main_values.py")
CASES = re.findall(r"^def (case_\w+)", PROGRAM.read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, str(PROGRAM)], cwd=tmp_path_factory.mktemp("cwd"),
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.mark.parametrize("case", CASES)
def test_values(case: str, outcomes: dict[str, str]) -> None:
    assert not outcomes[case], outcomes[case]


def test_every_case_ran(outcomes: dict[str, str]) -> None:
    assert list(outcomes) == CASES
    assert len(CASES) > 15
