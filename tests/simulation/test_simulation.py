"""The whole cluster but its processes, on virtual time, under trouble from a seed; see `simulation.py`."""

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from tests.simulation.checks import LIMIT
from tests.simulation.disasters import disasters
from tests.simulation.mutants import MUTANTS
from tests.simulation.planned import DAYS
from tests.simulation.scenario import (
    ClientPlan,
    FaultPlan,
    Scenario,
    WorkerPlan,
    from_seed,
    late_results,
    plain_job,
)
from tests.simulation.simulation import SimulationFailed, simulate
from tests.simulation.totals import qualifies

#: Those that once failed, and what they found.
FOUND = (
    1023,  # an idle worker took only half of what was set aside elsewhere and left a slot empty
)
FOUND_LATE = (
    1013,  # a task that failed at two workers was tried again when the first one's delay was over
)
FOUND_CRASH = (  # what it found first is planned now: `full`, `away` and `drain` in `planned.py`
    20000851,  # the simulation's own fault: at the very same instant frames overtook a handshake, again and again
    1545575908,  # a master that was stopped gave up, as it went on, a client that had been trying to come back
    1545577496,  # or soon after
    1545575713,  # the ledger's: what crashed while it was asked back may be asked back from where it runs next
    36,  # the ledger's: a failure for the loss of workers is in no worker's report
    1067298058,  # likewise: a worker that comes to a new life of the master has just stopped a cancelled task
    1067299475,  # a worker's goodbye, heard by a master that died then, was not said again to the next
    1539496527,  # the ledger's, and `twice` in `planned.py` now: a copy may be of an earlier life
)

#: Seconds for seeds that nobody has seen before, on all cores.
BUDGET = 15.0

ROOT = Path(__file__).parents[2]


def _seeds(kind, count, found):
    """The first, those that once failed, and those that mutants are found with: they pass without a mutant."""
    checks = (mutant.check.partition(":") for mutant in MUTANTS)
    return sorted({*range(count), *found, *(int(seed) for name, _, seed in checks if name == kind)})


# More seeds with `./scripts/simulate`.
@pytest.mark.parametrize("seed", _seeds("seed", 24, FOUND))
def test_every_task_has_its_end_whatever_goes_wrong(seed):
    simulate(replace(from_seed(seed), limit=LIMIT))


@pytest.mark.parametrize("seed", _seeds("late", 8, FOUND_LATE))
def test_results_that_come_when_their_tasks_run_elsewhere(seed):
    outcome = simulate(replace(late_results(seed), limit=LIMIT))
    assert outcome.counts["late"]


@pytest.mark.parametrize("seed", _seeds("crash", 8, FOUND_CRASH))
def test_nothing_is_lost_on_the_worst_day(seed):
    outcome = simulate(disasters(seed))
    assert outcome.counts["lives"] > 1


@pytest.mark.parametrize("name", DAYS)
def test_nothing_is_lost_on_a_day_planned_to_be_bad(name):
    for scenario in DAYS[name]():
        simulate(scenario)


def test_a_day_is_planned_to_be_bad_enough():
    for seed in range(300):
        scenario = disasters(seed)
        assert qualifies(scenario, Counter(fault.kind for fault in scenario.faults))


def test_a_link_that_is_back_within_the_reconnect_timeout_restarts_nothing():
    for seconds, restarted in ((0.1, False), (0.5, False), (1.0, False), (1.5, True)):
        job = plain_job([0.3] * 20, 0.1)
        workers = tuple(WorkerPlan(f"w{n}", 2) for n in range(2))
        fault = FaultPlan(0.5, "partition", "w1", seconds)
        outcome = simulate(Scenario(0, (ClientPlan("c0", (job,)),), workers, (fault,), limit=LIMIT))
        assert bool(outcome.counts["lost"]) == restarted


def test_seeds_that_nobody_has_seen(tmp_path):
    """As `./scripts/chaos --simulated` runs them. The base seed is in what it prints."""
    totals = tmp_path / "totals.json"
    command = [sys.executable, "-m", "tests.simulation", "--crashes", "--seeds=10000", f"--seconds={BUDGET}"]
    done = subprocess.run(
        [*command, f"--json={totals}"],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=58,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout
    found = json.loads(totals.read_text())
    assert found["histories"] > 0
    assert found["qualify"] > 0.8 * found["histories"], "a day is to be bad enough"


def test_a_thousand_workers():
    outcome = simulate(from_seed(1, workers=1000))
    assert outcome.counts["dispatches"] > 1000


def test_a_seed_is_always_the_same_story():
    scenario = from_seed(15)
    assert simulate(scenario) == simulate(scenario)


def test_a_failure_tells_the_story_and_how_to_see_it_again():
    with pytest.raises(SimulationFailed) as caught:
        simulate(replace(from_seed(4), limit=0.05))
    story = str(caught.value)
    assert "The story of task" in story
    assert "The last events:" in story
    assert "./scripts/simulate --first 4 --seeds 1" in story
