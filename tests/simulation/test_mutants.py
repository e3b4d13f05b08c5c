"""The checks are worth something: each finds the fault planted for it, and passes without it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.simulation import checks
from tests.simulation.mutants import MUTANTS
from tests.simulation.mutated import FOUND

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("check", ["fair", "priority", "stopped", "spared"])
def test_without_a_fault_the_check_passes(check):
    """The others are seeds, and run in `test_simulation.py`."""
    checks.run(check)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_fault_is_found(mutant):
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation.mutated", mutant.name],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=58,
        check=False,
    )
    assert done.returncode == FOUND, done.stdout + done.stderr


def test_names_are_unique():
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
