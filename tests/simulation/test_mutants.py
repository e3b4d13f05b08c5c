"""The checks are worth something: each finds the fault planted for it, and passes without it."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
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


@pytest.fixture(scope="module")
def searches(request):
    """One for each fault that is asked for, as many at once as there are cores."""
    asked = [item.callspec.params["mutant"] for item in request.session.items if "searches" in item.fixturenames]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}  # copied here: pytest changes it between tests
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {mutant.name: pool.submit(_search, mutant, environment) for mutant in asked}
        pool.shutdown(cancel_futures=True)  # when the first failure ends it all


def _search(mutant, environment):
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation.mutated", mutant.name],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_fault_is_found(mutant, searches):
    done = searches[mutant.name].result()
    assert done.returncode == FOUND, done.stdout + done.stderr


def test_names_are_unique():
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
